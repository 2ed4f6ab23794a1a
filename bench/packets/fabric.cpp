#include "bench/packets/fabric.h"

#include "bench/packets/path.h"
#include "bench/support/process.h"
#include "bench/support/results.h"

#include <fmt/format.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <unistd.h>
#include <utility>

namespace margay::bench {

namespace {

using Commands = std::vector<std::vector<std::string>>;

struct Plan {
  unsigned number;  // of the side: 1, 2
  unsigned other;
  std::string pod_addr;
  std::string other_addr;
  std::string host_end;
};

Plan plan_of(unsigned number, Fabric::Kind kind) {
  Plan plan{number, 3 - number, {}, {}, number == 1 ? Path::kClientSide : Path::kServerSide};
  const bool routed = kind == Fabric::Kind::kRouted;
  plan.pod_addr = routed ? (number == 1 ? Path::client() : Path::server()).str()
                         : fmt::format("10.64.{}.2", number);
  plan.other_addr = routed ? (number == 1 ? Path::server() : Path::client()).str()
                           : fmt::format("10.64.{}.2", plan.other);
  return plan;
}

std::string wire_addr(unsigned number) {
  return fmt::format("172.30.0.{}", number);
}
std::string vxlan_mac(unsigned number) {
  return fmt::format("02:00:00:00:00:{:02x}", number);
}

Commands routed_node(const Plan& plan) {
  return {{"ip", "route", "add", plan.pod_addr + "/32", "dev", plan.host_end},
          {"ip", "addr", "add", "169.254.1.1/32", "dev", "lo"},
          {"ip", "route", "add", plan.other_addr + "/32", "via", wire_addr(plan.other)}};
}

Commands bridged_node(const Plan& plan, bool overlay) {
  const std::string other_net = fmt::format("10.64.{}.0", plan.other);
  Commands out{
      {"ip", "link", "add", "br0", "type", "bridge"},
      {"ip", "addr", "add", fmt::format("10.64.{}.1/24", plan.number), "dev", "br0"},
      {"ip", "link", "set", plan.host_end, "master", "br0"},
      {"ip", "link", "set", "br0", "up"},
  };
  if (!overlay) {
    out.push_back({"ip", "route", "add", other_net + "/24", "via", wire_addr(plan.other)});
    return out;
  }
  // As flannel lays it out: static neighbour and forwarding entry for each other node.
  const std::string mac = vxlan_mac(plan.other);
  for (const auto& command : Commands{
           {"ip",
            "link",
            "add",
            "vx0",
            "address",
            vxlan_mac(plan.number),
            "type",
            "vxlan",
            "id",
            "1",
            "dstport",
            "8472",
            "local",
            wire_addr(plan.number),
            "dev",
            "wire",
            "nolearning"},
           {"ip", "addr", "add", fmt::format("10.64.{}.0/32", plan.number), "dev", "vx0"},
           {"ip", "link", "set", "vx0", "up"},
           {"ip", "neigh", "add", other_net, "lladdr", mac, "dev", "vx0"},
           {"bridge", "fdb", "add", mac, "dev", "vx0", "dst", wire_addr(plan.other)},
           {"ip", "route", "add", other_net + "/24", "via", other_net, "dev", "vx0", "onlink"}}) {
    out.push_back(command);
  }
  return out;
}

Commands pod_commands(const Plan& plan, bool routed) {
  Commands out{{"ip", "link", "set", "lo", "up"}, {"ip", "link", "set", "eth0", "up"}};
  if (routed) {
    out.push_back({"ip", "addr", "add", plan.pod_addr + "/32", "dev", "eth0"});
    out.push_back({"ip", "route", "add", "169.254.1.1", "dev", "eth0"});
    out.push_back({"ip", "route", "add", "default", "via", "169.254.1.1"});
  } else {
    out.push_back({"ip", "addr", "add", plan.pod_addr + "/24", "dev", "eth0"});
    out.push_back({"ip", "route", "add", "default", "via", fmt::format("10.64.{}.1", plan.number)});
  }
  return out;
}

void answer(int connection) {
  std::array<char, 64> buffer{};
  ssize_t n = 0;
  while ((n = ::recv(connection, buffer.data(), buffer.size(), 0)) > 0) {
    if (::send(connection, buffer.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL) != n) {
      break;
    }
  }
  ::close(connection);
}

void without_delay(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// Descriptor of a connection; an error after a few seconds: nothing hangs.
Result<int> connect_to(const IpAddr& addr) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{3, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  const sockaddr_in remote = socket_address(addr, Fabric::kPort);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&remote), sizeof(remote)) != 0) {
    const int why = errno;
    ::close(fd);
    return fail_errno(why, "connect to {}", addr.str());
  }
  without_delay(fd);
  return fd;
}

Result<void> ask(int connection) {
  char byte = 'x';
  if (::send(connection, &byte, 1, MSG_NOSIGNAL) != 1 || ::recv(connection, &byte, 1, 0) != 1) {
    return fail_errno(errno, "no answer");
  }
  return {};
}

}  // namespace

Fabric::~Fabric() {
  if (server_.joinable()) {
    ::shutdown(listener_, SHUT_RDWR);
    server_.join();
  }
  if (listener_ >= 0) {
    ::close(listener_);
  }
}

Result<std::unique_ptr<Fabric>> Fabric::create(Kind kind) {
  std::array<Result<NetNs>, 4> made{
      NetNs::create(), NetNs::create(), NetNs::create(), NetNs::create()};
  for (const Result<NetNs>& ns : made) {
    if (!ns) {
      return fail(Errc::kInternal, "network namespaces: needs root");
    }
  }
  std::unique_ptr<Fabric> fabric(new Fabric(kind,
                                            {std::move(*made[0]), std::move(*made[1])},
                                            {std::move(*made[2]), std::move(*made[3])}));
  if (auto done = fabric->connect(); !done) {
    return fail(done.error());
  }
  if (auto done = fabric->serve(); !done) {
    return fail(done.error());
  }
  return fabric;
}

Result<void> Fabric::in_nodes(const std::function<Result<void>()>& function) const {
  auto done = near_.node.run(function);
  return done ? far_.node.run(function) : done;
}

Result<void> Fabric::connect() const {
  auto wired = near_.node.run([this] {
    return run_all({{"ip",
                     "link",
                     "add",
                     "wire",
                     "type",
                     "veth",
                     "peer",
                     "name",
                     "wire",
                     "netns",
                     path_of(far_.node)}});
  });
  for (const unsigned number : {1U, 2U}) {
    if (wired) {
      wired = connect_side(number);
    }
  }
  return wired;
}

Result<void> Fabric::connect_side(unsigned number) const {
  const Side& side = number == 1 ? near_ : far_;
  const Plan plan = plan_of(number, kind_);
  const bool routed = kind_ == Kind::kRouted;
  auto done = side.node.run([&]() -> Result<void> {
    auto common = run_all({{"sysctl", "-qw", "net.ipv4.ip_forward=1"},
                           {"ip", "link", "set", "lo", "up"},
                           {"ip", "addr", "add", wire_addr(number) + "/24", "dev", "wire"},
                           {"ip", "link", "set", "wire", "up"},
                           {"ip",
                            "link",
                            "add",
                            plan.host_end,
                            "type",
                            "veth",
                            "peer",
                            "name",
                            "eth0",
                            "netns",
                            path_of(side.pod)},
                           {"ip", "link", "set", plan.host_end, "up"}});
    return common ? run_all(routed ? routed_node(plan) : bridged_node(plan, kind_ == Kind::kVxlan))
                  : common;
  });
  return done ? side.pod.run([&] { return run_all(pod_commands(plan, routed)); }) : done;
}

IpAddr Fabric::server() const {
  return *IpAddr::parse(plan_of(2, kind_).pod_addr);
}

Result<void> Fabric::serve() {
  auto listening = far_.pod.run([this]() -> Result<void> {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in local = socket_address(server(), kPort);
    constexpr int kBacklog = 16;
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&local), sizeof(local)) != 0 ||
        ::listen(listener_, kBacklog) != 0) {
      return fail_errno(errno, "listen on {}", server().str());
    }
    return {};
  });
  if (listening) {
    server_ = std::thread([this] {
      int connection = -1;
      while ((connection = ::accept(listener_, nullptr, nullptr)) >= 0) {
        without_delay(connection);
        answer(connection);
      }
    });
  }
  return listening;
}

Result<std::vector<double>> Fabric::request_response(unsigned count) const {
  std::vector<double> took;
  auto done = near_.pod.run([&]() -> Result<void> {
    auto connection = connect_to(server());
    if (!connection) {
      return fail(connection.error());
    }
    Result<void> asked;
    for (unsigned i = 0; i < count && asked; ++i) {
      took.push_back(time_us([&] { asked = ask(*connection); }));
    }
    ::close(*connection);
    return asked;
  });
  return done ? Result<std::vector<double>>(std::move(took)) : fail(done.error());
}

Result<std::vector<double>> Fabric::connect_request_response(unsigned count) const {
  std::vector<double> took;
  auto done = near_.pod.run([&]() -> Result<void> {
    Result<void> asked;
    for (unsigned i = 0; i < count && asked; ++i) {
      took.push_back(time_us([&] {
        auto connection = connect_to(server());
        asked = connection ? ask(*connection) : Result<void>(fail(connection.error()));
        if (connection) {
          ::close(*connection);
        }
      }));
    }
    return asked;
  });
  return done ? Result<std::vector<double>>(std::move(took)) : fail(done.error());
}

}  // namespace margay::bench
