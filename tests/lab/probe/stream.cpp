#include "tests/lab/probe/commands.h"
#include "tests/lab/probe/net.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <deque>
#include <poll.h>
#include <string_view>
#include <unistd.h>
#include <vector>

// Packets at a fixed rate, each with a sequence number; the other end echoes. Over one flow it
// shows whether an established conversation loses anything; with a new flow (source port) per
// packet it shows when a policy takes effect.

namespace margay::probe {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr std::int64_t kGraceNs = kNsPerSecond;     // for the last answers
constexpr std::int64_t kFlowNs = 2 * kNsPerSecond;  // a new flow that is silent so long is given up
constexpr std::size_t kMessageBytes = 16;

volatile std::sig_atomic_t g_stop =
    0;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): set by a signal

struct Options {
  Address target;
  int rate = 1000;
  int duration_ms = 10'000;  // 0: until SIGTERM
  Protocol protocol = Protocol::kUdp;
  bool new_flows = false;
};

struct Packet {
  std::int64_t sent_ns = 0;
  std::uint32_t answers = 0;
};

struct Flow {
  int fd;
  std::int64_t opened_ns;
};

class Stream {
 public:
  explicit Stream(const Options& options)
      : options_(options), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

  bool open();
  void run();
  void print() const;

 private:
  bool open_flow();
  void send_due(std::int64_t now);
  void receive(int wait_ms);
  void read_answers(int fd);
  void on_answer(std::uint64_t sequence);
  void drop_old_flows(std::int64_t now);
  [[nodiscard]] bool all_answered() const { return received_ == packets_.size(); }

  Options options_;
  int epoll_;
  std::deque<Flow> flows_;
  std::vector<Packet> packets_;
  std::vector<char> buffer_ = std::vector<char>(65536);
  std::vector<char> partial_;  // TCP: bytes of a message that is not complete
  std::uint64_t received_ = 0;
  std::uint64_t duplicates_ = 0;
  std::int64_t last_answer_ns_ = 0;
  std::int64_t longest_gap_ns_ = 0;
  std::int64_t started_ns_ = 0;
};

bool Stream::open_flow() {
  const int fd = open_socket(options_.target.family(), options_.protocol);
  if (fd < 0) {
    return false;
  }
  constexpr int kBufferBytes = 4 << 20;  // answers must not be lost here: the tests count them
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kBufferBytes, sizeof(kBufferBytes));
  if (::connect(fd, options_.target.get(), options_.target.length) != 0 && errno != EINPROGRESS) {
    ::close(fd);
    return false;
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  flows_.push_back(Flow{fd, monotonic_ns()});
  return true;
}

bool Stream::open() {
  if (!open_flow()) {
    return false;
  }
  if (options_.protocol == Protocol::kUdp) {
    return true;
  }
  pollfd connected{flows_.back().fd, POLLOUT, 0};
  constexpr int kConnectMs = 5000;
  int error = ETIMEDOUT;
  socklen_t length = sizeof(error);
  if (::poll(&connected, 1, kConnectMs) == 1) {
    ::getsockopt(connected.fd, SOL_SOCKET, SO_ERROR, &error, &length);
  }
  errno = error;
  return error == 0;
}

void Stream::send_due(std::int64_t now) {
  const auto due = static_cast<std::size_t>((now - started_ns_) * options_.rate / kNsPerSecond) + 1;
  while (packets_.size() < due) {
    if (options_.new_flows && !packets_.empty() && !open_flow()) {
      return;
    }
    std::array<char, kMessageBytes> message{};
    const std::uint64_t sequence = packets_.size();
    std::memcpy(message.data(), &sequence, sizeof(sequence));
    packets_.push_back(Packet{monotonic_ns(), 0});
    [[maybe_unused]] const auto sent =
        ::send(flows_.back().fd, message.data(), message.size(), MSG_NOSIGNAL);
  }
}

void Stream::on_answer(std::uint64_t sequence) {
  if (sequence >= packets_.size()) {
    return;
  }
  const std::int64_t now = monotonic_ns();
  if (last_answer_ns_ != 0) {
    longest_gap_ns_ = std::max(longest_gap_ns_, now - last_answer_ns_);
  }
  last_answer_ns_ = now;
  Packet& packet = packets_[sequence];
  packet.answers == 0 ? ++received_ : ++duplicates_;
  ++packet.answers;
}

void Stream::read_answers(int fd) {
  for (;;) {
    const auto n = ::recv(fd, buffer_.data(), buffer_.size(), 0);
    if (n <= 0) {
      return;
    }
    partial_.insert(partial_.end(), buffer_.data(), buffer_.data() + n);
    std::size_t used = 0;
    for (; partial_.size() - used >= kMessageBytes; used += kMessageBytes) {
      std::uint64_t sequence = 0;
      std::memcpy(&sequence, partial_.data() + used, sizeof(sequence));
      on_answer(sequence);
    }
    partial_.erase(partial_.begin(), partial_.begin() + static_cast<std::ptrdiff_t>(used));
  }
}

void Stream::receive(int wait_ms) {
  std::array<epoll_event, 64> events{};
  const int n = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms);
  for (int i = 0; i < n; ++i) {
    read_answers(events.at(static_cast<std::size_t>(i)).data.fd);
  }
}

void Stream::drop_old_flows(std::int64_t now) {
  while (flows_.size() > 1 && now - flows_.front().opened_ns > kFlowNs) {
    ::close(flows_.front().fd);
    flows_.pop_front();
  }
}

void Stream::run() {
  // Waking by a timer of the rate's own period keeps the packets evenly spaced without burning the
  // processor.
  const int timer = ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  itimerspec period{};
  const std::int64_t interval_ns = kNsPerSecond / options_.rate;
  period.it_interval = {interval_ns / kNsPerSecond, interval_ns % kNsPerSecond};
  period.it_value = {0, 1};
  ::timerfd_settime(timer, 0, &period, nullptr);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = timer;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, timer, &event);

  started_ns_ = monotonic_ns();
  const std::int64_t end_ns =
      options_.duration_ms == 0 ? INT64_MAX : started_ns_ + options_.duration_ms * kNsPerMs;
  for (std::int64_t now = started_ns_; now < end_ns && g_stop == 0; now = monotonic_ns()) {
    send_due(now);
    constexpr int kSignalCheckMs = 100;
    receive(kSignalCheckMs);
    drop_old_flows(now);
    std::uint64_t expirations = 0;
    [[maybe_unused]] const auto n = ::read(timer, &expirations, sizeof(expirations));
  }
  ::close(timer);
  const std::int64_t grace_end = monotonic_ns() + kGraceNs;
  constexpr int kGraceStepMs = 10;
  while (!all_answered() && monotonic_ns() < grace_end) {
    receive(kGraceStepMs);
  }
}

void Stream::print() const {
  const auto lost = std::find_if(
      packets_.begin(), packets_.end(), [](const Packet& p) { return p.answers == 0; });
  std::int64_t last_passed_ns = 0;
  for (const Packet& packet : packets_) {
    last_passed_ns = packet.answers != 0 ? packet.sent_ns : last_passed_ns;
  }
  std::printf(
      "{\"sent\": %zu, \"received\": %llu, \"lost\": %llu, \"duplicates\": %llu, "
      "\"longest_gap_ms\": %.3f, "
      "\"first_lost_ns\": %lld, \"last_passed_ns\": %lld, \"started_ns\": %lld}\n",
      packets_.size(),
      static_cast<unsigned long long>(received_),
      static_cast<unsigned long long>(packets_.size() - received_),
      static_cast<unsigned long long>(duplicates_),
      static_cast<double>(longest_gap_ns_) / static_cast<double>(kNsPerMs),
      static_cast<long long>(lost == packets_.end() ? 0 : lost->sent_ns),
      static_cast<long long>(last_passed_ns),
      static_cast<long long>(started_ns_));
}

template <typename Value>
bool assign(const std::optional<Value>& parsed, Value& into) {
  if (parsed) {
    into = *parsed;
  }
  return parsed.has_value();
}

bool parse_option(std::string_view word, Options& options) {
  constexpr int kMaxRate = 100'000;
  const std::string_view value = word.substr(std::min(word.size(), word.find('=') + 1));
  if (word == "--new-flows") {
    options.new_flows = true;
    return true;
  }
  if (word.starts_with("--rate=")) {
    return assign(parse_number(value, 1, kMaxRate), options.rate);
  }
  if (word.starts_with("--duration=")) {
    return assign(parse_duration_ms(value), options.duration_ms);
  }
  if (word.starts_with("--protocol=")) {
    return assign(parse_protocol(value), options.protocol);
  }
  return !word.starts_with("--") && assign(parse_address(word), options.target);
}

void raise_file_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int stream(Words words) {
  Options options;
  const bool good = std::all_of(
      words.begin(), words.end(), [&](const char* w) { return parse_option(w, options); });
  if (!good || options.target.length == 0 ||
      (options.new_flows && options.protocol == Protocol::kTcp)) {
    return kUsage;
  }
  struct sigaction stop {};
  stop.sa_handler = [](int /*signal*/) { g_stop = 1; };
  ::sigaction(SIGTERM, &stop, nullptr);
  ::sigaction(SIGINT, &stop, nullptr);
  raise_file_limit();
  Stream run(options);
  if (!run.open()) {
    std::fprintf(stderr, "stream: %s\n", std::strerror(errno));
    return kFailed;
  }
  std::puts("started");
  std::fflush(stdout);
  run.run();
  run.print();
  return kDone;
}

}  // namespace margay::probe
