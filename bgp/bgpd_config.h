#pragma once
// The configuration of margay-bgpd: one YAML file, read strictly.
//
// Errors name file, line, field and what would be right. Peers take the fields of their group and
// override them. External peers are accepted only with `import` and `export`, each `accept` or the
// name of a filter (RFC 8212: no route by default). What this build does not do is refused, not
// ignored.

#include "bgp/speaker.h"

#include <string>
#include <string_view>

namespace margay::bgp {

struct BgpdConfig {
  struct Fib {
    bool ipv4 = false;
    bool ipv6 = false;
    TableId table = kTableMain;
    RouteProtocol protocol = kProtocolBgp;
    bool operator==(const Fib&) const = default;
  };

  SpeakerConfig speaker;
  Fib fib;
  std::string control = "/run/margay/bgpd.sock";  // empty: none
  bool operator==(const BgpdConfig&) const = default;
};

[[nodiscard]] Result<BgpdConfig> read_bgpd_config(const std::string& path);
// name: of the file, for errors.
[[nodiscard]] Result<BgpdConfig> parse_bgpd_config(std::string_view text, const std::string& name);

}  // namespace margay::bgp
