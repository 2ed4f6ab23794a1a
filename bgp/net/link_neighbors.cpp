#include "bgp/net/link_neighbors.h"

#include "bgp/net/router_discovery.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ifaddrs.h>
#include <map>
#include <unistd.h>
#include <utility>

namespace margay::bgp {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr int kNeighborHopLimit = 255;  // RFC 4861 section 6.1
constexpr std::chrono::seconds kTick{1};
constexpr unsigned kFirstTicks = 5;      // with an advertisement each, while the other end starts
constexpr unsigned kTicksBetween = 10;   // then; FRR's pace for unnumbered peers
constexpr unsigned kMostAtOnce = 64;     // messages read per turn
constexpr std::uint8_t kAllNodes = 1;    // ff02::1
constexpr std::uint8_t kAllRouters = 2;  // ff02::2

in6_addr multicast_group(std::uint8_t last) {
  in6_addr group{};
  group.s6_addr[0] = 0xff;
  group.s6_addr[1] = 0x02;
  group.s6_addr[15] = last;
  return group;
}

IpAddr from_in6(const in6_addr& raw) {
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), &raw, bytes.size());
  return IpAddr::v6(bytes);
}

// An interface as the system has it now.
struct Interface {
  IfIndex index;
  std::optional<IpAddr> link_local;
  std::optional<MacAddress> mac;
};

void take_address(const ifaddrs& entry, Interface& into) {
  if (entry.ifa_addr->sa_family == AF_INET6) {
    sockaddr_in6 address{};
    std::memcpy(&address, entry.ifa_addr, sizeof address);
    const IpAddr addr = from_in6(address.sin6_addr);
    if (addr.is_link_local() && !into.link_local) {
      into.link_local = addr;
    }
  } else if (entry.ifa_addr->sa_family == AF_PACKET) {
    sockaddr_ll address{};
    std::memcpy(&address, entry.ifa_addr, sizeof address);
    into.index = IfIndex(static_cast<std::uint32_t>(address.sll_ifindex));
    if (MacAddress mac{}; address.sll_halen == mac.size()) {
      std::memcpy(mac.data(), address.sll_addr, mac.size());
      into.mac = mac;
    }
  }
}

// Those that are up; nothing when the system does not say.
std::optional<std::map<std::string, Interface>> interfaces_now() {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) {
    return std::nullopt;
  }
  std::map<std::string, Interface> out;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    const bool up = (one->ifa_flags & static_cast<unsigned>(IFF_UP | IFF_RUNNING)) ==
                    static_cast<unsigned>(IFF_UP | IFF_RUNNING);
    if (up && one->ifa_addr != nullptr) {
      take_address(*one, out[one->ifa_name]);
    }
  }
  ::freeifaddrs(all);
  return out;
}

bool set_option(int fd, int level, int option, int value) {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// Takes nothing but router discovery, and tells from where and how far it came.
Result<int> open_discovery_socket() {
  const int fd = ::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);
  if (fd < 0) {
    return fail_errno(errno, "open a socket for router discovery");
  }
  constexpr unsigned kTypesPerWord = 32;
  icmp6_filter filter{};
  std::memset(&filter, 0xff, sizeof filter);
  for (const Discovery type : {Discovery::kSolicitation, Discovery::kAdvertisement}) {
    const auto number = static_cast<unsigned>(type);
    filter.icmp6_filt[number / kTypesPerWord] &= ~(1U << (number % kTypesPerWord));
  }
  const bool set = ::setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) == 0 &&
                   set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) &&
                   set_option(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) &&
                   set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0) &&
                   set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, kNeighborHopLimit);
  if (!set) {
    const int error = errno;
    ::close(fd);
    return fail_errno(error, "prepare a socket for router discovery");
  }
  return fd;
}

struct Heard {
  Discovery type = Discovery::kSolicitation;
  IpAddr source;
  IfIndex link;
};

// What the control messages of a datagram say.
struct Arrival {
  IfIndex link;
  int hop_limit = 0;
};
Arrival arrival_of(msghdr& message) {
  Arrival arrival;
  for (const cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, const_cast<cmsghdr*>(part))) {
    if (part->cmsg_level != IPPROTO_IPV6) {
      continue;
    }
    if (part->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      arrival.link = IfIndex(info.ipi6_ifindex);
    } else if (part->cmsg_type == IPV6_HOPLIMIT) {
      std::memcpy(&arrival.hop_limit, CMSG_DATA(part), sizeof arrival.hop_limit);
    }
  }
  return arrival;
}

// One datagram; false when none is left. `heard` stays empty for what does not count.
bool receive_discovery(int fd, std::optional<Heard>& heard) {
  std::array<std::uint8_t, 1500> buffer{};
  alignas(cmsghdr) std::array<char, 128> control{};
  sockaddr_in6 from{};
  iovec piece{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(fd, &message, MSG_DONTWAIT);
  if (got < 0) {
    return false;
  }
  const auto type = decode_discovery(Bytes(buffer).first(static_cast<std::size_t>(got)));
  const Arrival arrival = arrival_of(message);
  const IpAddr source = from_in6(from.sin6_addr);
  if (type && arrival.hop_limit == kNeighborHopLimit) {
    heard = Heard{*type, source, arrival.link};
  }
  return true;
}

// From this very address: an advertisement comes from a link-local one.
bool send_discovery(int fd, Discovery type, const Interface& interface) {
  std::vector<std::uint8_t> bytes = encode_discovery(type, interface.mac);
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_addr = multicast_group(type == Discovery::kAdvertisement ? kAllNodes : kAllRouters);
  to.sin6_scope_id = interface.index.value();
  in6_pktinfo source{};
  std::memcpy(&source.ipi6_addr, interface.link_local->bytes().data(), sizeof source.ipi6_addr);
  source.ipi6_ifindex = interface.index.value();
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof source)> control{};
  iovec piece{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_name = &to;
  message.msg_namelen = sizeof to;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = IPPROTO_IPV6;
  part->cmsg_type = IPV6_PKTINFO;
  part->cmsg_len = CMSG_LEN(sizeof source);
  std::memcpy(CMSG_DATA(part), &source, sizeof source);
  return ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

}  // namespace

struct LinkNeighbors::State : std::enable_shared_from_this<LinkNeighbors::State> {
  struct Watched {
    Interface now;
    LinkNeighbor known;
    unsigned ticks = 0;   // since the interface came
    bool answer = false;  // somebody asked, or is new
  };

  State(asio::io_context& io, Callbacks wanted)
      : callbacks(std::move(wanted)), socket(io), timer(io) {}

  void watch(const std::set<std::string>& interfaces) {
    std::erase_if(links,
                  [&interfaces](const auto& entry) { return !interfaces.contains(entry.first); });
    for (const std::string& name : interfaces) {
      links.try_emplace(name);
    }
    if (links.empty()) {
      timer.cancel();
    } else if (open()) {
      tick();
    }
  }

  bool open() {
    if (socket.is_open()) {
      return true;
    }
    const auto fd = open_discovery_socket();
    if (!fd) {
      callbacks.on_error(fd.error());
      return false;
    }
    error_code errc;
    socket.assign(*fd, errc);
    wait();
    return true;
  }
  void close() {
    error_code ignored;
    socket.close(ignored);
    timer.cancel();
    callbacks = {};
    links.clear();
  }

  void wait() {
    socket.async_wait(asio::posix::stream_descriptor::wait_read,
                      [self = shared_from_this()](const error_code& errc) {
                        if (!errc && self->socket.is_open()) {
                          self->read();
                          self->wait();
                        }
                      });
  }
  void read() {
    for (unsigned i = 0; i < kMostAtOnce; ++i) {
      std::optional<Heard> heard;
      if (!receive_discovery(socket.native_handle(), heard)) {
        return;
      }
      if (heard && heard->source.is_link_local()) {
        on_heard(*heard);
      }
    }
  }
  void on_heard(const Heard& heard) {
    for (auto& [name, watched] : links) {
      if (watched.now.index != heard.link || watched.now.link_local == heard.source) {
        continue;
      }
      const bool fresh =
          heard.type == Discovery::kAdvertisement && watched.known.other != heard.source;
      // At most one a second each, by the tick; a new neighbour learns of us at once.
      watched.answer = true;
      if (fresh) {
        watched.known.other = heard.source;
        announce(watched);
        callbacks.on_change(name, watched.known);
      }
      return;
    }
  }

  void tick() {
    if (const auto now = interfaces_now()) {
      look_at(*now);
    }
    timer.expires_after(kTick);
    timer.async_wait([self = shared_from_this()](const error_code& errc) {
      if (!errc && !self->links.empty()) {
        self->tick();
      }
    });
  }
  void look_at(const std::map<std::string, Interface>& now) {
    for (auto& [name, watched] : links) {
      const auto found = now.find(name);
      const LinkNeighbor before = watched.known;
      take(watched, found == now.end() ? Interface() : found->second);
      const bool due = watched.ticks < kFirstTicks || watched.ticks % kTicksBetween == 0;
      if (watched.now.link_local && (due || watched.answer)) {
        announce(watched);
      }
      ++watched.ticks;
      if (watched.known != before) {
        callbacks.on_change(name, watched.known);
      }
    }
  }
  void take(Watched& watched, const Interface& found) {
    if (found.index == watched.now.index && found.link_local == watched.now.link_local) {
      return;
    }
    watched = Watched{.now = found};
    watched.known.index = found.index;
    if (found.index != IfIndex()) {
      const ipv6_mreq group{multicast_group(kAllRouters), found.index.value()};
      // Once more for the same interface is an error without meaning.
      (void)::setsockopt(
          socket.native_handle(), IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group);
    }
  }
  // An address that is still being checked for duplicates cannot send: the next tick tries again.
  void announce(Watched& watched) {
    const int fd = socket.native_handle();
    if (!send_discovery(fd, Discovery::kAdvertisement, watched.now)) {
      watched.ticks = 0;
      return;
    }
    watched.answer = false;
    watched.known.own = watched.now.link_local;
    if (!watched.known.other) {
      (void)send_discovery(fd, Discovery::kSolicitation, watched.now);
    }
  }

  Callbacks callbacks;
  asio::posix::stream_descriptor socket;
  asio::steady_timer timer;
  std::map<std::string, Watched> links;
};

LinkNeighbors::LinkNeighbors(asio::io_context& loop, Callbacks callbacks)
    : state_(std::make_shared<State>(loop, std::move(callbacks))) {}

LinkNeighbors::~LinkNeighbors() {
  state_->close();
}

void LinkNeighbors::watch(const std::set<std::string>& interfaces) {
  state_->watch(interfaces);
}

LinkNeighbor LinkNeighbors::link(const std::string& interface) const {
  const auto found = state_->links.find(interface);
  return found == state_->links.end() ? LinkNeighbor() : found->second.known;
}

}  // namespace margay::bgp
