// Connections that lead nowhere: from strangers, from peers that have a session already, ones that
// are never completed, ones that say nothing or stop in the middle.

#include "tests/interop/hostile/witness.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace margay::bgp::test {
namespace {

using std::chrono::seconds;

constexpr seconds kDeadline{30};
constexpr std::uint32_t kSpeaker = 0x0A000001;

sockaddr_in endpoint(std::uint32_t address, std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  out.sin_addr.s_addr = htonl(address);
  return out;
}

// A connection to the speaker from 10.0.0.LAST; -1: it was refused.
class Raw {
 public:
  explicit Raw(unsigned last) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in local = endpoint(0x0A000000U + last, 0);
    const sockaddr_in remote = endpoint(kSpeaker, 179);
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    const linger now{1, 0};  // no port waits for the next test
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    connected_ = ::bind(fd_, reinterpret_cast<const sockaddr*>(&local), sizeof local) == 0 &&
                 ::connect(fd_, reinterpret_cast<const sockaddr*>(&remote), sizeof remote) == 0;
  }
  ~Raw() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  Raw(Raw&& other) noexcept : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  Raw& operator=(Raw&&) = delete;
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  void send(Bytes bytes) const { (void)::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // Reads on; whether the speaker has closed.
  [[nodiscard]] bool closed() const {
    std::array<char, 4096> buffer{};
    pollfd poller{fd_, POLLIN, 0};
    while (::poll(&poller, 1, 0) == 1) {
      if (::recv(fd_, buffer.data(), buffer.size(), 0) <= 0) {
        return true;
      }
    }
    return false;
  }

 private:
  int fd_;
  bool connected_ = false;
};

void raise_file_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::uint16_t checksum(const std::vector<std::uint8_t>& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
    sum += static_cast<std::uint32_t>(bytes[i] << 8U | bytes[i + 1]);
  }
  while (sum >> 16U != 0) {
    sum = (sum & 0xFFFFU) + (sum >> 16U);
  }
  return static_cast<std::uint16_t>(~sum);
}

// The first packet of a connection from an address that will never answer.
void send_syn(int fd, std::uint32_t source, std::uint16_t port) {
  tcphdr tcp{};
  tcp.source = htons(port);
  tcp.dest = htons(179);
  tcp.seq = htonl(port);
  tcp.doff = sizeof tcp / 4;
  tcp.syn = 1;
  tcp.window = htons(65535);
  std::vector<std::uint8_t> pseudo(12);
  const std::uint32_t from = htonl(source);
  const std::uint32_t to = htonl(kSpeaker);
  std::memcpy(pseudo.data(), &from, sizeof from);
  std::memcpy(pseudo.data() + 4, &to, sizeof to);
  pseudo[9] = IPPROTO_TCP;
  pseudo[11] = sizeof tcp;
  const auto* raw = reinterpret_cast<const std::uint8_t*>(&tcp);
  pseudo.insert(pseudo.end(), raw, raw + sizeof tcp);
  tcp.check = htons(checksum(pseudo));
  iphdr ip{};
  ip.ihl = 5;
  ip.version = 4;
  ip.ttl = 64;
  ip.protocol = IPPROTO_TCP;
  ip.saddr = from;
  ip.daddr = to;
  ip.tot_len = htons(sizeof ip + sizeof tcp);
  std::vector<std::uint8_t> packet(sizeof ip + sizeof tcp);
  std::memcpy(packet.data(), &ip, sizeof ip);
  std::memcpy(packet.data() + sizeof ip, &tcp, sizeof tcp);
  const sockaddr_in remote = endpoint(kSpeaker, 0);
  (void)::sendto(fd,
                 packet.data(),
                 packet.size(),
                 0,
                 reinterpret_cast<const sockaddr*>(&remote),
                 sizeof remote);
}

void establishes(unsigned last, const Bgpd& bgpd) {
  const auto client = BgpClient::establish(client_options(last, 65000 + last), kDeadline);
  CHECK_MESSAGE(client, (client ? "" : client.error().text + "\n" + bgpd.log()));
}

}  // namespace

TEST_SUITE("interop.hostile.connections") {
  TEST_CASE("ten thousand connections from strangers and known peers are closed at once") {
    raise_file_limit();
    const auto bgpd = start_speaker();
    Witness witness(*bgpd);
    const std::size_t files = bgpd->open_files();
    const std::size_t before = bgpd->peak_memory();
    const unsigned count = sized(4000, 20'000);
    std::vector<Raw> open;
    for (unsigned i = 0; i < count; ++i) {
      open.emplace_back(i % 2 == 0 ? 5 + i % 5 : 2 + i % 3);  // strangers; the witnesses' addresses
      REQUIRE(open.back().connected());
      if (open.size() == 500) {
        CHECK(lab::wait_until(
            [&] { return std::ranges::all_of(open, [](const Raw& one) { return one.closed(); }); },
            kDeadline));
        open.clear();
      }
    }
    CHECK(lab::wait_until([&] { return bgpd->open_files() <= files; }, kDeadline));
    CHECK(bgpd->peak_memory() < before + (std::size_t{8} << 20U));
    establishes(10, *bgpd);
    witness.check();
  }

  TEST_CASE("connections that are never completed do not keep a peer out") {
    const auto bgpd = start_speaker();
    lab::Command ip;
    ip.argv = {"sh",
               "-c",
               "ip link add nowhere type veth peer name void && ip link set nowhere up && "
               "ip route add 10.9.0.0/16 dev nowhere && for one in all lo; do "
               "echo 0 > /proc/sys/net/ipv4/conf/$one/rp_filter; done"};
    ip.env = {{"PATH", lab::kSystemPath}};
    const auto prepared = lab::run(ip);
    REQUIRE(prepared);
    REQUIRE_MESSAGE(prepared->ok(), prepared->err);
    Witness witness(*bgpd);
    const int fd = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    REQUIRE(fd >= 0);
    const std::size_t files = bgpd->open_files();
    for (unsigned i = 0; i < sized(20'000, 200'000); ++i) {
      send_syn(fd, 0x0A090000U + i % 60'000U, static_cast<std::uint16_t>(1024 + i % 50'000U));
    }
    establishes(10, *bgpd);
    ::close(fd);
    CHECK(bgpd->open_files() <= files + 1);
    witness.check();
  }

  TEST_CASE("peers that connect and say nothing, or stop half-way, hold up nobody") {
    raise_file_limit();
    const auto bgpd = start_speaker();
    Witness witness(*bgpd);
    const std::size_t files = bgpd->open_files();
    std::vector<Raw> silent;
    const auto open_bytes = encode_open(client_options(11, 65011).open);
    for (unsigned last = 10; last < 25; ++last) {
      Raw& one = silent.emplace_back(last);
      REQUIRE(one.connected());
      switch (last % 3) {
        case 0:  // nothing at all
          break;
        case 1:  // half an OPEN
          one.send(Bytes(open_bytes).first(20));
          break;
        case 2:  // an OPEN, and no KEEPALIVE ever
          one.send(encode_open(client_options(last, 65000 + last, 3).open));
          break;
      }
      for (unsigned i = 0; i < sized(40, 400); ++i) {  // and more of them
        silent.emplace_back(last);
      }
    }
    establishes(25, *bgpd);
    establishes(10, *bgpd);  // also one that seems to be there and silent
    // One for each peer at most.
    CHECK(lab::wait_until([&] { return bgpd->open_files() <= files + 15; }, kDeadline));
    silent.clear();
    CHECK(lab::wait_until([&] { return bgpd->open_files() <= files; }, kDeadline));
    for (unsigned last = 10; last < 25; ++last) {
      establishes(last, *bgpd);
    }
    witness.check();
  }

  TEST_CASE("a peer that falls silent once established is given up after its hold time") {
    const auto bgpd = start_speaker();
    Witness witness(*bgpd);
    auto client = BgpClient::establish(client_options(10, 65010, 3), kDeadline);
    REQUIRE(client);
    const auto began = BgpClient::Clock::now();
    CHECK(client->receive_until([&] { return client->notification().has_value(); }, kDeadline));
    REQUIRE(client->notification());
    CHECK(client->notification()->code == ErrorCode::kHoldTimerExpired);
    const auto took = BgpClient::Clock::now() - began;
    CHECK(took > std::chrono::milliseconds(2500));
    CHECK(took < seconds(5));
    witness.check();
  }
}

}  // namespace margay::bgp::test
