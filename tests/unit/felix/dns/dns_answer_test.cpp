#include "felix/dns/dns_answer.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <string_view>

namespace margay::felix {
namespace {

using std::chrono::seconds;
using Bytes = std::vector<std::uint8_t>;

IpAddr addr(std::string_view text) {
  const auto parsed = IpAddr::parse(text);
  REQUIRE(parsed);
  return *parsed;
}

void put16(Bytes& out, unsigned value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8U));
  out.push_back(static_cast<std::uint8_t>(value & 0xffU));
}
void put32(Bytes& out, std::uint32_t value) {
  put16(out, value >> 16U);
  put16(out, value & 0xffffU);
}

// RFC 1035 section 3.1: labels with their length before them, a zero behind.
Bytes wire_name(std::string_view name) {
  Bytes out;
  while (!name.empty()) {
    const std::size_t dot = std::min(name.find('.'), name.size());
    out.push_back(static_cast<std::uint8_t>(dot));
    out.insert(out.end(), name.begin(), name.begin() + static_cast<std::ptrdiff_t>(dot));
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  out.push_back(0);
  return out;
}

constexpr unsigned kA = 1;
constexpr unsigned kCname = 5;
constexpr unsigned kAaaa = 28;

// A message of section 4.1.
class Message {
 public:
  explicit Message(std::string_view question, unsigned flags = 0x8180) {
    put16(bytes_, 4711);
    put16(bytes_, flags);
    put16(bytes_, 1);
    put16(bytes_, 0);  // answers: counted below
    put32(bytes_, 0);
    append(wire_name(question));
    put16(bytes_, kA);
    put16(bytes_, 1);
  }
  Message& address(std::string_view owner, std::string_view text, std::uint32_t ttl) {
    const IpAddr address = addr(text);
    const auto bytes = address.bytes();
    return record(owner, address.is_v4() ? kA : kAaaa, ttl, Bytes(bytes.begin(), bytes.end()));
  }
  Message& alias(std::string_view owner, std::string_view target, std::uint32_t ttl) {
    return record(owner, kCname, ttl, wire_name(target));
  }
  Message& record(std::string_view owner, unsigned type, std::uint32_t ttl, const Bytes& data) {
    append(wire_name(owner));
    put16(bytes_, type);
    put16(bytes_, 1);
    put32(bytes_, ttl);
    put16(bytes_, static_cast<unsigned>(data.size()));
    append(data);
    ++bytes_[7];
    return *this;
  }
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  void append(const Bytes& more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }
  Bytes bytes_;
};

Bytes in_ipv4(const Bytes& message, unsigned fragment = 0) {
  Bytes out{0x45, 0};
  put16(out, static_cast<unsigned>(28 + message.size()));
  put16(out, 0);
  put16(out, fragment);
  out.push_back(64);
  out.push_back(17);
  put16(out, 0);
  put32(out, 0xc6336435);
  put32(out, 0x0af40001);
  put16(out, 53);
  put16(out, 40000);
  put16(out, static_cast<unsigned>(8 + message.size()));
  put16(out, 0);
  out.insert(out.end(), message.begin(), message.end());
  return out;
}
Bytes in_ipv6(const Bytes& message) {
  Bytes out{0x60, 0, 0, 0};
  put16(out, static_cast<unsigned>(8 + message.size()));
  out.push_back(17);
  out.push_back(64);
  out.resize(40);
  put16(out, 53);
  put16(out, 40000);
  put16(out, static_cast<unsigned>(8 + message.size()));
  put16(out, 0);
  out.insert(out.end(), message.begin(), message.end());
  return out;
}

using Found = std::vector<DomainAddress>;

}  // namespace

TEST_SUITE("felix.dns.answer") {
  TEST_CASE("the name leads to its addresses, in any case of letters, over both families") {
    const Message message = Message("WWW.Example.org")
                                .address("www.example.org", "198.51.100.2", 60)
                                .address("www.EXAMPLE.org", "2001:db8::2", 30);
    const Found expected{{"www.example.org", addr("198.51.100.2"), seconds(60)},
                         {"www.example.org", addr("2001:db8::2"), seconds(30)}};
    CHECK(parse_dns_answer(in_ipv4(message.bytes())) == expected);
    CHECK(parse_dns_answer(in_ipv6(message.bytes())) == expected);
  }

  TEST_CASE("each name of a chain of aliases leads there, for the shortest time of its way") {
    const Message message = Message("www.example.org")
                                .alias("www.example.org", "cdn.example.net", 20)
                                .alias("cdn.example.net", "edge.example.com", 300)
                                .address("edge.example.com", "198.51.100.2", 100);
    const IpAddr there = addr("198.51.100.2");
    CHECK(parse_dns_answer(in_ipv4(message.bytes())) ==
          Found{{"cdn.example.net", there, seconds(100)},
                {"edge.example.com", there, seconds(100)},
                {"www.example.org", there, seconds(20)}});
  }

  TEST_CASE("addresses of names that nobody asked for are not believed") {
    const Message message = Message("www.example.org")
                                .address("www.example.org", "198.51.100.2", 60)
                                .address("bank.example.com", "203.0.113.66", 60);
    CHECK(parse_dns_answer(in_ipv4(message.bytes())).size() == 1);
  }

  TEST_CASE("a circle of aliases ends") {
    const Message message = Message("a.example")
                                .alias("a.example", "b.example", 60)
                                .alias("b.example", "a.example", 60)
                                .address("b.example", "198.51.100.2", 60);
    CHECK(parse_dns_answer(in_ipv4(message.bytes())).size() == 2);
  }

  TEST_CASE("what is no whole answer says nothing") {
    const auto with = [](unsigned flags) {
      return Message("www.example.org", flags)
          .address("www.example.org", "198.51.100.2", 60)
          .bytes();
    };
    REQUIRE(parse_dns_answer(in_ipv4(with(0x8180))).size() == 1);
    CHECK(parse_dns_answer(in_ipv4(with(0x0100))).empty());          // a question
    CHECK(parse_dns_answer(in_ipv4(with(0x8380))).empty());          // truncated
    CHECK(parse_dns_answer(in_ipv4(with(0x8183))).empty());          // no such name
    CHECK(parse_dns_answer(in_ipv4(with(0x8180), 0x2000)).empty());  // the first fragment
    Bytes tcp = in_ipv4(with(0x8180));
    tcp[9] = 6;
    CHECK(parse_dns_answer(tcp).empty());
    const Message wrong = Message("a.example").record("a.example", kA, 60, Bytes(16, 1));
    CHECK(parse_dns_answer(in_ipv4(wrong.bytes())).empty());
    const Message endless = Message("a.example").address("a.example", "198.51.100.2", 0xffffffffU);
    CHECK(parse_dns_answer(in_ipv4(endless.bytes())).at(0).ttl == seconds(0));
  }

  TEST_CASE("damaged packets are survived: cut anywhere, and with random bytes changed") {
    const Message message = Message("www.example.org")
                                .alias("www.example.org", "cdn.example.net", 20)
                                .address("cdn.example.net", "198.51.100.2", 100);
    const Bytes whole = in_ipv4(message.bytes());
    for (std::size_t length = 0; length < whole.size(); ++length) {
      CHECK(parse_dns_answer(std::span(whole).first(length)).empty());
    }
    std::mt19937 random(7);
    std::size_t understood = 0;
    for (int round = 0; round < 20'000; ++round) {
      Bytes damaged = whole;
      for (int hits = 0; hits < 3; ++hits) {
        damaged[random() % damaged.size()] = static_cast<std::uint8_t>(random());
      }
      const std::size_t found = parse_dns_answer(damaged).size();
      CHECK(found <= 2);
      understood += found > 0 ? 1 : 0;
    }
    CHECK(understood > 100);  // parts of a packet do not matter here
  }
}

}  // namespace margay::felix
