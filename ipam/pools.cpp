#include "ipam/pools.h"

#include "base/stable_hash.h"

#include <algorithm>
#include <limits>

namespace margay::ipam {

namespace {

std::string dashed(const Prefix& cidr) {
  std::string text = cidr.str();
  std::ranges::replace_if(
      text, [](char c) { return c == '.' || c == ':' || c == '/'; }, '-');
  return text;
}

bool allows(const api::IPPool& pool, api::AllowedUse use) {
  return std::ranges::find(pool.allowed_uses, use) != pool.allowed_uses.end();
}

Result<std::vector<Pool>> requested_pools(const std::vector<Pool>& pools, const PoolQuery& query) {
  std::vector<Pool> chosen;
  for (const std::string& wanted : query.requested) {
    const Pool* const found = find_pool(pools, wanted);
    if (found == nullptr) {
      return fail(Errc::kNotFound, "pool \"{}\" does not exist", wanted);
    }
    if (found->spec.cidr.family() != query.family) {
      return fail(Errc::kInvalid,
                  "pool \"{}\" ({}) is not {}",
                  found->name,
                  found->spec.cidr.str(),
                  family_name(query.family));
    }
    if (found->spec.disabled) {
      return fail(Errc::kInvalid, "pool \"{}\" is disabled", found->name);
    }
    if (!allows(found->spec, query.use)) {
      return fail(Errc::kInvalid, "pool \"{}\": allowedUses does not name this use", found->name);
    }
    chosen.push_back(*found);
  }
  return chosen;
}

// Pools are few as a rule; an error stays readable where they are not.
std::string first_of(const std::vector<std::string>& reasons) {
  constexpr std::size_t kMost = 8;
  if (reasons.empty()) {
    return "there is none";
  }
  const auto shown = std::min(reasons.size(), kMost);
  const std::string more =
      reasons.size() > kMost ? fmt::format("; and {} more", reasons.size() - kMost) : "";
  return fmt::format(
      "{}{}",
      fmt::join(reasons.begin(), reasons.begin() + static_cast<std::ptrdiff_t>(shown), "; "),
      more);
}

}  // namespace

bool is_called(const Pool& pool, std::string_view wanted) {
  return pool.name == wanted || pool.spec.cidr.str() == wanted;
}

const Pool* find_pool(const std::vector<Pool>& pools, std::string_view wanted) {
  const auto found =
      std::ranges::find_if(pools, [wanted](const Pool& pool) { return is_called(pool, wanted); });
  return found == pools.end() ? nullptr : &*found;
}

std::string why_not(const Pool& pool, const PoolQuery& query, const SelectorMatch& match) {
  if (pool.spec.disabled) {
    return "it is disabled";
  }
  if (!allows(pool.spec, query.use)) {
    return "allowedUses does not name this use";
  }
  if (pool.spec.manual_assignment) {
    return "assignmentMode Manual: only for who asks for it";
  }
  if (!match(pool.spec.node_selector, query.node_labels)) {
    return fmt::format("nodeSelector \"{}\" does not select the node", pool.spec.node_selector);
  }
  if (!pool.spec.namespace_selector.empty() &&
      !match(pool.spec.namespace_selector, query.namespace_labels)) {
    return fmt::format("namespaceSelector \"{}\" does not select the namespace",
                       pool.spec.namespace_selector);
  }
  return {};
}

Result<std::vector<Pool>> eligible_pools(const std::vector<Pool>& pools,
                                         const PoolQuery& query,
                                         const SelectorMatch& match) {
  if (!query.requested.empty()) {
    return requested_pools(pools, query);
  }
  std::vector<Pool> chosen;
  std::vector<std::string> refused;
  for (const Pool& pool : pools) {
    if (pool.spec.cidr.family() != query.family) {
      continue;
    }
    if (const std::string why = why_not(pool, query, match); !why.empty()) {
      refused.push_back(fmt::format("\"{}\": {}", pool.name, why));
    } else {
      chosen.push_back(pool);
    }
  }
  if (chosen.empty()) {
    return fail(Errc::kExhausted,
                "no {} pool for this node and namespace: {}",
                family_name(query.family),
                first_of(refused));
  }
  std::ranges::sort(chosen, {}, &Pool::name);
  return chosen;
}

const Pool* pool_of(const std::vector<Pool>& pools, const IpAddr& addr) {
  const auto found = std::ranges::find_if(
      pools, [&addr](const Pool& pool) { return pool.spec.cidr.contains(addr); });
  return found == pools.end() ? nullptr : &*found;
}

Prefix block_cidr(const Pool& pool, const IpAddr& addr) {
  return Prefix::masked(addr, pool.spec.block_size);
}

std::uint64_t block_count(const Pool& pool) {
  constexpr unsigned kMaxShift = 32;
  if (pool.spec.block_size < pool.spec.cidr.length()) {
    return 0;
  }
  const unsigned shift = pool.spec.block_size - pool.spec.cidr.length();
  return shift >= kMaxShift ? std::numeric_limits<std::uint32_t>::max() : std::uint64_t{1} << shift;
}

namespace {

// How many blocks, from this one on, are reserved by the first CIDR that reserves this one.
std::uint64_t reserved_run(const Pool& pool,
                           const Prefix& block,
                           const std::vector<Prefix>& reserved) {
  const auto found =
      std::ranges::find_if(reserved, [&block](const Prefix& cidr) { return cidr.contains(block); });
  if (found == reserved.end()) {
    return 0;
  }
  const std::uint64_t all = block_count(pool);
  if (found->contains(pool.spec.cidr)) {
    return all;
  }
  // Inside the pool, so its blocks are counted like those of a pool.
  Pool part = pool;
  part.spec.cidr = *found;
  const auto offset = block.addr().offset_from(found->addr());
  const unsigned host_bits = address_bits(pool.spec.cidr.family()) - pool.spec.block_size;
  const std::uint64_t before = offset ? *offset >> host_bits : 0;
  const std::uint64_t blocks = block_count(part);
  return blocks > before ? blocks - before : 1;
}

}  // namespace

std::optional<Prefix> next_free_block(const Pool& pool,
                                      const NodeName& node,
                                      const std::unordered_set<std::string>& taken,
                                      const std::vector<Prefix>& reserved) {
  const std::uint64_t count = block_count(pool);
  if (count == 0) {
    return std::nullopt;
  }
  const unsigned host_bits = address_bits(pool.spec.cidr.family()) - pool.spec.block_size;
  const std::uint64_t start = stable_hash(node.str()) % count;
  // At most one more try than there are taken blocks and reserved runs, however large the pool; a
  // run may be met twice, as the walk may begin inside it.
  std::uint64_t tries = taken.size() + 2 * reserved.size() + 1;
  for (std::uint64_t step = 0; step < count && tries > 0; --tries) {
    const std::uint64_t index = (start + step) % count;
    const Prefix cidr =
        Prefix::masked(pool.spec.cidr.addr().add(index << host_bits), pool.spec.block_size);
    const std::uint64_t run = reserved_run(pool, cidr, reserved);
    if (run == 0 && !taken.contains(block_name(cidr))) {
      return cidr;
    }
    step += std::max<std::uint64_t>(run, 1);
  }
  return std::nullopt;
}

std::string block_name(const Prefix& cidr) {
  return dashed(cidr);
}

std::string affinity_name(const NodeName& node, const Prefix& cidr) {
  return node.str() + "-" + dashed(cidr);
}

}  // namespace margay::ipam
