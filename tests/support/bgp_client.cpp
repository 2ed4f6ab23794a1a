#include "tests/support/bgp_client.h"

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

namespace margay::bgp::test {

namespace {

using std::chrono::milliseconds;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

SocketAddress socket_address(const IpAddr& address, std::uint16_t port) {
  SocketAddress out;
  if (address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.bytes().data(), address.bytes().size());
    std::memcpy(&out.storage, &v4, sizeof v4);
    out.size = sizeof v4;
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&v6.sin6_addr, address.bytes().data(), address.bytes().size());
    std::memcpy(&out.storage, &v6, sizeof v6);
    out.size = sizeof v6;
  }
  return out;
}

const sockaddr* pointer(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr*>(&address.storage);
}

CodecContext context_for(const Open& ours, const Open& theirs) {
  const auto both = [&](AfiSafi family) {
    return has_multiprotocol(ours.capabilities, family) &&
           has_multiprotocol(theirs.capabilities, family);
  };
  CodecContext context;
  context.ipv4.enabled = both(kIpv4Unicast);
  context.ipv6.enabled = both(kIpv6Unicast);
  context.internal = ours.asn == theirs.asn;
  context.four_octet_as = find_capability<FourOctetAsCapability>(ours.capabilities) != nullptr &&
                          find_capability<FourOctetAsCapability>(theirs.capabilities) != nullptr;
  context.local_asn = ours.asn;
  context.peer_asn = theirs.asn;
  return context;
}

}  // namespace

BgpClient::~BgpClient() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

BgpClient::BgpClient(BgpClient&& other) noexcept {
  *this = std::move(other);
}

BgpClient& BgpClient::operator=(BgpClient&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(buffer_, other.buffer_);
  std::swap(context_, other.context_);
  std::swap(peer_open_, other.peer_open_);
  std::swap(routes_, other.routes_);
  std::swap(ended_, other.ended_);
  std::swap(notification_, other.notification_);
  std::swap(last_heard_, other.last_heard_);
  std::swap(longest_silence_, other.longest_silence_);
  return *this;
}

Result<BgpClient> BgpClient::establish(const Options& options, milliseconds timeout) {
  const auto end = Clock::now() + timeout;
  while (true) {
    auto client = try_once(options, end);
    if (client || Clock::now() >= end) {
      return client;
    }
    std::this_thread::sleep_for(milliseconds(20));
  }
}

Result<BgpClient> BgpClient::try_once(const Options& options, Clock::time_point end) {
  auto client = connect(options);
  if (!client) {
    return client;
  }
  if (auto done = client->handshake(options, end); !done) {
    return fail(done.error(), "session with {}", options.remote.str());
  }
  return client;
}

Result<BgpClient> BgpClient::connect(const Options& options) {
  BgpClient client;
  const SocketAddress local = socket_address(options.local, 0);
  const SocketAddress remote = socket_address(options.remote, options.port);
  client.fd_ = ::socket(options.local.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (client.fd_ < 0) {
    return fail_errno(errno, "socket");
  }
  const int on = 1;
  ::setsockopt(client.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::bind(client.fd_, pointer(local), local.size) != 0) {
    return fail_errno(errno, "bind to {}", options.local.str());
  }
  if (::connect(client.fd_, pointer(remote), remote.size) != 0) {
    return fail_errno(errno, "connect to {} port {}", options.remote.str(), options.port);
  }
  return client;
}

Result<void> BgpClient::handshake(const Options& options, Clock::time_point end) {
  auto sent = send(encode_open(options.open));
  if (!sent) {
    return sent;
  }
  auto first = read_message(end);
  if (!first) {
    return fail(first.error());
  }
  const Open* open = std::get_if<Open>(&*first);
  if (open == nullptr) {
    return fail(Errc::kInvalid, "the first message is no OPEN");
  }
  peer_open_ = *open;
  context_ = context_for(options.open, peer_open_);
  if (sent = send(encode_keepalive()); !sent) {
    return sent;
  }
  auto second = read_message(end);
  if (!second) {
    return fail(second.error());
  }
  if (const auto* notification = std::get_if<Notification>(&*second)) {
    return fail(Errc::kUnavailable, "{}", to_string(*notification));
  }
  if (!std::holds_alternative<Keepalive>(*second)) {
    return fail(Errc::kInvalid, "the second message is no KEEPALIVE");
  }
  return {};
}

Result<void> BgpClient::send(Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (done < 0) {
      return fail_errno(errno, "send");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return {};
}

Result<Message> BgpClient::receive(milliseconds timeout) {
  const auto end = Clock::now() + timeout;
  while (true) {
    auto message = read_message(end);
    if (!message || !std::holds_alternative<Keepalive>(*message)) {
      if (message) {
        if (const auto* update = std::get_if<Update>(&*message)) {
          apply(*update);
        } else if (const auto* notification = std::get_if<Notification>(&*message)) {
          notification_ = *notification;
        }
      }
      return message;
    }
  }
}

Result<Message> BgpClient::read_message(Clock::time_point end) {
  while (true) {
    const auto frame = next_frame(buffer_, true);
    if (!frame) {
      return fail(Errc::kInvalid, "received a bad header: {}", to_string(frame.error()));
    }
    if (frame->has_value()) {
      auto message = decode_message(**frame, context_);
      buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>((*frame)->size));
      if (!message) {
        return fail(Errc::kInvalid, "received a bad message: {}", to_string(message.error()));
      }
      return std::move(*message);
    }
    const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now());
    pollfd poller{fd_, POLLIN, 0};
    // Once in any case: what is there is read, however little time is given.
    if (::poll(&poller, 1, std::max(0, static_cast<int>(left.count()))) == 0) {
      return fail(Errc::kTimeout, "no message in time");
    }
    std::array<std::uint8_t, 65536> chunk{};
    const ssize_t got = ::recv(fd_, chunk.data(), chunk.size(), 0);
    if (got <= 0) {
      return fail(Errc::kUnavailable, "the connection has ended");
    }
    const auto now = Clock::now();
    if (last_heard_ != Clock::time_point()) {
      longest_silence_ = std::max(longest_silence_, now - last_heard_);
    }
    last_heard_ = now;
    buffer_.insert(buffer_.end(), chunk.begin(), chunk.begin() + got);
  }
}

void BgpClient::apply(const Update& update) {
  for (const Nlri& nlri : update.withdrawn) {
    routes_.erase(nlri.prefix);
  }
  for (const Announcement& announcement : update.announced) {
    for (const Nlri& nlri : announcement.prefixes) {
      Route& route = routes_[nlri.prefix];
      route.attributes = announcement.attributes;
      ++route.times;
    }
  }
  if (update.end_of_rib) {
    ended_.push_back(*update.end_of_rib);
  }
}

const BgpClient::Route* BgpClient::route(const Prefix& prefix) const {
  const auto found = routes_.find(prefix);
  return found == routes_.end() ? nullptr : &found->second;
}

BgpClient::Clock::duration BgpClient::longest_silence() const {
  return std::max(longest_silence_, Clock::now() - last_heard_);
}

bool BgpClient::end_of_rib(AfiSafi family) const {
  return std::ranges::find(ended_, family) != ended_.end();
}

}  // namespace margay::bgp::test
