#pragma once
// What peers that behave must not notice while another one does not: three sessions with a hold
// time of three seconds, on a thread of their own. One tells a route again and again, one must hear
// it in time, one hears nothing but KEEPALIVEs and must hear those in time.

#include "tests/interop/support/bgpd.h"
#include "tests/support/bgp_client.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace margay::bgp::test {

// MARGAY_HOSTILE=full asks for sizes that take minutes.
[[nodiscard]] unsigned sized(unsigned usual, unsigned full);
[[nodiscard]] Prefix prefix(std::string_view text);
// From 10.0.0.LAST, router id the same.
[[nodiscard]] BgpClient::Options client_options(unsigned last,
                                                std::uint32_t asn,
                                                std::uint16_t hold_time_s = 0);
// margay-bgpd at 10.0.0.1 in a network of its own. Peers: 10.0.0.2 to 10.0.0.4 for the witnesses,
// 10.0.0.10 to 10.0.0.29 hostile ones (AS 65000 + the last number), with these more fields.
[[nodiscard]] std::unique_ptr<Bgpd> start_speaker(const std::string& hostile_fields = {});

class Witness {
 public:
  explicit Witness(const Bgpd& bgpd);
  ~Witness();
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;

  // Ends the thread and checks what it saw. At least `rounds` routes must have passed.
  void check(unsigned rounds = 3);

 private:
  void run();

  BgpClient talker_;
  BgpClient listener_;
  BgpClient quiet_;
  std::atomic<bool> stop_ = false;
  std::atomic<unsigned> passed_ = 0;
  std::atomic<bool> failed_ = false;
  BgpClient::Clock::duration slowest_{};
  std::thread thread_;
};

}  // namespace margay::bgp::test
