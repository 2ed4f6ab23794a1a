#pragma once
// What other plugins answered: those in front of this one in a chain, and an IPAM plugin that this
// one asks for addresses. Pure.

#include "base/ip_addr.h"
#include "base/result.h"
#include "cni/error.h"
#include "cni/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace margay::cni {

// The result of the whole chain so far: prevResult of the configuration as it is, with interfaces,
// addresses and routes of ours behind its own. Ours alone when there is no prevResult.
[[nodiscard]] Result<std::string, CniError> result_behind(std::string_view config,
                                                          const AddResult& ours,
                                                          std::string_view version);

// The answer of a delegated IPAM plugin, as far as it means something where everything is routed:
// addresses and DNS. Its gateways and prefix lengths belong to a network that is not there.
struct DelegatedAnswer {
  std::vector<IpAddr> addresses;
  Dns dns;
};
[[nodiscard]] Result<DelegatedAnswer, CniError> parse_delegated(std::string_view type,
                                                                std::string_view answer);
// What dns_json() wrote; none when it is something else.
[[nodiscard]] Dns parse_dns(std::string_view text);

}  // namespace margay::cni
