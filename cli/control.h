#pragma once
// Commands that ask the running agent over its control socket: node status, bgp peers, routes,
// neighbors, dataplane show. In a library of their own, so that only these pull in gRPC.

#include "base/result.h"

#include <string>

namespace margay::cli {

struct ControlOptions {
  std::string run_dir = "/run/margay";
  bool json = false;
};

// Each returns the text to print. The agent not running is kUnavailable and says which socket was
// tried.
[[nodiscard]] Result<std::string> node_status(const ControlOptions& options);
[[nodiscard]] Result<std::string> bgp_peers(const ControlOptions& options);
[[nodiscard]] Result<std::string> bgp_routes(const ControlOptions& options,
                                             const std::string& prefix);
[[nodiscard]] Result<std::string> bgp_export(const ControlOptions& options,
                                             const std::string& peer,
                                             const std::string& prefix);
[[nodiscard]] Result<std::string> bgp_neighbor(const ControlOptions& options,
                                               const std::string& peer);
[[nodiscard]] Result<std::string> bgp_dump_table(const ControlOptions& options);
struct NodeDiagnosis {
  std::string text;
  bool healthy = true;  // nothing that was asked for is missing
};
[[nodiscard]] Result<NodeDiagnosis> diagnose_node(const ControlOptions& options);
[[nodiscard]] Result<std::string> dataplane_show(const ControlOptions& options,
                                                 const std::string& endpoint);

}  // namespace margay::cli
