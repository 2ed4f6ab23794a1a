#include "bench/agent/deny_probe.h"

#include "bench/support/process.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <unistd.h>

namespace margay::bench {

namespace {

constexpr std::uint16_t kPort = 5000;
constexpr std::chrono::microseconds kInterval{50};
constexpr std::chrono::milliseconds kSilence{50};
constexpr std::chrono::seconds kLongestWait{5};

Result<int> udp_socket() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return fd < 0 ? Result<int>(fail_errno(errno, "UDP socket")) : fd;
}

}  // namespace

DenyProbe::~DenyProbe() {
  stop_ = true;
  for (std::thread* thread : {&sender_, &receiver_}) {
    if (thread->joinable()) {
      thread->join();
    }
  }
  for (const int fd : {out_, in_}) {
    if (fd >= 0) {
      ::close(fd);
    }
  }
}

Result<std::unique_ptr<DenyProbe>> DenyProbe::start(const NetNs& from,
                                                    const NetNs& to,
                                                    const IpAddr& target) {
  std::unique_ptr<DenyProbe> probe(new DenyProbe);
  const sockaddr_in address = socket_address(target, kPort);
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  auto done = to.run([&]() -> Result<void> {
    auto fd = udp_socket();
    if (!fd) {
      return fail(fd.error());
    }
    probe->in_ = *fd;
    const timeval patience{0, std::chrono::microseconds(kSilence).count()};
    ::setsockopt(probe->in_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return ::bind(probe->in_, raw, sizeof(address)) == 0 ? Result<void>()
                                                         : fail_errno(errno, "bind");
  });
  if (done) {
    done = from.run([&]() -> Result<void> {
      auto fd = udp_socket();
      if (!fd) {
        return fail(fd.error());
      }
      probe->out_ = *fd;
      return ::connect(probe->out_, raw, sizeof(address)) == 0 ? Result<void>()
                                                               : fail_errno(errno, "connect");
    });
  }
  if (!done) {
    return fail(done.error());
  }
  probe->sender_ = std::thread([raw_probe = probe.get()] { raw_probe->send(); });
  probe->receiver_ = std::thread([raw_probe = probe.get()] { raw_probe->receive(); });
  return probe;
}

void DenyProbe::send() const {
  while (!stop_) {
    [[maybe_unused]] const auto sent = ::send(out_, "x", 1, MSG_DONTWAIT);
    std::this_thread::sleep_for(kInterval);
  }
}

void DenyProbe::receive() {
  std::array<char, 16> buffer{};
  while (!stop_) {
    if (::recv(in_, buffer.data(), buffer.size(), 0) > 0) {
      last_ = Clock::now().time_since_epoch();
    }
  }
}

Result<void> DenyProbe::wait_for_packets() const {
  const auto start = Clock::now();
  while (last_arrival() < start) {
    if (Clock::now() - start > kLongestWait) {
      return fail(Errc::kTimeout, "no packet arrives");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return {};
}

Result<void> DenyProbe::wait_for_silence() const {
  const auto start = Clock::now();
  while (Clock::now() - std::max(last_arrival(), start) < kSilence) {
    if (Clock::now() - start > kLongestWait) {
      return fail(Errc::kTimeout, "packets go on arriving");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return {};
}

}  // namespace margay::bench
