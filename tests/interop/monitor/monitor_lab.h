#pragma once
// margay-bgpd between BIRD 2 and peers under the test's control, as collectors and files see them.
// Each test enters a network namespace of its own first.
//
//   BIRD 10.0.0.3, AS 65003 --- 10.0.0.1, AS 65000 --- clients 10.0.0.2 (AS 65002), 10.0.0.4
//                                     |                (AS 65004, without 4-octet AS numbers)
//                         192.0.2.50, where a collector may listen

#include "tests/interop/support/bgpd.h"
#include "tests/support/bgp_client.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace margay::bgp::test {

inline constexpr std::chrono::seconds kDeadline{30};
inline constexpr auto kBird = "10.0.0.3";
inline constexpr auto kClient = "10.0.0.2";
inline constexpr auto kOldClient = "10.0.0.4";
inline constexpr auto kCollector = "192.0.2.50";
inline constexpr std::uint16_t kCollectorPort = 11019;
inline constexpr auto kBird4 = "198.51.100.0/24";
inline constexpr auto kBird6 = "2001:db8:98::/48";

[[nodiscard]] inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// The YAML of docs/bgp.md behind this comment, with /var/lib/margay put elsewhere.
[[nodiscard]] std::string example(const std::string& first_line, const std::string& directory);

void enter_monitor_network();

class MonitorLab {
 public:
  // Fields of every peer.
  static constexpr auto kGroup = "import: sane, export: accept";
  // more: lines of margay-bgpd's file behind router, groups, peers and filters.
  explicit MonitorLab(const std::string& name,
                      const std::string& more = "",
                      const std::string& of_group = kGroup);
  ~MonitorLab();
  MonitorLab(const MonitorLab&) = delete;
  MonitorLab& operator=(const MonitorLab&) = delete;

  [[nodiscard]] Bgpd& bgpd() { return *bgpd_; }
  // For files of the test; made before the daemon starts.
  [[nodiscard]] static std::string directory();
  void reload(const std::string& more, const std::string& of_group = kGroup);
  void start_bird();
  void stop_bird();
  // An established session.
  [[nodiscard]] BgpClient client(const std::string& address = kClient);
  // Its output; the command's failure is the test's.
  [[nodiscard]] std::string margayctl(const std::vector<std::string>& arguments);
  [[nodiscard]] bool bird_is_up();

 private:
  std::unique_ptr<Bgpd> bgpd_;
  lab::ProcessId bird_;
};

// A route of the client's own AS.
[[nodiscard]] AttributeSet route_of(const BgpClient& client, std::string_view next_hop);
// One whose attributes take 3,600 bytes.
[[nodiscard]] AttributeSet long_route_of(const BgpClient& client);
void announce(BgpClient& client, const AttributeSet& attributes, std::vector<Nlri> prefixes);
[[nodiscard]] inline Nlri nlri(std::string_view prefix) {
  return {*Prefix::parse(prefix), 0};
}
// A program of the system; its output.
[[nodiscard]] std::string output_of(const std::vector<std::string>& argv);

}  // namespace margay::bgp::test
