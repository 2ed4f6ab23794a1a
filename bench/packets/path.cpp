#include "bench/packets/path.h"

#include "bench/support/process.h"
#include "bench/support/results.h"
#include "kernel/conntrack_kernel.h"

#include <fmt/format.h>

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <poll.h>
#include <sstream>
#include <unistd.h>
#include <utility>

namespace margay::bench {

namespace {

constexpr std::uint16_t kFlowPort = 900;  // of the established flow; new ones lie above 1024
constexpr unsigned kFirstPort = 2000;
constexpr unsigned kMostFlows = 60'000;
constexpr int kTimeoutMs = 1000;

Result<int> udp_socket(const IpAddr& addr, std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const sockaddr_in local = socket_address(addr, port);
  if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&local), sizeof(local)) != 0) {
    return fail_errno(errno, "socket on {}:{}", addr.str(), port);
  }
  return fd;
}

// A UDP packet of no data. The kernel fills in identification, length and checksum of the IP
// header (raw(7)); UDP without a checksum is allowed over IPv4 (RFC 768).
std::array<std::uint8_t, sizeof(iphdr) + sizeof(udphdr)> packet(std::uint16_t source_port) {
  std::array<std::uint8_t, sizeof(iphdr) + sizeof(udphdr)> out{};
  iphdr ip{};
  ip.version = 4;
  ip.ihl = sizeof(iphdr) / 4;
  ip.ttl = 64;
  ip.protocol = IPPROTO_UDP;
  std::memcpy(&ip.saddr, Path::client().bytes().data(), sizeof(ip.saddr));
  std::memcpy(&ip.daddr, Path::server().bytes().data(), sizeof(ip.daddr));
  udphdr udp{};
  udp.source = htons(source_port);
  udp.dest = htons(Path::kPort);
  udp.len = htons(sizeof(udp));
  std::memcpy(out.data(), &ip, sizeof(ip));
  std::memcpy(out.data() + sizeof(ip), &udp, sizeof(udp));
  return out;
}

}  // namespace

Path::~Path() {
  for (const int fd : {flow_, raw_, sink_}) {
    if (fd >= 0) {
      ::close(fd);
    }
  }
}

Result<std::unique_ptr<Path>> Path::create() {
  auto client = NetNs::create();
  auto node = NetNs::create();
  auto server = NetNs::create();
  if (!client || !node || !server) {
    return fail(Errc::kInternal, "network namespaces: needs root");
  }
  std::unique_ptr<Path> path(new Path(std::move(*client), std::move(*node), std::move(*server)));
  if (auto done = path->connect(); !done) {
    return fail(done.error());
  }
  if (auto done = path->open_sockets(); !done) {
    return fail(done.error());
  }
  return path;
}

Result<void> Path::connect() {
  const auto wire = [](const char* side, const IpAddr& addr, const NetNs& end) {
    return std::vector<std::vector<std::string>>{
        {"ip", "link", "add", side, "type", "veth", "peer", "name", "eth0", "netns", path_of(end)},
        {"ip", "link", "set", side, "up"},
        {"ip", "route", "add", addr.str() + "/32", "dev", side}};
  };
  auto done = node_.run([&]() -> Result<void> {
    for (const auto& commands :
         {wire(kClientSide, client(), client_), wire(kServerSide, server(), server_)}) {
      if (auto made = run_all(commands); !made) {
        return made;
      }
    }
    return run_all({{"sysctl", "-qw", "net.ipv4.ip_forward=1"},
                    {"ip", "link", "set", "lo", "up"},
                    // The gateway of both sides, answered for on every link.
                    {"ip", "addr", "add", "169.254.1.1/32", "dev", "lo"}});
  });
  for (const auto& [ns, addr] : {std::pair{&client_, client()}, {&server_, server()}}) {
    if (!done) {
      return done;
    }
    done = ns->run([&addr = addr] {
      return run_all({{"ip", "link", "set", "lo", "up"},
                      {"ip", "link", "set", "eth0", "up"},
                      {"ip", "addr", "add", addr.str() + "/32", "dev", "eth0"},
                      {"ip", "route", "add", "169.254.1.1", "dev", "eth0"},
                      {"ip", "route", "add", "default", "via", "169.254.1.1"}});
    });
  }
  return done;
}

Result<void> Path::open_sockets() {
  auto done = server_.run([this]() -> Result<void> {
    auto sink = udp_socket(server(), kPort);
    if (!sink) {
      return fail(sink.error());
    }
    sink_ = *sink;
    return {};
  });
  if (!done) {
    return done;
  }
  return client_.run([this]() -> Result<void> {
    auto flow = udp_socket(client(), kFlowPort);
    if (!flow) {
      return fail(flow.error());
    }
    flow_ = *flow;
    const sockaddr_in remote = socket_address(server(), kPort);
    raw_ = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (raw_ < 0 ||
        ::connect(flow_, reinterpret_cast<const sockaddr*>(&remote), sizeof(remote)) != 0 ||
        ::connect(raw_, reinterpret_cast<const sockaddr*>(&remote), sizeof(remote)) != 0) {
      return fail_errno(errno, "sockets of the client");
    }
    return {};
  });
}

// Packets that reached the server's host, from its statistics: the socket itself drops most.
std::uint64_t Path::arrived() const {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto read = server_.run([&count]() -> Result<void> {
    std::ifstream file("/proc/thread-self/net/dev");
    for (std::string line; std::getline(file, line);) {
      const auto colon = line.find("eth0:");
      if (colon != std::string::npos) {
        std::istringstream fields(line.substr(colon + 5));
        std::uint64_t bytes = 0;
        fields >> bytes >> count;
      }
    }
    return {};
  });
  return count;
}

// One packet there and one back: from then on the flow is established.
Result<void> Path::exchange() const {
  std::array<char, 64> buffer{};
  while (::recv(sink_, buffer.data(), buffer.size(), MSG_DONTWAIT) >= 0) {
  }
  sockaddr_in from{};
  socklen_t length = sizeof(from);
  pollfd there{sink_, POLLIN, 0};
  pollfd back{flow_, POLLIN, 0};
  if (::send(flow_, "x", 1, 0) != 1 || ::poll(&there, 1, kTimeoutMs) != 1 ||
      ::recvfrom(
          sink_, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &length) !=
          1 ||
      ::sendto(sink_, "x", 1, 0, reinterpret_cast<const sockaddr*>(&from), length) != 1 ||
      ::poll(&back, 1, kTimeoutMs) != 1 || ::recv(flow_, buffer.data(), buffer.size(), 0) != 1) {
    return fail(Errc::kTimeout, "no answer over the path: the layout drops what it should pass");
  }
  return {};
}

Result<double> Path::established(unsigned count) {
  if (auto done = exchange(); !done) {
    return fail(done.error());
  }
  const std::uint64_t before = arrived();
  const double took = time_us([this, count] {
    for (unsigned i = 0; i < count; ++i) {
      [[maybe_unused]] const auto sent = ::send(flow_, "x", 1, MSG_DONTWAIT);
    }
  });
  if (arrived() - before < count) {
    return fail(Errc::kInternal, "{} of {} packets arrived", arrived() - before, count);
  }
  constexpr double kNsPerUs = 1000;
  return took * kNsPerUs / count;
}

Result<double> Path::new_flows(unsigned count) {
  count = std::min(count, kMostFlows);
  auto done = node_.run([]() -> Result<void> {
    auto kernel = open_conntrack_kernel();
    if (!kernel) {
      return fail(kernel.error());
    }
    const std::array gone{client()};
    const auto removed = (*kernel)->remove(gone);
    return removed ? Result<void>() : Result<void>(fail(removed.error()));
  });
  if (!done) {
    return fail(done.error());
  }
  const std::uint64_t before = arrived();
  const double took = time_us([this, count] {
    for (unsigned i = 0; i < count; ++i) {
      const auto bytes = packet(static_cast<std::uint16_t>(kFirstPort + i));
      [[maybe_unused]] const auto sent = ::send(raw_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    }
  });
  if (arrived() - before < count) {
    return fail(Errc::kInternal, "{} of {} packets arrived", arrived() - before, count);
  }
  constexpr double kNsPerUs = 1000;
  return took * kNsPerUs / count;
}

}  // namespace margay::bench
