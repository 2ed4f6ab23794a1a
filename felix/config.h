#pragma once
// The configuration of one agent: margayd.yaml, environment and flags, in that order of growing
// strength.
//
// Every field has one name in three spellings: run_dir in the file, MARGAY_RUN_DIR in the
// environment, --run-dir as a flag. The datastore (FelixConfiguration) comes after all three, and
// has of these fields the log level alone.

#include "base/ip_addr.h"
#include "base/result.h"
#include "base/strong.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace margay::felix {

enum class BgpMode : std::uint8_t { kEmbedded, kBird, kNone };
[[nodiscard]] std::string_view to_string(BgpMode mode);
enum class LogFormat : std::uint8_t { kText, kJson };

struct AgentConfig {
  std::string datastore = "sqlite:///var/lib/margay/margay.db";
  NodeName node;
  std::string run_dir = "/run/margay";
  std::string state_dir = "/var/lib/margay";
  std::string log_level = "info";  // error, warn, info, debug, trace
  bool log_level_given = false;    // no: the store may say another
  LogFormat log_format = LogFormat::kText;
  BgpMode bgp = BgpMode::kEmbedded;
  std::string metrics_listen = "127.0.0.1:9091";  // empty: off
  std::string fault_injection;                    // kernel/faults.h; empty: none

  bool operator==(const AgentConfig&) const = default;
};

// Field name (file spelling) to text. What a source does not set is absent.
using ConfigValues = std::map<std::string, std::string, std::less<>>;

// The names and one-line descriptions of all fields, for flags and help.
struct ConfigField {
  std::string_view name;  // file spelling
  std::string_view help;
};
[[nodiscard]] const std::vector<ConfigField>& config_fields();

// Reads a YAML mapping of fields; unknown fields and wrong values are errors that name file, line,
// field.
[[nodiscard]] Result<ConfigValues> read_config_file(const std::string& path);

// Each value against what its field takes.
[[nodiscard]] Result<void> check_values(const ConfigValues& values);

// Values of a stronger source win. The result is checked: each value against what the field takes.
[[nodiscard]] Result<AgentConfig> make_config(const ConfigValues& file,
                                              const ConfigValues& environment,
                                              const ConfigValues& flags,
                                              std::string_view host_name);

}  // namespace margay::felix
