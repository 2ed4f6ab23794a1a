#include "cni/plugin/agent_call.h"

#include "api/proto/cni.pb.h"
#include "cni/wire.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <poll.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace margay::cni {

namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

class AgentCall::Connection {
 public:
  explicit Connection(Clock::time_point deadline) : deadline_(deadline) {}
  ~Connection() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Result<void> open(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) {
      return fail(Errc::kInvalid, "{}: longer than a socket's path may be", path);
    }
    std::ranges::copy(path, std::begin(address.sun_path));
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // A full backlog answers EAGAIN to non-blocking sockets, so this one connects blocking.
    if (fd_ < 0 || ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      auto error = fail_errno(errno, "connect to {}", path);
      error.error.code = Errc::kUnavailable;
      return error;
    }
    return {};
  }

  Result<void> write(const std::string& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      if (auto ready = wait(POLLOUT); !ready) {
        return ready;
      }
      const ssize_t put =
          ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (put > 0) {
        sent += static_cast<std::size_t>(put);
      } else if (errno != EINTR && errno != EAGAIN) {
        return fail(Errc::kUnavailable, "the agent closed the connection");
      }
    }
    return {};
  }

  Result<void> read(char* out, std::size_t size) {
    while (size > 0) {
      if (auto ready = wait(POLLIN); !ready) {
        return ready;
      }
      const ssize_t got = ::recv(fd_, out, size, MSG_DONTWAIT);
      if (got > 0) {
        out += got;
        size -= static_cast<std::size_t>(got);
      } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
        return fail(Errc::kUnavailable, "the agent ended before it answered");
      }
    }
    return {};
  }

 private:
  Result<void> wait(short events) const {
    while (true) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
      if (left.count() <= 0) {
        return fail(Errc::kTimeout, "the agent did not answer in time");
      }
      pollfd ready{fd_, events, 0};
      const int count = ::poll(&ready, 1, static_cast<int>(left.count()));
      if (count > 0) {
        return {};
      }
      if (count < 0 && errno != EINTR) {
        return fail_errno(errno, "poll");
      }
    }
  }

  Clock::time_point deadline_;
  int fd_ = -1;
};

AgentCall::AgentCall(std::string socket_path, std::chrono::milliseconds timeout)
    : socket_path_(std::move(socket_path)), deadline_(Clock::now() + timeout) {}
AgentCall::~AgentCall() = default;

Result<Response> AgentCall::ask(const Request& request) {
  const std::string body = request.SerializeAsString();
  if (body.size() > kMaxMessage) {
    return fail(Errc::kInvalid, "request of {} bytes: at most {}", body.size(), kMaxMessage);
  }
  const auto length = encode_length(body.size());
  std::string bytes(length.begin(), length.end());
  bytes += body;
  constexpr std::chrono::milliseconds kPause{20};
  bool asked = false;  // an agent that is away from the beginning is no news worth waiting for
  while (true) {
    auto response = ask_once(bytes);
    asked = asked || connection_ != nullptr;
    if (response || response.error().code != Errc::kUnavailable || !asked ||
        Clock::now() + kPause >= deadline_) {
      return response;
    }
    std::this_thread::sleep_for(kPause);
  }
}

Result<Response> AgentCall::ask_once(const std::string& bytes) {
  auto connection = std::make_unique<Connection>(deadline_);
  if (auto opened = connection->open(socket_path_); !opened) {
    return fail(opened.error());
  }
  connection_ = std::move(connection);
  if (auto sent = connection_->write(bytes); !sent) {
    return fail(sent.error());
  }
  std::array<char, kLengthBytes> head{};
  if (auto got = connection_->read(head.data(), head.size()); !got) {
    return fail(got.error());
  }
  const std::size_t size = decode_length(head);
  if (size > kMaxMessage) {
    return fail(Errc::kInvalid, "response of {} bytes: at most {}", size, kMaxMessage);
  }
  std::string answer(size, '\0');
  if (auto got = connection_->read(answer.data(), size); !got) {
    return fail(got.error());
  }
  Response response;
  if (!response.ParseFromString(answer)) {
    return fail(Errc::kInvalid, "the agent's response does not decode");
  }
  return response;
}

void AgentCall::acknowledge() {
  if (connection_) {
    (void)connection_->write(std::string(1, '\0'));  // who is away needs no word
  }
}

}  // namespace margay::cni
