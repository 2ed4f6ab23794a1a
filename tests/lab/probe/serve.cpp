#include "tests/lab/probe/commands.h"
#include "tests/lab/probe/net.h"
#include "tests/lab/probe/sctp.h"

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace margay::probe {
namespace {

enum class Role : std::uint8_t { kListener, kStream, kDatagram, kSctp4, kSctp6 };

struct Port {
  Protocol protocol;
  std::string text;
};

class Server {
 public:
  Server() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

  bool listen(const std::string& host, const Port& port);
  // All of the addresses of the machine.
  bool listen_sctp(std::uint16_t port);
  int run();

 private:
  void watch(int fd, Role role);
  void on_ready(int fd);
  void accept_all(int listener);
  void echo_stream(int fd);
  static void echo_datagrams(int fd);
  void answer_sctp(int fd, int family) const;

  int epoll_;
  std::map<int, Role> roles_;
  std::set<std::uint16_t> sctp_ports_;
};

bool Server::listen_sctp(std::uint16_t port) {
  if (sctp_ports_.empty()) {
    for (const auto& [family, role] :
         {std::pair{AF_INET, Role::kSctp4}, {AF_INET6, Role::kSctp6}}) {
      const int fd = open_sctp(family);
      if (fd < 0) {
        return false;
      }
      watch(fd, role);
    }
  }
  sctp_ports_.insert(port);
  return true;
}

void Server::answer_sctp(int fd, int family) const {
  std::array<std::uint8_t, 2048> buffer{};
  for (;;) {
    Address peer;
    peer.length = sizeof(peer.storage);
    const auto n = ::recvfrom(fd, buffer.data(), buffer.size(), 0, peer.get(), &peer.length);
    if (n < 0) {
      return;
    }
    const auto asked = decode({buffer.data(), static_cast<std::size_t>(n)}, family);
    if (!asked || asked->chunk != SctpChunk::kInit ||
        !sctp_ports_.contains(asked->destination_port)) {
      continue;
    }
    const auto answer = encode({asked->destination_port,
                                asked->source_port,
                                asked->initiate_tag,
                                SctpChunk::kInitAck,
                                asked->initiate_tag + 1});
    const Address to = without_port(peer);
    ::sendto(fd, answer.data(), answer.size(), MSG_NOSIGNAL, to.get(), to.length);
  }
}

bool Server::listen(const std::string& host, const Port& port) {
  if (port.protocol == Protocol::kSctp) {
    constexpr int kMaxPort = 65535;
    const auto number = parse_number(port.text, 1, kMaxPort);
    return number && listen_sctp(static_cast<std::uint16_t>(*number));
  }
  auto address = parse_address(host + ":" + port.text);
  if (!address) {
    return false;
  }
  const int fd = open_socket(address->family(), port.protocol);
  const int on = 1;
  constexpr int kBufferBytes = 4 << 20;  // a burst must not be lost here: the tests count packets
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kBufferBytes, sizeof(kBufferBytes));
  if (::bind(fd, address->get(), address->length) != 0) {
    return false;
  }
  if (port.protocol == Protocol::kTcp && ::listen(fd, SOMAXCONN) != 0) {
    return false;
  }
  watch(fd, port.protocol == Protocol::kTcp ? Role::kListener : Role::kDatagram);
  return true;
}

void Server::watch(int fd, Role role) {
  roles_[fd] = role;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
}

void Server::accept_all(int listener) {
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      return;
    }
    watch(fd, Role::kStream);
  }
}

void Server::echo_stream(int fd) {
  std::array<char, 65536> buffer{};
  const auto n = ::recv(fd, buffer.data(), buffer.size(), 0);
  if (n > 0) {
    [[maybe_unused]] const auto sent =
        ::send(fd, buffer.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL);
  } else if (n == 0 || errno != EAGAIN) {
    roles_.erase(fd);
    ::close(fd);
  }
}

void Server::echo_datagrams(int fd) {
  std::array<char, 65536> buffer{};
  for (;;) {
    Address peer;
    peer.length = sizeof(peer.storage);
    const auto n = ::recvfrom(fd, buffer.data(), buffer.size(), 0, peer.get(), &peer.length);
    if (n < 0) {
      return;
    }
    ::sendto(fd, buffer.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL, peer.get(), peer.length);
  }
}

void Server::on_ready(int fd) {
  const auto role = roles_.find(fd);
  if (role == roles_.end()) {
    return;
  }
  switch (role->second) {
    case Role::kListener:
      return accept_all(fd);
    case Role::kStream:
      return echo_stream(fd);
    case Role::kDatagram:
      return echo_datagrams(fd);
    case Role::kSctp4:
      return answer_sctp(fd, AF_INET);
    case Role::kSctp6:
      return answer_sctp(fd, AF_INET6);
  }
}

int Server::run() {
  for (;;) {
    std::array<epoll_event, 64> events{};
    const int n = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
    if (n < 0 && errno != EINTR) {
      return kFailed;
    }
    for (int i = 0; i < n; ++i) {
      on_ready(events.at(static_cast<std::size_t>(i)).data.fd);
    }
  }
}

void add_ports(std::string_view list, Protocol protocol, std::vector<Port>& ports) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    ports.push_back(Port{protocol, std::string(list.substr(0, comma))});
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  }
}

}  // namespace

int serve(Words words) {
  std::vector<Port> ports;
  std::string host = "0.0.0.0";
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
    const std::string_view option = words[i];
    if (option == "--bind") {
      host = words[i + 1];
    } else if (option.starts_with("--") && parse_protocol(option.substr(2))) {
      add_ports(words[i + 1], *parse_protocol(option.substr(2)), ports);
    } else {
      return kUsage;
    }
  }
  if (ports.empty() || words.size() % 2 != 0) {
    return kUsage;
  }
  Server server;
  for (const Port& port : ports) {
    if (!server.listen(host, port)) {
      std::fprintf(stderr,
                   "listen on %s port %s: %s\n",
                   host.c_str(),
                   port.text.c_str(),
                   std::strerror(errno));
      return kFailed;
    }
  }
  std::puts("ready");
  std::fflush(stdout);
  return server.run();
}

}  // namespace margay::probe
