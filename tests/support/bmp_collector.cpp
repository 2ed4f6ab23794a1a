#include "tests/support/bmp_collector.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <unistd.h>
#include <utility>

namespace margay::bgp::test {

// RFC 7854 section 4.2.
struct BmpCollector::PeerHeader {
  bool ipv6 = false;
  bool post_policy = false;
  bool two_octet_as = false;
  IpAddr address;
  Asn asn;
  RouterId router_id;
  std::uint64_t seconds = 0;
};

namespace {

constexpr std::size_t kCommonHeader = 6;

IpAddr address_of(Bytes sixteen, bool ipv6) {
  return *IpAddr::from_bytes(ipv6 ? sixteen : sixteen.last(4));
}

std::string text_of(Bytes bytes) {
  return {bytes.begin(), bytes.end()};
}

bool wait_readable(int fd, std::chrono::milliseconds timeout) {
  pollfd wanted{fd, POLLIN, 0};
  return ::poll(&wanted, 1, static_cast<int>(timeout.count())) > 0;
}

// One BGP message from the front; its body.
std::optional<Frame> take_frame(ByteReader& in) {
  const Bytes rest = in.rest();
  const auto frame = next_frame(rest, true);
  if (!frame || !frame->has_value()) {
    return std::nullopt;
  }
  in = ByteReader(rest.subspan((*frame)->size));
  return **frame;
}

// What the two OPENs agree on, as far as it changes what UPDATEs mean.
CodecContext context_of(const BmpCollector::Session& session) {
  const auto both = [&session](AfiSafi family) {
    return has_multiprotocol(session.sent.capabilities, family) &&
           has_multiprotocol(session.received.capabilities, family);
  };
  CodecContext context;
  context.ipv4.enabled = both(kIpv4Unicast) || session.received.capabilities.empty();
  context.ipv6.enabled = both(kIpv6Unicast);
  context.internal = session.sent.asn == session.received.asn;
  context.four_octet_as = !session.two_octet_as;
  context.enforce_first_as = false;
  context.local_asn = session.sent.asn;
  context.peer_asn = session.received.asn;
  return context;
}

}  // namespace

Result<BmpCollector> BmpCollector::listen(const IpAddr& address, std::uint16_t port) {
  BmpCollector made;
  made.listener_ = ::socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(made.listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (address.is_v4()) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    std::memcpy(&v4->sin_addr, address.bytes().data(), address.bytes().size());
    size = sizeof(*v4);
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    std::memcpy(&v6->sin6_addr, address.bytes().data(), address.bytes().size());
    size = sizeof(*v6);
  }
  if (::bind(made.listener_, reinterpret_cast<sockaddr*>(&storage), size) != 0 ||
      ::listen(made.listener_, 1) != 0) {
    return fail_errno(errno, "listen on {} port {}", address.str(), port);
  }
  return made;
}

BmpCollector::~BmpCollector() {
  for (const int fd : {listener_, connection_}) {
    if (fd >= 0) {
      ::close(fd);
    }
  }
}

BmpCollector::BmpCollector(BmpCollector&& other) noexcept {
  *this = std::move(other);
}

BmpCollector& BmpCollector::operator=(BmpCollector&& other) noexcept {
  std::swap(listener_, other.listener_);
  std::swap(connection_, other.connection_);
  std::swap(buffer_, other.buffer_);
  std::swap(initiated_, other.initiated_);
  std::swap(sessions_, other.sessions_);
  std::swap(system_name_, other.system_name_);
  std::swap(system_description_, other.system_description_);
  std::swap(termination_, other.termination_);
  std::swap(error_, other.error_);
  return *this;
}

const BmpCollector::Session* BmpCollector::session(std::string_view address) const {
  const auto found = sessions_.find(*IpAddr::parse(address));
  return found == sessions_.end() ? nullptr : &found->second;
}

bool BmpCollector::accept(std::chrono::milliseconds timeout) {
  if (connection_ < 0 && wait_readable(listener_, timeout)) {
    drop();
    connection_ = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  }
  return connection_ >= 0;
}

void BmpCollector::drop() {
  if (connection_ >= 0) {
    ::close(std::exchange(connection_, -1));
  }
  buffer_.clear();
  initiated_ = false;
  sessions_.clear();
  system_name_.clear();
  termination_.reset();
}

void BmpCollector::wrong(const std::string& what) {
  if (error_.empty()) {
    error_ = what;
  }
}

void BmpCollector::receive(std::chrono::milliseconds timeout) {
  if (!accept(timeout) || !wait_readable(connection_, timeout)) {
    return;
  }
  std::array<std::uint8_t, 65536> chunk{};
  const ssize_t got = ::read(connection_, chunk.data(), chunk.size());
  if (got <= 0) {
    ::close(std::exchange(connection_, -1));
    return;
  }
  buffer_.insert(buffer_.end(), chunk.begin(), chunk.begin() + got);
  take_messages();
}

void BmpCollector::take_messages() {
  std::size_t at = 0;
  while (buffer_.size() - at >= kCommonHeader) {
    ByteReader in(Bytes(buffer_).subspan(at));
    const unsigned version = in.u8();
    const std::size_t length = in.u32();
    const unsigned type = in.u8();
    if (version != 3 || length < kCommonHeader) {
      return wrong("a common header of version " + std::to_string(version));
    }
    if (buffer_.size() - at < length) {
      break;
    }
    take(type, Bytes(buffer_).subspan(at + kCommonHeader, length - kCommonHeader));
    at += length;
  }
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(at));
}

void BmpCollector::take(unsigned type, Bytes body) {
  constexpr unsigned kInitiation = 4;
  constexpr unsigned kTermination = 5;
  if (termination_) {
    return wrong("a message behind Termination");
  }
  if (!initiated_ && type != kInitiation) {
    return wrong("the first message is no Initiation");
  }
  if (type == kInitiation) {
    initiated_ = true;
    return initiation(ByteReader(body));
  }
  if (type == kTermination) {
    return termination(ByteReader(body));
  }
  take_peer_message(type, body);
}

void BmpCollector::take_peer_message(unsigned type, Bytes body) {
  constexpr unsigned kIpv6 = 0x80;
  constexpr unsigned kPost = 0x40;
  constexpr unsigned kLegacy = 0x20;
  ByteReader in(body);
  PeerHeader peer;
  const unsigned kind = in.u8();
  const unsigned flags = in.u8();
  const std::uint64_t distinguisher = in.u64();
  const Bytes address = in.bytes(16);
  peer.asn = Asn(in.u32());
  peer.router_id = RouterId(in.u32());
  peer.seconds = in.u32();
  const std::uint32_t micros = in.u32();
  if (!in.ok() || kind != 0 || distinguisher != 0 || micros >= 1'000'000 ||
      (flags & ~(kIpv6 | kPost | kLegacy)) != 0) {
    return wrong("a per-peer header of type " + std::to_string(kind));
  }
  peer.ipv6 = (flags & kIpv6) != 0;
  peer.post_policy = (flags & kPost) != 0;
  peer.two_octet_as = (flags & kLegacy) != 0;
  peer.address = address_of(address, peer.ipv6);
  constexpr unsigned kPeerUp = 3;
  const auto known = sessions_.find(peer.address);
  if (type != kPeerUp && (known == sessions_.end() || !known->second.up)) {
    return wrong("a message of a peer that is not up: " + peer.address.str());
  }
  switch (type) {
    case 0:
      return route_monitoring(peer, in);
    case 1:
      return statistics(peer, in);
    case 2:
      return peer_down(peer, in);
    case kPeerUp:
      return peer_up(peer, in);
    default:
      return wrong("a message of type " + std::to_string(type));
  }
}

void BmpCollector::peer_up(const PeerHeader& peer, ByteReader in) {
  Session session;
  session.up = true;
  session.asn = peer.asn;
  session.router_id = peer.router_id;
  session.up_seconds = peer.seconds;
  session.two_octet_as = peer.two_octet_as;
  session.local = address_of(in.bytes(16), peer.ipv6);
  session.local_port = in.u16();
  session.remote_port = in.u16();
  const auto sent = take_frame(in);
  const auto received = take_frame(in);
  if (!sent || !received || sent->type != MessageType::kOpen ||
      received->type != MessageType::kOpen || !in.empty()) {
    return wrong("Peer Up without its two OPENs");
  }
  const auto ours = decode_open(sent->body);
  const auto theirs = decode_open(received->body);
  if (!ours || !theirs || theirs->asn != peer.asn || theirs->id != peer.router_id) {
    return wrong("Peer Up with OPENs that are not of this peer");
  }
  session.sent = *ours;
  session.received = *theirs;
  if (sessions_.contains(peer.address) && sessions_.at(peer.address).up) {
    return wrong("Peer Up of a peer that is up");
  }
  sessions_[peer.address] = std::move(session);
}

void BmpCollector::peer_down(const PeerHeader& peer, ByteReader in) {
  Session& session = sessions_.at(peer.address);
  const unsigned reason = in.u8();
  session.up = false;
  session.before_policy = {};
  session.behind_policy = {};
  session.down_reason = reason;
  session.notification.reset();
  if (reason == 1 || reason == 3) {
    const auto message = take_frame(in);
    if (!message || message->type != MessageType::kNotification) {
      return wrong("Peer Down without its NOTIFICATION");
    }
    session.notification = decode_notification(message->body);
  } else if (reason == 2) {
    (void)in.u16();
  }
  if (reason < 1 || reason > 5 || !in.ok() || !in.empty()) {
    wrong("Peer Down for reason " + std::to_string(reason));
  }
}

void BmpCollector::route_monitoring(const PeerHeader& peer, ByteReader in) {
  Session& session = sessions_.at(peer.address);
  const auto message = take_frame(in);
  if (!message || message->type != MessageType::kUpdate || !in.empty()) {
    return wrong("Route Monitoring without its UPDATE");
  }
  if (peer.two_octet_as != session.two_octet_as) {
    return wrong("the A flag of a peer changes");
  }
  session.update_seconds = peer.seconds;
  Rib& rib = peer.post_policy ? session.behind_policy : session.before_policy;
  ++rib.updates;
  const auto update = decode_update(message->body, context_of(session));
  if (!update) {
    return;  // malformed ones are told as they came
  }
  for (const Nlri& nlri : update->withdrawn) {
    rib.routes.erase(nlri.prefix);
  }
  for (const Announcement& announced : update->announced) {
    for (const Nlri& nlri : announced.prefixes) {
      rib.routes[nlri.prefix] = announced.attributes;
    }
  }
  if (update->end_of_rib) {
    rib.ended.insert(*update->end_of_rib);
  }
}

void BmpCollector::statistics(const PeerHeader& peer, ByteReader in) {
  Session& session = sessions_.at(peer.address);
  const std::uint32_t count = in.u32();
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    const unsigned type = in.u16();
    ByteReader value = in.sub(in.u16());
    session.statistics[type] = value.remaining() == 8 ? value.u64() : value.u32();
    if (!value.ok() || !value.empty()) {
      return wrong("statistics of type " + std::to_string(type));
    }
  }
  if (!in.ok() || !in.empty()) {
    wrong("a Stats Report of another length");
  }
}

void BmpCollector::initiation(ByteReader in) {
  while (!in.empty()) {
    const unsigned type = in.u16();
    const std::string text = text_of(in.bytes(in.u16()));
    if (type == 1) {
      system_description_ = text;
    } else if (type == 2) {
      system_name_ = text;
    }
  }
  if (!in.ok() || system_name_.empty() || system_description_.empty()) {
    wrong("Initiation without sysName or sysDescr");
  }
}

void BmpCollector::termination(ByteReader in) {
  while (!in.empty()) {
    const unsigned type = in.u16();
    ByteReader value = in.sub(in.u16());
    if (type == 1) {
      termination_ = value.u16();
    }
  }
  if (!in.ok() || !termination_) {
    wrong("Termination without a reason");
  }
}

}  // namespace margay::bgp::test
