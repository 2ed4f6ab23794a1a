#include "tests/lab/prober.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <poll.h>
#include <sched.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace margay::lab {

namespace {

using Clock = std::chrono::steady_clock;

// A thread that entered a namespace ends with the function, so nobody else finds itself there.
Result<void> run_in(const std::string& netns_path, const std::function<Result<void>()>& function) {
  Result<void> outcome;
  std::thread thread([&] {
    const int fd = ::open(netns_path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || ::setns(fd, CLONE_NEWNET) != 0) {
      outcome = fail_errno(errno, "enter {}", netns_path);
    } else {
      outcome = function();
    }
    if (fd >= 0) {
      ::close(fd);
    }
  });
  thread.join();
  return outcome;
}

socklen_t fill(const Target& target, sockaddr_storage& storage) {
  if (target.addr.is_v4()) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(target.port);
    address.sin_addr.s_addr = htonl(target.addr.v4_value());
    std::memcpy(&storage, &address, sizeof(address));
    return sizeof(address);
  }
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(target.port);
  std::ranges::copy(target.addr.bytes(), address.sin6_addr.s6_addr);
  std::memcpy(&storage, &address, sizeof(address));
  return sizeof(address);
}

// A connection under way; reset instead of FIN at the end, so that thousands leave no TIME_WAIT
// behind.
class Connection {
 public:
  explicit Connection(const Target& target) {
    fd_ = ::socket(
        target.addr.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const linger reset{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    sockaddr_storage storage{};
    const socklen_t length = fill(target, storage);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&storage), length) == 0) {
      finish(true);
    } else if (errno != EINPROGRESS) {
      finish(false);
    }
  }
  ~Connection() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  Connection(Connection&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), done_(other.done_), connected_(other.connected_) {}
  Connection& operator=(Connection&&) = delete;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] pollfd wanted() const { return {done_ ? -1 : fd_, POLLOUT, 0}; }
  void on_writable() {
    int error = 0;
    socklen_t length = sizeof(error);
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
    finish(error == 0);
  }

 private:
  void finish(bool connected) {
    done_ = true;
    connected_ = connected;
    ::close(std::exchange(fd_, -1));
  }

  int fd_ = -1;
  bool done_ = false;
  bool connected_ = false;
};

// Waits for at most `wait` and takes what became ready.
void poll_once(std::vector<Connection>& connections,
               std::size_t first,
               std::chrono::microseconds wait) {
  std::vector<pollfd> wanted;
  for (std::size_t i = first; i < connections.size(); ++i) {
    wanted.push_back(connections[i].wanted());
  }
  const timespec time{static_cast<std::time_t>(wait.count() / 1'000'000),
                      static_cast<long>(wait.count() % 1'000'000) * 1000};
  ::ppoll(wanted.data(), wanted.size(), &time, nullptr);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].revents != 0) {
      connections[first + i].on_writable();
    }
  }
}

}  // namespace

Result<std::vector<bool>> connect_all(const std::string& netns_path,
                                      const std::vector<Target>& targets,
                                      std::chrono::milliseconds timeout) {
  std::vector<bool> out;
  const auto done = run_in(netns_path, [&]() -> Result<void> {
    std::vector<Connection> connections;
    connections.reserve(targets.size());
    for (const Target& target : targets) {
      connections.emplace_back(target);
    }
    const auto end = Clock::now() + timeout;
    while (Clock::now() < end && !std::ranges::all_of(connections, &Connection::done)) {
      poll_once(connections,
                0,
                std::chrono::duration_cast<std::chrono::microseconds>(end - Clock::now()));
    }
    for (const Connection& connection : connections) {
      out.push_back(connection.connected());
    }
    return {};
  });
  if (!done) {
    return fail(done.error());
  }
  return out;
}

Result<std::vector<Attempt>> connect_repeatedly(const std::string& netns_path,
                                                const Target& target,
                                                const StreamOptions& options,
                                                const std::atomic<bool>& stop) {
  std::vector<Attempt> attempts;
  const auto done = run_in(netns_path, [&]() -> Result<void> {
    std::vector<Connection> connections;
    std::size_t first = 0;  // everything before is decided
    const auto begun = Clock::now();
    auto next = begun;
    const auto decided = [&](std::size_t i) {
      return connections[i].done() || Clock::now() - attempts[i].started > options.timeout;
    };
    const auto running = [&] { return !stop && Clock::now() - begun < options.longest; };
    while (running() || first < connections.size()) {
      if (running() && Clock::now() >= next) {
        attempts.push_back(Attempt{Clock::now(), false});
        connections.emplace_back(target);
        next += options.interval;
      }
      const auto wait = running() ? std::max(next - Clock::now(), Clock::duration::zero())
                                  : Clock::duration(options.interval);
      poll_once(connections, first, std::chrono::duration_cast<std::chrono::microseconds>(wait));
      while (first < connections.size() && decided(first)) {
        attempts[first].connected = connections[first].connected();
        const Connection finished = std::move(connections[first]);  // closes what is still open
        ++first;
      }
    }
    return {};
  });
  if (!done) {
    return fail(done.error());
  }
  return attempts;
}

}  // namespace margay::lab
