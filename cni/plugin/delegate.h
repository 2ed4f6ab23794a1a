#pragma once
// Running the IPAM plugin that a configuration names, as a main plugin does: found in CNI_PATH,
// with our environment and the whole configuration on its standard input. What it says on standard
// error goes to ours.

#include "base/result.h"
#include "cni/error.h"

#include <chrono>
#include <string>

namespace margay::cni {

struct DelegateAnswer {
  int exit_code = 0;
  std::string output;  // the result, or an error object
};

// The error is for a program that could not be run; one that failed answers with its own.
[[nodiscard]] Result<DelegateAnswer, CniError> run_delegate(const std::string& type,
                                                            const std::string& verb,
                                                            const std::string& config,
                                                            std::chrono::milliseconds timeout);

}  // namespace margay::cni
