#pragma once
// Prints the nftables model the way `nft list table` does, for golden tests and for people.
//
// The text can be read by `nft -f`. Nothing in the product parses it or feeds it to the kernel.

#include "kernel/model/nft.h"

#include <string>

namespace margay::nft {

// "table inet NAME { ... }": named counters, sets and maps, chains, each in name order.
[[nodiscard]] std::string to_text(std::string_view table_name, const Table& table);
// One rule without indentation and end of line.
[[nodiscard]] std::string to_text(const Rule& rule);
[[nodiscard]] std::string to_text(const Statement& statement);
[[nodiscard]] std::string to_text(const Verdict& verdict);
// "10.0.0.0/8 . tcp . 80-90": an element of a set of this key type.
[[nodiscard]] std::string to_text(const std::vector<DataType>& types, const ElementKey& key);

}  // namespace margay::nft
