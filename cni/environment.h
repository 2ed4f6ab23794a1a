#pragma once
// The environment of a CNI call: what must be there for each verb and what it must look like, as
// the reference implementation demands. Pure.

#include "cni/error.h"

#include <map>
#include <optional>
#include <string>

namespace margay::cni {

struct Environment {
  std::string command;
  std::string container_id;
  std::string netns;
  std::string ifname;
  std::string path;
  std::string args;
};

[[nodiscard]] Environment read_environment();

// One error that names every variable that is missing, else the first that is malformed.
[[nodiscard]] std::optional<CniError> check_environment(const Environment& environment);

// "K=V;K=V". Pairs without '=' are an error.
[[nodiscard]] std::optional<CniError> parse_args(const std::string& text,
                                                 std::map<std::string, std::string>& args);

}  // namespace margay::cni
