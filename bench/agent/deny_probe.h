#pragma once
// DenyProbe: when the last packet that policy permits arrives. Packets of one UDP flow that is
// never answered go from one network namespace to another, some 20,000 a second: to connection
// tracking each is the first of its flow, so each is put to policy.

#include "base/ip_addr.h"
#include "base/result.h"
#include "kernel/netns.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>

namespace margay::bench {

class DenyProbe {
 public:
  using Clock = std::chrono::steady_clock;

  static Result<std::unique_ptr<DenyProbe>> start(const NetNs& from,
                                                  const NetNs& to,
                                                  const IpAddr& target);
  ~DenyProbe();
  DenyProbe(const DenyProbe&) = delete;
  DenyProbe& operator=(const DenyProbe&) = delete;

  // Until a packet arrives after the call, or none has for 50 ms; an error after five seconds.
  Result<void> wait_for_packets() const;
  Result<void> wait_for_silence() const;
  [[nodiscard]] Clock::time_point last_arrival() const { return Clock::time_point(last_.load()); }

 private:
  DenyProbe() = default;
  void send() const;
  void receive();

  int out_ = -1;
  int in_ = -1;
  std::atomic<bool> stop_ = false;
  std::atomic<Clock::duration> last_{};
  std::thread sender_;
  std::thread receiver_;
};

}  // namespace margay::bench
