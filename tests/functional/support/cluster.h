#pragma once
// A lab with agents, for functional tests: margayctl, readiness, pods that serve, and who reaches
// whom by real packets.

#include "base/ip_addr.h"
#include "tests/lab/lab.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace margay::lab {

struct StreamReport {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t lost = 0;
  std::uint64_t duplicates = 0;
  double longest_gap_ms = 0;
};

// "xa tcp 80" and the like: one way in which one pod may reach another.
struct Reach {
  std::string from;
  std::string to;
  std::string protocol;
  std::uint16_t port = 0;

  auto operator<=>(const Reach&) const = default;
};

struct Service {
  std::string protocol;
  std::uint16_t port;
};

class Cluster {
 public:
  explicit Cluster(Lab lab) : lab_(std::move(lab)) {}

  [[nodiscard]] Lab& lab() { return lab_; }
  ExecResult ctl(std::vector<std::string> arguments, const std::string& input = {}) {
    return ctl_on("node1", std::move(arguments), input);
  }
  ExecResult ctl_on(const std::string& node,
                    std::vector<std::string> arguments,
                    const std::string& input = {});
  // An empty text when it succeeded, else what margayctl said.
  std::string apply(const std::string& yaml);
  std::string remove(const std::string& yaml);

  [[nodiscard]] bool ready(const std::string& node);
  [[nodiscard]] bool wait_ready(const std::string& node,
                                std::chrono::milliseconds timeout = std::chrono::seconds(30));
  [[nodiscard]] bool all_sessions_up(const std::string& node);

  // Adds the pod and starts a server for the services in it; empty when it succeeded.
  std::string add_server(const std::string& node,
                         const PodSpec& spec,
                         const std::vector<Service>& services);

  // All of from x to x services, at the same time; what got through.
  std::set<Reach> reach(const std::vector<std::string>& from,
                        const std::vector<std::string>& to,
                        const std::vector<Service>& services,
                        Family family = Family::kIpv4,
                        std::chrono::milliseconds timeout = std::chrono::milliseconds(400));
  [[nodiscard]] bool connects(const std::string& from,
                              const std::string& target,
                              const std::string& protocol = "tcp",
                              std::chrono::milliseconds timeout = std::chrono::milliseconds(400));

  // A running stream of packets between two pods: started, then asked to end.
  std::optional<ProcessId> start_stream(const std::string& from,
                                        const std::string& target,
                                        const std::string& role,
                                        const std::vector<std::string>& options = {});
  std::optional<StreamReport> end_stream(const std::string& from,
                                         const std::string& role,
                                         const ProcessId& process);

  // What the kernel holds of Margay's, in a form that two kernels can be compared by: counters,
  // handles and order of set elements do not matter.
  [[nodiscard]] std::string kernel_state(const std::string& node);

 private:
  Lab lab_;
};

// Every line of text, sorted; for comparing what has no order.
std::string sorted_lines(const std::string& text);

}  // namespace margay::lab
