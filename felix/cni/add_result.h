#pragma once
// What ADD answers, from what is stored and wired. Pure.

#include "api/endpoint.h"
#include "cni/result.h"
#include "kernel/wiring.h"

#include <string>

namespace margay::felix {

[[nodiscard]] cni::AddResult make_result(const api::WorkloadEndpoint& endpoint,
                                         const WiringResult& wired,
                                         const std::string& netns);
void append_default_route(cni::AddResult& result, Family family, const IpAddr& gateway);

}  // namespace margay::felix
