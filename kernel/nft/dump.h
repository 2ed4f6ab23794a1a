#pragma once
// Reads a whole table back into the model: counters, sets with elements, chains with rules.

#include "kernel/model/nft.h"
#include "kernel/netlink/socket.h"
#include "kernel/nft/transaction.h"

#include <optional>
#include <string>
#include <vector>

namespace margay::nft {

// Nothing when the table does not exist. Repeats itself while the ruleset changes under it.
[[nodiscard]] Result<std::optional<Table>> dump_table(NetlinkSocket& socket,
                                                      const std::string& table);
[[nodiscard]] Result<std::vector<RuleHandle>> dump_rule_handles(NetlinkSocket& socket,
                                                                const std::string& table,
                                                                const std::string& chain);

}  // namespace margay::nft
