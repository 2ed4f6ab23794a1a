#include "bgp/bfd/engine.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ifaddrs.h>
#include <map>
#include <pthread.h>
#include <random>
#include <sched.h>
#include <thread>
#include <utility>

namespace margay::bfd {

namespace asio = boost::asio;
using asio::ip::udp;
using boost::system::error_code;

namespace {

constexpr int kMaxTtl = 255;           // RFC 5881 section 5
constexpr int kNetworkControl = 0xc0;  // DSCP CS6

asio::ip::address to_asio(const IpAddr& addr, IfIndex link = {}) {
  const auto bytes = addr.bytes();
  if (addr.is_v4()) {
    return asio::ip::make_address_v4(addr.v4_value());
  }
  asio::ip::address_v6::bytes_type raw{};
  std::copy(bytes.begin(), bytes.end(), raw.begin());
  return asio::ip::make_address_v6(raw, link.value());
}

bool set(udp::socket& socket, int level, int option, int value) {
  return ::setsockopt(socket.native_handle(), level, option, &value, sizeof value) == 0;
}

// RFC 5881 section 4: from 49152 to 65535, the same while the session lives.
error_code bind_source(udp::socket& socket, const asio::ip::address& local, std::uint32_t seed) {
  constexpr std::uint32_t kFirst = 49152;
  constexpr std::uint32_t kCount = 16384;
  constexpr std::uint32_t kTries = 64;
  error_code errc;
  for (std::uint32_t i = 0; i < kTries; ++i) {
    const auto port = static_cast<std::uint16_t>(kFirst + (seed + i) % kCount);
    socket.bind(udp::endpoint(local, port), errc);
    if (errc != asio::error::address_in_use) {
      return errc;
    }
  }
  return errc;
}

template <typename Address>
std::optional<IpAddr> address_in(const sockaddr* from);
template <>
std::optional<IpAddr> address_in<sockaddr_in>(const sockaddr* from) {
  sockaddr_in address{};
  std::memcpy(&address, from, sizeof address);
  return IpAddr::v4(ntohl(address.sin_addr.s_addr));
}
template <>
std::optional<IpAddr> address_in<sockaddr_in6>(const sockaddr* from) {
  sockaddr_in6 address{};
  std::memcpy(&address, from, sizeof address);
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), &address.sin6_addr, bytes.size());
  return IpAddr::v6(bytes);
}
std::optional<IpAddr> address_of(const sockaddr* from) {
  if (from != nullptr && from->sa_family == AF_INET) {
    return address_in<sockaddr_in>(from);
  }
  return from != nullptr && from->sa_family == AF_INET6 ? address_in<sockaddr_in6>(from)
                                                        : std::nullopt;
}

// One of our interfaces has an address of the same network.
bool on_local_network(const IpAddr& remote) {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) {
    return false;
  }
  bool found = false;
  for (const ifaddrs* one = all; one != nullptr && !found; one = one->ifa_next) {
    const auto addr = address_of(one->ifa_addr);
    const auto mask = address_of(one->ifa_netmask);
    if (!addr || !mask || addr->family() != remote.family()) {
      continue;
    }
    // The other end of a point-to-point link (`ip addr add A peer B`).
    if (address_of(one->ifa_dstaddr) == remote) {
      found = true;
      break;
    }
    found = true;
    for (std::size_t i = 0; i < remote.bytes().size(); ++i) {
      found = found && ((addr->bytes()[i] ^ remote.bytes()[i]) & mask->bytes()[i]) == 0;
    }
  }
  ::freeifaddrs(all);
  return found;
}

// The interface that a link-local address is of.
IfIndex link_of(const sockaddr_storage& from) {
  if (from.ss_family != AF_INET6) {
    return {};
  }
  sockaddr_in6 address{};
  std::memcpy(&address, &from, sizeof address);
  return IfIndex(address.sin6_scope_id);
}

struct Datagram {
  ControlPacket packet;
  Remote source;
  int ttl = 0;
};

// The next packet that makes sense; nothing when none is left.
std::optional<Datagram> receive(int fd) {
  while (true) {
    std::array<std::uint8_t, 256> buffer{};
    std::array<char, 64> control{};
    sockaddr_storage from{};
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
      return std::nullopt;
    }
    const auto packet = decode(std::span(buffer).first(static_cast<std::size_t>(got)));
    const auto source = address_of(reinterpret_cast<const sockaddr*>(&from));
    if (!packet || !source) {
      continue;
    }
    Datagram datagram{*packet, {*source, link_of(from)}, 0};
    for (const cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, const_cast<cmsghdr*>(part))) {
      if ((part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_TTL) ||
          (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_HOPLIMIT)) {
        std::memcpy(&datagram.ttl, CMSG_DATA(part), sizeof datagram.ttl);
      }
    }
    return datagram;
  }
}

}  // namespace

class Engine::Loop : public std::enable_shared_from_this<Engine::Loop> {
 public:
  explicit Loop(Callbacks callbacks)
      : callbacks_(std::move(callbacks)), guard_(io_.get_executor()), timer_(io_) {}

  void start() {
    thread_ = std::thread([this] {
      const sched_param priority{.sched_priority = 1};
      (void)::pthread_setschedparam(::pthread_self(), SCHED_FIFO, &priority);  // where permitted
      ::pthread_setname_np(::pthread_self(), "bfd");
      io_.run();
    });
  }
  void stop() {
    asio::post(io_, [this] {
      for (auto& [remote, peer] : peers_) {
        end(peer);
      }
      peers_.clear();
      receivers_.clear();
      timer_.cancel();
      guard_.reset();
      io_.stop();
    });
    thread_.join();
  }
  void configure(std::vector<PeerConfig> peers) {
    asio::post(io_, [this, peers = std::move(peers)] { apply(peers); });
  }

 private:
  struct Peer {
    Peer(asio::io_context& io, const PeerConfig& wanted, const SessionSettings& settings)
        : config(wanted),
          multihop(wanted.multihop.value_or(wanted.remote.link == IfIndex() &&
                                            !on_local_network(wanted.remote.address))),
          socket(io),
          session(settings, Clock::now()) {}
    PeerConfig config;
    bool multihop;
    udp::socket socket;
    Session session;
  };
  struct Place {
    Family family = Family::kIpv4;
    bool multihop = false;
    auto operator<=>(const Place&) const = default;
  };

  void apply(const std::vector<PeerConfig>& wanted) {
    std::map<Remote, PeerConfig> by_remote;
    for (const PeerConfig& config : wanted) {
      by_remote.emplace(config.remote, config);
    }
    for (auto peer = peers_.begin(); peer != peers_.end();) {
      const auto still = by_remote.find(peer->first);
      if (still != by_remote.end() && still->second == peer->second.config) {
        ++peer;
        continue;
      }
      end(peer->second);
      deadlines_.stop(peer->first);
      peer = peers_.erase(peer);
    }
    for (const auto& [remote, config] : by_remote) {
      if (!peers_.contains(remote)) {
        add(config);
      }
    }
    arm();
  }

  void add(const PeerConfig& config) {
    const SessionSettings settings{.interval = config.interval,
                                   .multiplier = config.multiplier,
                                   .discriminator = ++last_discriminator_,
                                   .seed = static_cast<std::uint32_t>(random_())};
    const auto [place, added] = peers_.try_emplace(config.remote, io_, config, settings);
    listen({config.remote.address.family(), place->second.multihop});
    open(place->second);
    settle(place->second);
  }

  void open(Peer& peer) {
    const PeerConfig& config = peer.config;
    const bool v4 = config.remote.address.is_v4();
    error_code errc;
    peer.socket.open(v4 ? udp::v4() : udp::v6(), errc);
    const auto local = config.local ? to_asio(*config.local)
                       : v4         ? asio::ip::address(asio::ip::address_v4::any())
                                    : asio::ip::address(asio::ip::address_v6::any());
    if (!errc) {
      set(peer.socket,
          v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6},
          v4 ? IP_TTL : IPV6_UNICAST_HOPS,
          kMaxTtl);
      set(peer.socket,
          v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6},
          v4 ? IP_TOS : IPV6_TCLASS,
          kNetworkControl);
      errc = bind_source(peer.socket, local, static_cast<std::uint32_t>(random_()));
    }
    if (!errc) {
      peer.socket.non_blocking(true, errc);
    }
    if (errc) {
      callbacks_.on_error(
          fail(Errc::kUnavailable, "BFD to {}: {}", config.remote.address.str(), errc.message())
              .error);
    }
  }

  // One socket for each family and kind of session, while some session needs it.
  void listen(const Place& place) {
    if (receivers_.contains(place)) {
      return;
    }
    auto socket = std::make_shared<udp::socket>(io_);
    const bool v4 = place.family == Family::kIpv4;
    error_code errc;
    socket->open(v4 ? udp::v4() : udp::v6(), errc);
    if (!errc && !v4) {
      set(*socket, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
    if (!errc) {
      socket->bind(udp::endpoint(v4 ? udp::v4() : udp::v6(),
                                 place.multihop ? kMultihopPort : kSingleHopPort),
                   errc);
    }
    if (errc || !set(*socket,
                     v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6},
                     v4 ? IP_RECVTTL : IPV6_RECVHOPLIMIT,
                     1)) {
      callbacks_.on_error(fail(Errc::kUnavailable,
                               "listen for BFD on port {}: {}",
                               place.multihop ? kMultihopPort : kSingleHopPort,
                               errc ? errc.message() : std::strerror(errno))
                              .error);
      return;
    }
    receivers_.emplace(place, socket);
    wait(place, socket);
  }

  void wait(const Place& place, const std::shared_ptr<udp::socket>& socket) {
    socket->async_wait(udp::socket::wait_read, [this, place, socket](const error_code& errc) {
      if (errc) {
        return;
      }
      read(place, *socket);
      arm();
      wait(place, socket);
    });
  }

  void read(const Place& place, udp::socket& socket) {
    constexpr unsigned kMostAtOnce = 256;
    for (unsigned i = 0; i < kMostAtOnce; ++i) {
      const auto datagram = receive(socket.native_handle());
      if (!datagram) {
        return;
      }
      on_datagram(place, *datagram);
    }
  }

  void on_datagram(const Place& place, const Datagram& datagram) {
    const auto found = peers_.find(datagram.source);
    // RFC 5881 section 5: what came from further away is not the neighbour's.
    if (found == peers_.end() || found->second.multihop != place.multihop ||
        (!place.multihop && datagram.ttl != kMaxTtl)) {
      return;
    }
    const std::uint32_t yours = datagram.packet.your_discriminator;
    if (yours != 0 && yours != found->second.session.discriminator()) {
      return;
    }
    found->second.session.on_packet(datagram.packet, Clock::now());
    settle(found->second);
  }

  void settle(Peer& peer) {
    for (const ControlPacket& packet : peer.session.take_packets()) {
      send(peer, packet);
    }
    if (const auto change = peer.session.take_change()) {
      callbacks_.on_change(peer.config.remote, *change);
    }
    if (const auto deadline = peer.session.next_deadline()) {
      deadlines_.start(peer.config.remote, *deadline);
    } else {
      deadlines_.stop(peer.config.remote);
    }
  }

  // Lost where the kernel has no room or no way: that is what the protocol is for.
  static void send(Peer& peer, const ControlPacket& packet) {
    const auto bytes = encode(packet);
    error_code ignored;
    peer.socket.send_to(asio::buffer(bytes),
                        udp::endpoint(to_asio(peer.config.remote.address, peer.config.remote.link),
                                      peer.multihop ? kMultihopPort : kSingleHopPort),
                        0,
                        ignored);
  }

  static void end(Peer& peer) {
    peer.session.shut_down();
    for (const ControlPacket& packet : peer.session.take_packets()) {
      send(peer, packet);
    }
  }

  void arm() {
    const auto next = deadlines_.next_deadline();
    if (!next) {
      timer_.cancel();
      armed_.reset();
      return;
    }
    if (armed_ == next) {
      return;
    }
    armed_ = next;
    timer_.expires_at(*next);
    timer_.async_wait([this](const error_code& errc) {
      if (errc) {
        return;
      }
      armed_.reset();
      // What came while this thread had to wait for a processor is no silence.
      for (const auto& [place, socket] : receivers_) {
        read(place, *socket);
      }
      const TimePoint now = Clock::now();
      while (const auto remote = deadlines_.pop_due(now)) {
        Peer& peer = peers_.at(*remote);
        peer.session.on_deadline(now);
        settle(peer);
      }
      arm();
    });
  }

  Callbacks callbacks_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard_;
  asio::steady_timer timer_;
  std::optional<TimePoint> armed_;
  std::map<Remote, Peer> peers_;
  std::map<Place, std::shared_ptr<udp::socket>> receivers_;
  TimerSet<Remote> deadlines_;
  std::uint32_t last_discriminator_ = 0;
  std::minstd_rand random_{std::random_device{}()};
  std::thread thread_;
};

Engine::Engine(Callbacks callbacks) : loop_(std::make_shared<Loop>(std::move(callbacks))) {
  loop_->start();
}

Engine::~Engine() {
  loop_->stop();
}

void Engine::configure(std::vector<PeerConfig> peers) {
  loop_->configure(std::move(peers));
}

}  // namespace margay::bfd
