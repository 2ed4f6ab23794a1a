#include "kernel/nft/encode.h"

#include "kernel/nft/element_codec.h"

#include <doctest/doctest.h>

#include <string>

namespace margay {
namespace {

using nft::DataType;
using nft::key;

IpAddr ip(std::string_view text) {
  return *IpAddr::parse(text);
}
Prefix net(std::string_view text) {
  return *Prefix::parse(text);
}

TEST_SUITE("kernel.nft.encode") {
  TEST_CASE("equal transactions give equal bytes, and messages know their command") {
    nft::AddElements many{"s", {.key = {DataType::kIpv4Addr}}, {}};
    for (std::uint32_t i = 0; i < 5000; ++i) {
      many.elements[nft::single(key(IpAddr::v4(i)))] = {};
    }
    const nft::Transaction transaction{nft::AddTable{}, many, nft::AddChain{"c", {}}};

    const auto batch = nft::encode(transaction, "t", 100);
    const auto again = nft::encode(transaction, "t", 100);

    REQUIRE(batch.has_value());
    CHECK(batch->bytes == again->bytes);
    // Five thousand elements need several messages; all of them are the second command.
    CHECK(batch->command_of_message.size() > 3);
    CHECK(batch->command_of(100, 99) == 99);
    CHECK(batch->command_of(101, 99) == 0);
    CHECK(batch->command_of(102, 99) == 1);
    CHECK(batch->command_of(103, 99) == 1);
    const auto last = static_cast<std::uint32_t>(100 + batch->command_of_message.size());
    CHECK(batch->command_of(last, 99) == 2);
    CHECK(batch->command_of(last + 1, 99) == 99);
  }

  TEST_CASE("what the kernel cannot take is refused by name") {
    const nft::SetSpec addresses{.key = {DataType::kIpv4Addr}};
    struct Row {
      nft::Command command;
      const char* why;
    };
    nft::AddElements wide{"s", addresses, {}};
    wide.elements[nft::single(key(ip("fd00::1")))] = {};
    nft::AddElements ranged{"s", addresses, {}};
    ranged.elements[nft::element(net("10.0.0.0/8"))] = {};
    nft::AddElements data{"s", addresses, {}};
    data.elements[nft::single(key(ip("10.0.0.1")))] = nft::Verdict::accept();
    for (const Row& row : {
             Row{wide, "an IPv6 address in a set of IPv4 addresses"},
             Row{ranged, "a range in a set without ranges"},
             Row{data, "a verdict in a set that is no map"},
             Row{nft::AddChain{std::string(200, 'x'), {}}, "a long name"},
             Row{nft::AddSet{"s", {}}, "a set without types"},
             Row{nft::AddRule{"c",
                              std::make_shared<const nft::Rule>(nft::Rule{{nft::Foreign{"x"}}, ""}),
                              {}},
                 "a statement that we do not know"},
         }) {
      CAPTURE(row.why);
      const auto batch = nft::encode({row.command}, "t", 1);
      CHECK((!batch.has_value() && batch.error().code == Errc::kInvalid));
    }
  }

  TEST_CASE("elements survive the form that the kernel keeps them in") {
    const nft::SetSpec ranges{.key = {DataType::kIpv4Addr}, .interval = true};
    const nft::SetSpec ports{.key = {DataType::kInetService}, .interval = true};
    const nft::SetSpec pairs{.key = {DataType::kIpv4Addr, DataType::kInetService},
                             .interval = true};
    struct Row {
      nft::SetSpec spec;
      std::vector<nft::ElementKey> elements;
      const char* why;
    };
    for (const Row& row : {
             Row{ranges,
                 {nft::element(net("10.0.0.0/8")), nft::element(net("11.0.0.0/8"))},
                 "neighbours"},
             Row{ranges, {nft::element(net("255.0.0.0/8"))}, "up to the last address"},
             Row{ranges, {nft::element(net("0.0.0.0/0"))}, "everything"},
             Row{ranges,
                 {nft::element(net("0.0.0.0/32")), nft::element(net("255.255.255.255/32"))},
                 "ends"},
             Row{ports,
                 {nft::range(key(nft::Port(255)), key(nft::Port(256)))},
                 "carry between bytes"},
             Row{ports, {nft::single(key(nft::Port(65535)))}, "last port"},
             Row{pairs,
                 {nft::range(key(ip("10.0.0.0"), nft::Port(1)), key(ip("10.0.0.9"), nft::Port(9)))},
                 "a concatenation"},
         }) {
      CAPTURE(row.why);
      nft::Elements wanted;
      std::vector<nft::RawElement> raw;
      for (const nft::ElementKey& element : row.elements) {
        wanted[element] = {};
        for (nft::RawElement& part : nft::to_raw(row.spec, element, {})) {
          raw.insert(raw.begin(), std::move(part));  // the kernel's order is another
        }
      }
      CHECK(nft::from_raw(row.spec, raw) == wanted);
    }
  }
}

}  // namespace
}  // namespace margay
