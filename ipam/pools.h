#pragma once
// Which pools a request may use, and which block of a pool a node claims next. Pure.

#include "api/metadata.h"
#include "api/network.h"
#include "base/result.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace margay::ipam {

struct Pool {
  std::string name;
  api::IPPool spec;
};

// Evaluates a selector over labels; given by the composer, as this library does not know selectors.
using SelectorMatch = std::function<bool(std::string_view selector, const api::Labels& labels)>;

struct PoolQuery {
  Family family = Family::kIpv4;
  api::AllowedUse use = api::AllowedUse::kWorkload;
  std::vector<std::string> requested;  // names or CIDRs; these skip the selectors
  api::Labels node_labels;
  api::Labels namespace_labels;
};

// Requests name a pool by its name or its CIDR.
[[nodiscard]] bool is_called(const Pool& pool, std::string_view wanted);
// The pool that is called so; null when none is.
[[nodiscard]] const Pool* find_pool(const std::vector<Pool>& pools, std::string_view wanted);

// Why the request gets no address of the pool unless it asks for it: "it is disabled",
// "nodeSelector \"rack == 'b'\" does not select the node"; empty: it may.
[[nodiscard]] std::string why_not(const Pool& pool,
                                  const PoolQuery& query,
                                  const SelectorMatch& match);

// Ordered by name, or as requested. kNotFound: a requested pool does not exist or is of the other
// family; kInvalid: it is disabled; kExhausted: no pool is for this node and namespace (the text
// says of each why not).
[[nodiscard]] Result<std::vector<Pool>> eligible_pools(const std::vector<Pool>& pools,
                                                       const PoolQuery& query,
                                                       const SelectorMatch& match);

// The pool that holds the address; null when none does.
[[nodiscard]] const Pool* pool_of(const std::vector<Pool>& pools, const IpAddr& addr);
[[nodiscard]] Prefix block_cidr(const Pool& pool, const IpAddr& addr);
// Blocks in the pool, saturated at 2^32 - 1.
[[nodiscard]] std::uint64_t block_count(const Pool& pool);

// The first block of the pool that nobody has, from a start that depends on the node's name, so
// that nodes claiming at once seldom meet. Blocks that are reserved as a whole are passed over.
// `taken`: names of blocks.
// Nothing: the pool is fully claimed.
[[nodiscard]] std::optional<Prefix> next_free_block(const Pool& pool,
                                                    const NodeName& node,
                                                    const std::unordered_set<std::string>& taken,
                                                    const std::vector<Prefix>& reserved = {});

// Names of the stored objects, as Calico writes them: "10-244-3-64-26", "node1-10-244-3-64-26".
[[nodiscard]] std::string block_name(const Prefix& cidr);
[[nodiscard]] std::string affinity_name(const NodeName& node, const Prefix& cidr);

}  // namespace margay::ipam
