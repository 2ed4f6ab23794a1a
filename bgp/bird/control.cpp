#include "bgp/bird/control.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <unistd.h>

namespace margay::bgp::bird {

namespace {

constexpr std::size_t kMaxReply = std::size_t{1} << 30U;  // a full table is some 300 MB of text
constexpr unsigned kWelcome = 1;

bool wait_for(int descriptor, short events) {
  pollfd waiting{descriptor, events, 0};
  const auto limit = std::chrono::milliseconds(kSilence).count();
  int got = 0;
  do {
    got = ::poll(&waiting, 1, static_cast<int>(limit));
  } while (got < 0 && errno == EINTR);
  return got > 0;
}

}  // namespace

Result<std::unique_ptr<Control>> Control::open(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(Errc::kInvalid, "{}: the path is too long for a socket", path);
  }
  std::copy(path.begin(), path.end(), std::begin(address.sun_path));
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) {
    return fail_errno(errno, "socket");
  }
  std::unique_ptr<Control> control(new Control(descriptor));
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): as the socket interface wants it
  if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(errno, "connect to {}", path);
  }
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return fail_errno(errno, "{}: who listens", path);
  }
  control->listener_ = peer.pid;
  auto greeting = control->read_reply();
  if (!greeting) {
    return fail(greeting.error(), "{}", path);
  }
  if (greeting->code() != kWelcome) {
    return fail(Errc::kInvalid, "{}: does not greet like BIRD", path);
  }
  return control;
}

Control::~Control() {
  ::close(descriptor_);
}

Result<Reply> Control::ask(std::string_view command) {
  const std::string line = std::string(command) + "\n";
  std::string_view rest = line;
  while (!rest.empty()) {
    if (!wait_for(descriptor_, POLLOUT)) {
      return fail(Errc::kTimeout, "BIRD takes no command");
    }
    const ssize_t sent = ::send(descriptor_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      return fail_errno(errno, "command to BIRD");
    }
    rest.remove_prefix(sent > 0 ? static_cast<std::size_t>(sent) : 0);
  }
  return read_reply();
}

Result<Reply> Control::read_reply() const {
  ReplyReader reader;
  std::array<char, 65536> buffer{};
  std::size_t total = 0;
  while (total < kMaxReply) {
    if (!wait_for(descriptor_, POLLIN)) {
      return fail(Errc::kTimeout, "BIRD does not answer within {} s", kSilence.count());
    }
    const ssize_t got = ::recv(descriptor_, buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      continue;
    }
    if (got <= 0) {
      return got == 0 ? Result<Reply>(fail(Errc::kUnavailable, "BIRD closed the connection"))
                      : Result<Reply>(fail_errno(errno, "answer of BIRD"));
    }
    total += static_cast<std::size_t>(got);
    if (reader.feed({buffer.data(), static_cast<std::size_t>(got)})) {
      return reader.take();
    }
    if (reader.broken()) {
      return fail(Errc::kInvalid, "BIRD's answer is none of its control protocol");
    }
  }
  return fail(Errc::kExhausted, "BIRD's answer is longer than {} bytes", kMaxReply);
}

}  // namespace margay::bgp::bird
