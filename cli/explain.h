#pragma once
// policy explain: the verdict between two ends and the tier, policy and rule that gives it, both
// directions.

#include "base/result.h"
#include "datastore/store.h"
#include "policy/evaluator.h"

#include <cstdint>
#include <optional>
#include <string>

namespace margay::cli {

struct ExplainOptions {
  std::string source;  // namespace/pod, an endpoint's name, an address, or a selector
  std::string destination;
  std::string protocol = "TCP";
  std::optional<std::uint16_t> port;
  std::string domain_name;   // that led to the destination
  bool established = false;  // the connection stands already
  bool json = false;
};

// One step of the way to a verdict, in words.
[[nodiscard]] std::string describe(const policy::Step& step);
[[nodiscard]] const char* verdict_word(bool allowed);
// The side that decides, and its last step.
[[nodiscard]] std::string reason(const policy::Verdict& verdict);

[[nodiscard]] Result<std::string> explain(datastore::Store& store, const ExplainOptions& options);

}  // namespace margay::cli
