#pragma once
// Whole states of a datastore, as calculation meets them: the usual ones and the unusual ones, each
// small. The node is n1.

#include "tests/support/resources.h"

#include <map>
#include <vector>

namespace margay::test {

using State = std::map<api::ResourceKey, ResourcePtr>;

struct NamedState {
  const char* name;
  State state;
};

[[nodiscard]] std::vector<NamedState> all_states();

// What many states are made of.
[[nodiscard]] ResourcePtr pod(const std::string& name,
                              const std::string& node,
                              const std::string& address,
                              const std::string& labels = "",
                              const std::string& ns = "default",
                              const std::string& profile = "kns.default");
[[nodiscard]] const ResourcePtr& local_web();
[[nodiscard]] const ResourcePtr& remote_api();
[[nodiscard]] const ResourcePtr& from_api();  // web admits api on port 80

}  // namespace margay::test
