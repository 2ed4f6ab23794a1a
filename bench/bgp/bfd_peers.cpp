#include "bench/bgp/bfd_peers.h"

#include "bench/support/process.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

namespace margay::bench {

namespace {

constexpr int kMaxTtl = 255;  // RFC 5881 section 5
constexpr std::uint16_t kFirstSource = 49152;

const sockaddr* pointer_to(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

Result<int> open_socket(const sockaddr_in& local) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  if (fd < 0 || ::setsockopt(fd, IPPROTO_IP, IP_TTL, &kMaxTtl, sizeof kMaxTtl) != 0 ||
      ::setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) != 0 ||
      ::bind(fd, pointer_to(local), sizeof local) != 0) {
    const int error = errno;
    if (fd >= 0) {
      ::close(fd);
    }
    return fail_errno(error, "socket for BFD");
  }
  return fd;
}

// The next datagram and the address of ours that it was for.
struct Arrival {
  bfd::ControlPacket packet;
  std::uint32_t to = 0;
};
std::optional<Arrival> receive_from(int fd) {
  while (true) {
    std::array<std::uint8_t, 256> buffer{};
    alignas(cmsghdr) std::array<char, 128> control{};
    iovec piece{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(fd, &message, MSG_DONTWAIT);
    if (got < 0) {
      return std::nullopt;
    }
    const auto packet = bfd::decode(std::span(buffer).first(static_cast<std::size_t>(got)));
    const cmsghdr* part = CMSG_FIRSTHDR(&message);
    if (!packet || part == nullptr || part->cmsg_type != IP_PKTINFO) {
      continue;
    }
    in_pktinfo info{};
    std::memcpy(&info, CMSG_DATA(part), sizeof info);
    return Arrival{*packet, ntohl(info.ipi_addr.s_addr)};
  }
}

}  // namespace

Result<std::unique_ptr<BfdPeers>> BfdPeers::start(const Settings& settings) {
  std::unique_ptr<BfdPeers> peers(new BfdPeers);
  if (auto opened = peers->open(settings); !opened) {
    return fail(opened.error());
  }
  peers->thread_ = std::jthread([raw = peers.get()](const std::stop_token& stop) {
    const sched_param priority{.sched_priority = 1};
    (void)::pthread_setschedparam(::pthread_self(), SCHED_FIFO, &priority);  // where permitted
    raw->serve(stop);
  });
  return peers;
}

Result<void> BfdPeers::open(const Settings& settings) {
  settings_ = settings;
  auto receiver = open_socket(socket_address(IpAddr(), bfd::kSingleHopPort));
  if (!receiver) {
    return fail(receiver.error());
  }
  receiver_ = *receiver;
  const int room = 4 << 20;
  ::setsockopt(receiver_, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  for (std::size_t i = 0; i < settings.addresses.size(); ++i) {
    const auto port = static_cast<std::uint16_t>(kFirstSource + i);
    auto fd = open_socket(socket_address(settings.addresses[i], port));
    if (!fd) {
      return fail(fd.error());
    }
    Peer peer;
    peer.fd = *fd;
    peers_.push_back(std::move(peer));
    peers_.back().session.emplace(settings_of(i), Clock::now());
  }
  return {};
}

BfdPeers::~BfdPeers() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
  for (const Peer& peer : peers_) {
    ::close(peer.fd);
  }
  if (receiver_ >= 0) {
    ::close(receiver_);
  }
}

bfd::SessionSettings BfdPeers::settings_of(std::size_t peer) const {
  const auto number = static_cast<std::uint32_t>(peer) + 1;
  return {settings_.interval, settings_.multiplier, number, number};
}

void BfdPeers::silence(std::size_t peer) {
  const std::lock_guard lock(mutex_);
  peers_[peer].silent = true;
  peers_[peer].session.reset();
  peers_[peer].silence.detected.reset();
}

void BfdPeers::resume(std::size_t peer) {
  const std::lock_guard lock(mutex_);
  peers_[peer].silent = false;
  peers_[peer].session.emplace(settings_of(peer), Clock::now());
}

BfdPeers::Silence BfdPeers::silence_of(std::size_t peer) const {
  const std::lock_guard lock(mutex_);
  return peers_[peer].silence;
}

bool BfdPeers::all_up() const {
  const std::lock_guard lock(mutex_);
  return std::ranges::all_of(peers_, [](const Peer& peer) {
    return peer.session && peer.session->state() == bfd::State::kUp;
  });
}

unsigned BfdPeers::false_alarms() const {
  const std::lock_guard lock(mutex_);
  return false_alarms_;
}

void BfdPeers::serve(std::stop_token stop) {
  constexpr std::chrono::milliseconds kLongest{20};  // to see what was asked for
  while (!stop.stop_requested()) {
    auto wake = Clock::now() + kLongest;
    {
      const std::lock_guard lock(mutex_);
      wake = std::min(wake, next_deadline().value_or(wake));
    }
    const auto left = std::max(wake - Clock::now(), Clock::duration::zero());
    const timespec timeout{0, std::chrono::nanoseconds(left).count()};
    pollfd ready{receiver_, POLLIN, 0};
    ::ppoll(&ready, 1, &timeout, nullptr);
    const std::lock_guard lock(mutex_);
    read_all();  // what came while this thread waited for a processor is no silence
    const auto now = Clock::now();
    for (Peer& peer : peers_) {
      if (peer.session && peer.session->next_deadline().value_or(wake + kLongest) <= now) {
        peer.session->on_deadline(now);
        settle(peer);
      }
    }
  }
}

std::optional<BfdPeers::Clock::time_point> BfdPeers::next_deadline() const {
  std::optional<Clock::time_point> next;
  for (const Peer& peer : peers_) {
    const auto deadline = peer.session ? peer.session->next_deadline() : std::nullopt;
    if (deadline && (!next || *deadline < *next)) {
      next = deadline;
    }
  }
  return next;
}

void BfdPeers::read_all() {
  constexpr unsigned kMostAtOnce = 1024;
  for (unsigned i = 0; i < kMostAtOnce; ++i) {
    const auto arrival = receive_from(receiver_);
    if (!arrival) {
      return;
    }
    const auto place = std::ranges::find(settings_.addresses, IpAddr::v4(arrival->to));
    if (place != settings_.addresses.end()) {
      Peer& peer = peers_[static_cast<std::size_t>(place - settings_.addresses.begin())];
      on_packet(peer, arrival->packet, Clock::now());
    }
  }
}

void BfdPeers::on_packet(Peer& peer, const bfd::ControlPacket& packet, Clock::time_point now) {
  if (peer.silent) {
    if (packet.state == bfd::State::kDown && !peer.silence.detected) {
      peer.silence.detected = now;
    }
    return;
  }
  peer.session->on_packet(packet, now);
  settle(peer);
}

void BfdPeers::settle(Peer& peer) {
  for (const bfd::ControlPacket& packet : peer.session->take_packets()) {
    const auto bytes = bfd::encode(packet);
    const sockaddr_in to = socket_address(settings_.speaker, bfd::kSingleHopPort);
    peer.silence.last_packet = Clock::now();
    ::sendto(peer.fd, bytes.data(), bytes.size(), 0, pointer_to(to), sizeof to);
  }
  if (const auto change = peer.session->take_change();
      change && change->state == bfd::State::kDown) {
    ++false_alarms_;
  }
}

}  // namespace margay::bench
