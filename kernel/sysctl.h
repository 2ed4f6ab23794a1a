#pragma once
// Kernel settings below /proc/sys of the calling thread's network namespace.

#include "base/result.h"

#include <string>
#include <string_view>

namespace margay {

// key: path below /proc/sys, "net/ipv4/ip_forward". kNotFound when the kernel has no such setting.
[[nodiscard]] Result<std::string> read_sysctl(const std::string& key);
// Writes only if the value differs.
[[nodiscard]] Result<void> write_sysctl(const std::string& key, std::string_view value);

// Whether the namespace can have IPv6 addresses at all.
[[nodiscard]] bool has_ipv6();

}  // namespace margay
