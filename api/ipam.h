#pragma once
// Address-management kinds in Calico's stored form: IPAMBlock, BlockAffinity, IPAMHandle,
// IPAMConfiguration, IPReservation. Logic over them is in ipam/.

#include "base/ip_addr.h"
#include "base/strong.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace margay::api {

// Who holds an address: shared by all addresses of one attachment.
struct AllocationAttribute {
  std::string handle_id;
  std::map<std::string, std::string> secondary;  // node, namespace, pod, type, timestamp
  bool operator==(const AllocationAttribute&) const = default;
};

struct IPAMBlock {
  Prefix cidr;
  std::optional<std::string> affinity;                    // "host:NODE"
  std::vector<std::optional<std::uint32_t>> allocations;  // per ordinal: index into attributes
  std::vector<std::uint32_t> unallocated;                 // FIFO queue of free ordinals
  std::vector<AllocationAttribute> attributes;
  std::map<std::uint32_t, std::int64_t>
      released_at;                    // ordinal -> UNIX seconds; not reused within the cool-down
  std::uint64_t sequence_number = 0;  // bumped by every change
  std::map<std::uint32_t, std::uint64_t> sequence_number_for_allocation;
  bool deleted = false;
  bool operator==(const IPAMBlock&) const = default;
};

enum class AffinityState : std::uint8_t { kPending, kConfirmed, kPendingDeletion };
struct BlockAffinity {
  AffinityState state = AffinityState::kPending;
  NodeName node;
  Prefix cidr;
  bool deleted = false;
  bool operator==(const BlockAffinity&) const = default;
};

struct IPAMHandle {
  std::string handle_id;
  std::map<Prefix, std::uint32_t> blocks;  // block -> number of addresses in it
  bool deleted = false;
  bool operator==(const IPAMHandle&) const = default;
};

struct IPAMConfiguration {
  bool strict_affinity = false;
  std::uint32_t max_blocks_per_host = 20;  // 0 = none
  bool auto_allocate_blocks = true;
  std::uint32_t ip_cooldown_s = 60;  // 0 to 1200
  bool operator==(const IPAMConfiguration&) const = default;
};

// Addresses of pools that are given to nobody.
struct IPReservation {
  std::vector<Prefix> reserved_cidrs;
  bool operator==(const IPReservation&) const = default;
};

}  // namespace margay::api
