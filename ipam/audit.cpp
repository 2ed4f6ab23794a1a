#include "ipam/audit.h"

#include "base/wall_time.h"
#include "ipam/block.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace margay::ipam {

namespace {

constexpr std::string_view kHostPrefix = "host:";

std::string attribute(const api::AllocationAttribute& holder, const char* name) {
  const auto found = holder.secondary.find(name);
  return found == holder.secondary.end() ? std::string() : found->second;
}

std::string whose(const api::AllocationAttribute& holder) {
  return fmt::format("pod {}/{} on {}, handle {}",
                     attribute(holder, "namespace"),
                     attribute(holder, "pod"),
                     attribute(holder, "node"),
                     holder.handle_id);
}

// Since when, in UNIX seconds; 0: it does not say.
std::int64_t since(const api::AllocationAttribute& holder) {
  const std::string text = attribute(holder, "timestamp");
  std::int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc{} ? value : 0;
}

class Audit {
 public:
  explicit Audit(const AuditInput& input) : input_(input) {}

  std::vector<Finding> run() {
    for (const api::IPAMBlock& block : input_.blocks) {
      look_at_block(block);
    }
    look_at_endpoints();
    look_at_handles();
    look_at_affinities();
    std::ranges::stable_sort(out_, {}, &Finding::kind);
    return std::move(out_);
  }

 private:
  void report(FindingKind kind, std::string object, std::string text) {
    out_.push_back({kind, std::move(object), std::move(text), {}});
  }

  void look_at_block(const api::IPAMBlock& block) {
    blocks_.emplace(block.cidr, &block);
    if (auto sound = check_block(block); !sound) {
      report(FindingKind::kBrokenBlock, block.cidr.str(), sound.error().text);
    }
    const bool in_pool = std::ranges::any_of(
        input_.pools, [&block](const Prefix& pool) { return pool.contains(block.cidr); });
    for (std::size_t ordinal = 0; ordinal < block.allocations.size(); ++ordinal) {
      if (!block.allocations[ordinal] || *block.allocations[ordinal] >= block.attributes.size()) {
        continue;
      }
      const api::AllocationAttribute& holder = block.attributes[*block.allocations[ordinal]];
      const auto addr = block.cidr.addr().add(ordinal);
      ++held_[holder.handle_id][block.cidr];
      allocated_.insert(addr);
      if (!in_pool) {
        report(FindingKind::kOutsidePools, addr.str(), whose(holder) + ": no pool contains it");
      }
      look_at_holder(addr, holder);
    }
  }

  void look_at_holder(const IpAddr& addr, const api::AllocationAttribute& holder) {
    const std::string type = attribute(holder, "type");
    if (!input_.unreadable.empty() || input_.endpoints.contains(addr) ||
        !(type.empty() || type == kWorkload)) {
      return;
    }
    const std::int64_t given = since(holder);
    const bool young = input_.unix_now - given < kLeakGraceS;
    std::string text = "no endpoint has it";
    if (given != 0) {
      text += ", given " + format_rfc3339(WallSeconds(std::chrono::seconds(given)));
    }
    text += ": " + whose(holder);
    out_.push_back({young ? FindingKind::kYoungAddress : FindingKind::kLeakedAddress,
                    addr.str(),
                    std::move(text),
                    holder});
  }

  void look_at_endpoints() {
    for (const std::string& name : input_.unreadable) {
      report(FindingKind::kUnreadable,
             name,
             "stored but invalid, so which addresses it has is not known: none is called leaked");
    }
    for (const auto& [addr, names] : input_.endpoints) {
      if (names.size() > 1) {
        report(FindingKind::kSharedAddress, addr.str(), fmt::format("{}", fmt::join(names, ", ")));
      }
      const bool ours = std::ranges::any_of(
          input_.pools, [&addr = addr](const Prefix& pool) { return pool.contains(addr); });
      if (ours && !allocated_.contains(addr)) {
        report(FindingKind::kUnallocated,
               addr.str(),
               names.front() + " has it, and it is free in its block");
      }
    }
  }

  void look_at_handles() {
    std::set<std::string> known;
    for (const api::IPAMHandle& handle : input_.handles) {
      known.insert(handle.handle_id);
      const auto found = held_.find(handle.handle_id);
      const std::map<Prefix, std::uint32_t> none;
      if ((found == held_.end() ? none : found->second) != handle.blocks) {
        report(FindingKind::kHandleMismatch,
               handle.handle_id,
               "counts other addresses than its blocks hold for it");
      }
    }
    for (const auto& [handle, blocks] : held_) {
      if (!known.contains(handle)) {
        report(FindingKind::kHandleMismatch, handle, "holds addresses and is not there");
      }
    }
  }

  void look_at_affinities() {
    std::map<Prefix, std::string> owners;
    for (const api::BlockAffinity& affinity : input_.affinities) {
      owners[affinity.cidr] = host_affinity(affinity.node);
      const auto block = blocks_.find(affinity.cidr);
      if (affinity.state == api::AffinityState::kConfirmed &&
          (block == blocks_.end() || block->second->affinity != host_affinity(affinity.node))) {
        report(FindingKind::kAffinityMismatch,
               affinity.cidr.str(),
               affinity.node.str() + " has a confirmed affinity, and the block is not its own");
      }
    }
    for (const auto& [cidr, block] : blocks_) {
      if (!block->affinity) {
        continue;
      }
      const auto owner = owners.find(cidr);
      if (owner == owners.end()) {
        report(FindingKind::kAffinityMismatch,
               cidr.str(),
               *block->affinity + " owns it without an affinity");
      }
      const std::string_view node = std::string_view(*block->affinity).substr(kHostPrefix.size());
      if (block->affinity->starts_with(kHostPrefix) && !input_.nodes.contains(std::string(node))) {
        report(FindingKind::kOwnerUnknown, cidr.str(), fmt::format("there is no node {}", node));
      }
    }
  }

  const AuditInput& input_;
  std::map<Prefix, const api::IPAMBlock*> blocks_;
  std::map<std::string, std::map<Prefix, std::uint32_t>> held_;  // by handle
  std::set<IpAddr> allocated_;
  std::vector<Finding> out_;
};

}  // namespace

std::string node_of(const api::AllocationAttribute& holder) {
  return attribute(holder, "node");
}

const char* to_string(FindingKind kind) {
  switch (kind) {
    case FindingKind::kLeakedAddress:
      return "leaked address";
    case FindingKind::kYoungAddress:
      return "in use lately";
    case FindingKind::kUnallocated:
      return "not allocated";
    case FindingKind::kSharedAddress:
      return "shared address";
    case FindingKind::kOutsidePools:
      return "outside all pools";
    case FindingKind::kBrokenBlock:
      return "broken block";
    case FindingKind::kHandleMismatch:
      return "handle mismatch";
    case FindingKind::kAffinityMismatch:
      return "affinity mismatch";
    case FindingKind::kOwnerUnknown:
      return "owner unknown";
    case FindingKind::kUnreadable:
      return "unreadable endpoint";
  }
  return "";
}

std::vector<Finding> audit(const AuditInput& input) {
  return Audit(input).run();
}

}  // namespace margay::ipam
