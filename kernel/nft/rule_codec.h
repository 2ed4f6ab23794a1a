#pragma once
// A rule of the model <-> the expressions of a libnftnl rule. Pure: no socket.
//
// Encoding adds what a field implies (the family in front of an address, the protocol in front of
// an ICMP type) unless the rule has asked for it before; decoding follows the values through the
// registers and brings the rule into canonical form. What decoding does not know becomes Foreign,
// which equals nothing that we write.

#include "kernel/model/nft.h"

struct nftnl_rule;

namespace margay::nft {

inline constexpr std::size_t kMaxStatements = 40;  // the kernel takes 128 expressions in a rule

// NF_ACCEPT, NFT_JUMP and so on.
[[nodiscard]] std::int32_t to_code(VerdictKind kind);
[[nodiscard]] std::optional<VerdictKind> to_verdict(std::int32_t code);

void encode_rule(const Rule& rule, nftnl_rule* into);
[[nodiscard]] Rule decode_rule(const nftnl_rule* rule);

}  // namespace margay::nft
