#include "api/resource_codec.h"

#include <fmt/format.h>

#include <array>

namespace margay::api {

template <>
struct EnumNames<AllowedUse> {
  static constexpr std::array rows{EnumName<AllowedUse>{"Workload", AllowedUse::kWorkload},
                                   EnumName<AllowedUse>{"Tunnel", AllowedUse::kTunnel},
                                   EnumName<AllowedUse>{"LoadBalancer", AllowedUse::kLoadBalancer}};
};
template <>
struct EnumNames<AffinityState> {
  static constexpr std::array rows{
      EnumName<AffinityState>{"pending", AffinityState::kPending},
      EnumName<AffinityState>{"confirmed", AffinityState::kConfirmed},
      EnumName<AffinityState>{"pendingDeletion", AffinityState::kPendingDeletion}};
};

namespace {

template <typename Visitor>
void describe_never(Visitor& visit, const char* name) {
  visit.custom(
      name,
      [](ReadState& state, const std::string& path, const json::value& in) {
        if (!in.is_string() || (in.get_string() != "Never" && !in.get_string().empty())) {
          state.fail_at(path, shown(in) + ": Margay has no encapsulation: expected Never");
        }
      },
      [] { return json::value(nullptr); });
}

template <typename Visitor>
void check_pool(Visitor& visit, const IPPool& pool) {
  constexpr unsigned kSmallest4 = 20;
  constexpr unsigned kLargest4 = 32;
  constexpr unsigned kSmallest6 = 116;
  constexpr unsigned kLargest6 = 128;
  const bool v4 = pool.cidr.family() == Family::kIpv4;
  const unsigned low = v4 ? kSmallest4 : kSmallest6;
  const unsigned high = v4 ? kLargest4 : kLargest6;
  if (pool.block_size < low || pool.block_size > high) {
    visit.fail("blockSize",
               fmt::format("{}: expected {} to {} for an {} pool",
                           pool.block_size,
                           low,
                           high,
                           v4 ? "IPv4" : "IPv6"));
  } else if (pool.block_size < pool.cidr.length() && !pool.disabled) {
    visit.fail("blockSize",
               fmt::format("/{} is larger than the pool {}", pool.block_size, pool.cidr.str()));
  }
  for (const char* reserved : {"169.254.0.0/16", "fe80::/10"}) {
    if (pool.cidr.overlaps(*Prefix::parse(reserved))) {
      visit.fail("cidr", pool.cidr.str() + ": overlaps the link-local range " + reserved);
    }
  }
  const auto uses = [&pool](AllowedUse use) {
    return std::find(pool.allowed_uses.begin(), pool.allowed_uses.end(), use) !=
           pool.allowed_uses.end();
  };
  if (uses(AllowedUse::kLoadBalancer) &&
      (uses(AllowedUse::kWorkload) || uses(AllowedUse::kTunnel))) {
    visit.fail("allowedUses", "LoadBalancer stands alone");
  }
  if (uses(AllowedUse::kLoadBalancer) && pool.disable_bgp_export) {
    visit.fail("disableBGPExport", "a LoadBalancer pool without export reaches nobody");
  }
  if (uses(AllowedUse::kLoadBalancer) && pool.node_selector != "all()") {
    visit.fail("nodeSelector", "a LoadBalancer pool is of all nodes: expected all()");
  }
  if (uses(AllowedUse::kTunnel) && !pool.namespace_selector.empty()) {
    visit.fail("namespaceSelector", "tunnels have no namespace: not with allowedUses Tunnel");
  }
}

}  // namespace

template <typename Visitor>
void describe(Visitor& visit, IPPool& pool) {
  constexpr unsigned kDefault6 = 122;
  visit.required("cidr", pool.cidr);
  if (Visitor::kReads && pool.cidr.family() == Family::kIpv6) {
    pool.block_size = kDefault6;
  }
  visit.required_or_default("blockSize", pool.block_size);
  visit.required_or_default("nodeSelector", pool.node_selector);
  visit.field("namespaceSelector", pool.namespace_selector);
  visit.field("allowedUses", pool.allowed_uses);
  visit.field("disabled", pool.disabled);
  visit.field("disableBGPExport", pool.disable_bgp_export);
  visit.field("natOutgoing", pool.nat_outgoing);
  visit.custom(
      "assignmentMode",
      [&pool](ReadState& state, const std::string& path, const json::value& in) {
        if (!in.is_string() || (in.get_string() != "Automatic" && in.get_string() != "Manual")) {
          state.fail_at(path, shown(in) + ": expected Automatic or Manual");
        } else {
          pool.manual_assignment = in.get_string() == "Manual";
        }
      },
      [&pool] { return pool.manual_assignment ? json::value("Manual") : json::value(nullptr); });
  describe_never(visit, "ipipMode");
  describe_never(visit, "vxlanMode");
  check_pool(visit, pool);
}

template void describe(Reader& visit, IPPool& pool);
template void describe(Writer& visit, IPPool& pool);

template <typename Visitor>
void describe(Visitor& visit, AllocationAttribute& attribute) {
  visit.field("handle_id", attribute.handle_id);
  visit.field("secondary", attribute.secondary);
}

template <typename Visitor>
void describe(Visitor& visit, IPAMBlock& block) {
  visit.required("cidr", block.cidr);
  visit.field("affinity", block.affinity);
  visit.ignored("strictAffinity");
  visit.ignored("affinityClaimTime");
  visit.custom(
      "allocations",
      [&block](ReadState& state, const std::string& path, const json::value& in) {
        read_value(state, path, in, block.allocations);
      },
      [&block] { return write_value(block.allocations); });
  visit.required_or_default("unallocated", block.unallocated);
  visit.required_or_default("attributes", block.attributes);
  visit.field("releasedAt", block.released_at);
  visit.field("sequenceNumber", block.sequence_number);
  visit.field("sequenceNumberForAllocation", block.sequence_number_for_allocation);
  visit.field("deleted", block.deleted);
  const std::uint64_t size = block.cidr.size();
  if (block.allocations.size() != size) {
    visit.fail(
        "allocations",
        fmt::format(
            "{} entries: {} has {} addresses", block.allocations.size(), block.cidr.str(), size));
  }
  for (const auto& allocation : block.allocations) {
    if (allocation && *allocation >= block.attributes.size()) {
      visit.fail("allocations",
                 fmt::format("{}: there are {} attributes", *allocation, block.attributes.size()));
    }
  }
  for (const std::uint32_t ordinal : block.unallocated) {
    if (ordinal >= size) {
      visit.fail("unallocated", fmt::format("{}: the block has {} addresses", ordinal, size));
    }
  }
}

template void describe(Reader& visit, IPAMBlock& block);
template void describe(Writer& visit, IPAMBlock& block);

template <typename Visitor>
void describe(Visitor& visit, IPAMHandle& handle) {
  visit.required("handleID", handle.handle_id);
  visit.field("block", handle.blocks);
  visit.field("deleted", handle.deleted);
}

template void describe(Reader& visit, IPAMHandle& handle);
template void describe(Writer& visit, IPAMHandle& handle);

template <typename Visitor>
void describe(Visitor& visit, IPAMConfiguration& config) {
  constexpr std::uint32_t kMostBlocks = 1'000'000;
  constexpr std::uint32_t kLongestCooldown = 1200;
  visit.required_or_default("strictAffinity", config.strict_affinity);
  visit.required_or_default("autoAllocateBlocks", config.auto_allocate_blocks);
  visit.required_or_default("maxBlocksPerHost", config.max_blocks_per_host);
  visit.required_or_default("ipCooldownSeconds", config.ip_cooldown_s);
  if (config.max_blocks_per_host > kMostBlocks) {
    visit.fail("maxBlocksPerHost",
               fmt::format("{}: at most {}", config.max_blocks_per_host, kMostBlocks));
  }
  if (config.ip_cooldown_s > kLongestCooldown) {
    visit.fail("ipCooldownSeconds",
               fmt::format("{}: at most {}", config.ip_cooldown_s, kLongestCooldown));
  }
  if (!config.strict_affinity && !config.auto_allocate_blocks) {
    visit.fail("autoAllocateBlocks", "false needs strictAffinity: true");
  }
}

template void describe(Reader& visit, IPAMConfiguration& config);
template void describe(Writer& visit, IPAMConfiguration& config);

template <typename Visitor>
void describe(Visitor& visit, IPReservation& reservation) {
  visit.required("reservedCIDRs", reservation.reserved_cidrs);
}

template void describe(Reader& visit, IPReservation& reservation);
template void describe(Writer& visit, IPReservation& reservation);

template <typename Visitor>
void describe(Visitor& visit, BlockAffinity& affinity) {
  visit.required("state", affinity.state);
  visit.required("node", affinity.node);
  visit.required("cidr", affinity.cidr);
  visit.custom(
      "type",
      [](ReadState& state, const std::string& path, const json::value& in) {
        if (!in.is_string() || in.get_string() != "host") {
          state.fail_at(path, shown(in) + ": expected host");
        }
      },
      [] { return json::value("host"); });
  // A string in Calico's stored form.
  visit.custom(
      "deleted",
      [&affinity](ReadState& state, const std::string& path, const json::value& in) {
        if (in.is_string() &&
            (in.get_string() == "true" || in.get_string() == "false" || in.get_string().empty())) {
          affinity.deleted = in.get_string() == "true";
        } else {
          read_value(state, path, in, affinity.deleted);
        }
      },
      [&affinity] { return json::value(affinity.deleted ? "true" : "false"); });
}

template void describe(Reader& visit, BlockAffinity& affinity);
template void describe(Writer& visit, BlockAffinity& affinity);

}  // namespace margay::api
