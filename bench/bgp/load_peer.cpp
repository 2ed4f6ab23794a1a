#include "bench/bgp/load_peer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace margay::bench {

using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t kFirstAddress = 0x0B000000U;  // 11.0.0.0
constexpr unsigned kHostBits = 8;
constexpr std::uint8_t kLength = 24;
constexpr std::uint16_t kPort = 179;

std::uint32_t word(const IpAddr& address) {
  std::uint32_t value = 0;
  for (const std::uint8_t byte : address.bytes()) {
    value = value << 8U | byte;
  }
  return value;
}

sockaddr_in socket_address(const IpAddr& address, std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  out.sin_addr.s_addr = htonl(word(address));
  return out;
}

const sockaddr* pointer(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace

Prefix numbered_prefix(std::uint32_t number) {
  return Prefix::masked(IpAddr::v4(kFirstAddress + (number << kHostBits)), kLength);
}

std::optional<std::uint32_t> number_of(const Prefix& prefix) {
  const std::uint32_t address = word(prefix.addr());
  return prefix.addr().is_v4() && address >= kFirstAddress
             ? std::optional((address - kFirstAddress) >> kHostBits)
             : std::nullopt;
}

LoadPeer::~LoadPeer() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

LoadPeer::LoadPeer(LoadPeer&& other) noexcept {
  *this = std::move(other);
}

LoadPeer& LoadPeer::operator=(LoadPeer&& other) noexcept {
  std::swap(options_, other.options_);
  std::swap(fd_, other.fd_);
  std::swap(connecting_, other.connecting_);
  std::swap(greeted_, other.greeted_);
  std::swap(hello_, other.hello_);
  std::swap(context_, other.context_);
  std::swap(out_, other.out_);
  std::swap(in_, other.in_);
  std::swap(filled_, other.filled_);
  std::swap(opens_, other.opens_);
  std::swap(keepalives_, other.keepalives_);
  std::swap(has_, other.has_);
  std::swap(held_, other.held_);
  std::swap(hold_time_, other.hold_time_);
  std::swap(told_, other.told_);
  std::swap(heard_, other.heard_);
  std::swap(longest_silence_, other.longest_silence_);
  return *this;
}

Result<LoadPeer> LoadPeer::establish(const Options& options, Clock::time_point deadline) {
  while (true) {
    auto peer = try_once(options, deadline);
    if (peer || Clock::now() >= deadline) {
      return peer;
    }
    std::this_thread::sleep_for(10ms);
  }
}

Result<LoadPeer> LoadPeer::try_once(const Options& options, Clock::time_point deadline) {
  auto peer = connect(options);
  while (peer && !peer->established()) {
    if (Clock::now() >= deadline) {
      return fail(Errc::kTimeout, "session with {}: not in time", options.remote.str());
    }
    wait_for({&*peer}, deadline);
    if (const auto done = peer->pump(); !done) {
      return fail(done.error(), "session with {}", options.remote.str());
    }
  }
  return peer;
}

Result<LoadPeer> LoadPeer::connect(const Options& options) {
  LoadPeer peer;
  peer.options_ = options;
  peer.in_.resize(options.read_bytes);
  peer.has_.resize(options.prefixes);
  peer.context_.internal = options.asn == options.remote_asn;
  peer.context_.local_asn = options.asn;
  peer.context_.peer_asn = options.remote_asn;
  peer.fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (peer.fd_ < 0) {
    return fail_errno(errno, "socket");
  }
  const int on = 1;
  ::setsockopt(peer.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const sockaddr_in local = socket_address(options.local, 0);
  if (::bind(peer.fd_, pointer(local), sizeof local) != 0) {
    return fail_errno(errno, "bind to {}", options.local.str());
  }
  const sockaddr_in remote = socket_address(options.remote, kPort);
  if (::connect(peer.fd_, pointer(remote), sizeof remote) != 0 && errno != EINPROGRESS) {
    return fail_errno(errno, "connect to {}", options.remote.str());
  }
  peer.connecting_ = true;
  return peer;
}

Result<void> LoadPeer::finish_connect() {
  pollfd polled{fd_, POLLOUT, 0};
  if (::poll(&polled, 1, 0) != 1) {
    return {};
  }
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
    return fail_errno(error != 0 ? error : errno, "connect to {}", options_.remote.str());
  }
  connecting_ = false;
  hello_ = bgp::encode_open({options_.asn,
                             options_.hold_time_s,
                             RouterId{word(options_.local)},
                             {bgp::MultiprotocolCapability{bgp::kIpv4Unicast},
                              bgp::FourOctetAsCapability{options_.asn}}});
  queue(hello_);
  return {};
}

// The OPEN is answered; it went out whole long before, as an answer needs it.
void LoadPeer::on_open() {
  ++opens_;
  if (opens_ == 1) {
    hello_ = bgp::encode_keepalive();
    queue(hello_);
    greeted_ = true;
    hold_time_ = std::chrono::seconds(options_.hold_time_s);
    told_ = heard_ = Clock::now();
  }
}

Result<void> LoadPeer::keep_alive() {
  const auto now = Clock::now();
  longest_silence_ = std::max(longest_silence_, now - heard_);
  if (now - heard_ > hold_time_) {
    return fail(Errc::kTimeout, "the speaker was silent for longer than the hold time");
  }
  constexpr int kPerHold = 3;
  if (sending() || now - told_ < hold_time_ / kPerHold) {
    return {};
  }
  told_ = now;
  static const auto message = bgp::encode_keepalive();
  queue(message);
  return {};
}

Result<void> LoadPeer::pump() {
  if (connecting_) {
    if (auto done = finish_connect(); !done || connecting_) {
      return done;
    }
  }
  if (hold_time_ != Clock::duration{}) {
    if (auto done = keep_alive(); !done) {
      return done;
    }
  }
  if (auto done = send_some(); !done) {
    return done;
  }
  const bool was_greeted = greeted_;
  if (auto done = read_some(); !done) {
    return done;
  }
  return was_greeted ? Result<void>() : send_some();
}

Result<void> LoadPeer::send_some() {
  while (!out_.empty()) {
    const ssize_t done = ::send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0) {
      if (errno == EAGAIN || errno == EINTR) {
        break;
      }
      return fail_errno(errno, "send");
    }
    out_ = out_.subspan(static_cast<std::size_t>(done));
  }
  return {};
}

Result<void> LoadPeer::read_some() {
  const ssize_t got = ::recv(fd_, in_.data() + filled_, in_.size() - filled_, MSG_DONTWAIT);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) {
      return {};
    }
    return fail_errno(errno, "receive");
  }
  if (got == 0) {
    return fail(Errc::kUnavailable, "the connection has ended");
  }
  if (hold_time_ != Clock::duration{}) {
    longest_silence_ = std::max(longest_silence_, Clock::now() - heard_);
  }
  heard_ = Clock::now();
  filled_ += static_cast<std::size_t>(got);
  bgp::Bytes left(in_.data(), filled_);
  while (true) {
    const auto frame = bgp::next_frame(left, true);
    if (!frame) {
      return fail(Errc::kInvalid, "bad header: {}", to_string(frame.error()));
    }
    if (!frame->has_value()) {
      break;
    }
    if (auto done = on_frame(**frame); !done) {
      return done;
    }
    left = left.subspan((*frame)->size);
  }
  std::memmove(in_.data(), left.data(), left.size());
  filled_ = left.size();
  return {};
}

Result<void> LoadPeer::on_frame(const bgp::Frame& frame) {
  switch (frame.type) {
    case bgp::MessageType::kOpen:
      on_open();
      return {};
    case bgp::MessageType::kKeepalive:
      ++keepalives_;
      return {};
    case bgp::MessageType::kNotification:
      return fail(Errc::kUnavailable,
                  "the speaker sent {}",
                  to_string(bgp::decode_notification(frame.body)));
    case bgp::MessageType::kRouteRefresh:
      return {};
    case bgp::MessageType::kUpdate:
      break;
  }
  const auto parts = bgp::split_update(frame.body);
  if (!parts) {
    return fail(Errc::kInvalid, "bad update: {}", to_string(parts.error()));
  }
  mark(parts->withdrawn, false);
  mark(parts->nlri, true);
  return {};
}

void LoadPeer::mark(bgp::Bytes nlri, bool announced) {
  bgp::NlriReader reader(nlri, Family::kIpv4, false);
  bgp::Nlri one;
  while (reader.next(one)) {
    const std::uint32_t number = (word(one.prefix.addr()) - kFirstAddress) >> kHostBits;
    const bool own = number >= options_.own_begin && number < options_.own_end;
    if (number < has_.size() && !own && has_[number] != announced) {
      has_[number] = announced;
      held_ += announced ? 1U : static_cast<std::uint32_t>(-1);
    }
  }
}

void wait_for(const std::vector<const LoadPeer*>& peers, LoadPeer::Clock::time_point deadline) {
  std::vector<pollfd> polled;
  polled.reserve(peers.size());
  for (const LoadPeer* peer : peers) {
    const int events = POLLIN | (peer->sending() ? POLLOUT : 0);
    polled.push_back(pollfd{peer->descriptor(), static_cast<short>(events), 0});
  }
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - LoadPeer::Clock::now());
  ::poll(polled.data(), polled.size(), static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
}

}  // namespace margay::bench
