#pragma once
// What a container runtime does to attach a pod: the plugin's environment, its configuration on
// standard input, its answer.

#include "tests/lab/lab.h"

namespace margay::lab {

struct CniAnswer {
  std::string address;  // the first IPv4 address, without a length
  std::chrono::microseconds took{};
};

Result<CniAnswer> cni_add(const Node& node,
                          const Node& pod,
                          const PodSpec& spec,
                          const std::string& container_id);
Result<void> cni_del(const Node& node,
                     const Node& pod,
                     const PodSpec& spec,
                     const std::string& container_id);

// Any verb; the raw exit code and output.
ExecResult cni_call(const Node& node,
                    const Node& pod,
                    const PodSpec& spec,
                    const std::string& container_id,
                    const std::string& verb);

}  // namespace margay::lab
