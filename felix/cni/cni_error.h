#pragma once
// Errors of the agent as CNI tells them: a code, a message, what to do.

#include "base/result.h"
#include "cni/error.h"

#include <string>
#include <string_view>
#include <utility>

namespace margay::felix {

[[nodiscard]] cni::CniError cni_error(const Error& error, std::string_view what);

[[nodiscard]] inline cni::CniError plain_error(cni::Code code,
                                               std::string msg,
                                               std::string details = {}) {
  return {code, std::move(msg), std::move(details)};
}

}  // namespace margay::felix
