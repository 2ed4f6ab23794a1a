#pragma once
// Filters of others beside our table: nftables asks every table, so what one of them drops is
// dropped, whatever the others accept.

#include "base/result.h"
#include "kernel/model/nft.h"

#include <cstddef>
#include <string>
#include <vector>

namespace margay::nft {

// A base chain of somebody else that may drop packets.
struct ForeignFilter {
  std::string family;  // "ip", "ip6", "inet", "netdev", "bridge", "arp"
  std::string table;
  std::string chain;
  HookPoint hook{};
  std::int32_t priority = 0;
  bool drops_by_policy = false;
  std::size_t dropping_rules = 0;  // rules of the chain itself that drop or reject

  [[nodiscard]] std::string str() const;  // "table ip filter chain FORWARD"
};

// Base chains of inet, ip and ip6 in tables other than `own`, with something that drops. Reads the
// kernel of the calling thread's network namespace.
[[nodiscard]] Result<std::vector<ForeignFilter>> foreign_filters(const std::string& own);

}  // namespace margay::nft
