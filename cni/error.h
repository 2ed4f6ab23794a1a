#pragma once
// CNI errors and versions: what both ends of the socket know. Links nothing but the standard
// library.

#include <array>
#include <string>
#include <string_view>

namespace margay::cni {

// Codes of the CNI specification; those from 100 are ours.
enum class Code : int {
  kIncompatibleVersion = 1,
  kUnsupportedField = 2,
  kUnknownContainer = 3,
  kBadEnvironment = 4,
  kIo = 5,
  kDecode = 6,
  kBadConfig = 7,
  kBadNamespace = 8,
  kTryAgainLater = 11,
  kNotAvailable = 50,
  kLimited = 51,  // not available, and what runs may be cut off
  kFailed = 100,
};

struct CniError {
  Code code = Code::kFailed;
  std::string msg;
  std::string details;  // what to do
  bool operator==(const CniError&) const = default;
};

inline constexpr std::array<std::string_view, 4> kVersions{"0.3.1", "0.4.0", "1.0.0", "1.1.0"};

[[nodiscard]] bool is_supported(std::string_view version);
// "0.3.1, 0.4.0, 1.0.0, 1.1.0"
[[nodiscard]] std::string version_list();
// The error object of the specification, in the version asked for where that one is supported.
[[nodiscard]] std::string error_json(const CniError& error, std::string_view version);
// A JSON string with its quotes.
[[nodiscard]] std::string quoted(std::string_view text);

}  // namespace margay::cni
