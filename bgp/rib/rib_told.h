#pragma once
// What a group was told, what it should be told, and the difference, slot by slot.
//
//   best path of p: from A, then from B       everyone but B: announcement    B only: withdrawal
//
// A group with add-path is told every usable path of a prefix, each under an identifier of ours:
// the number of the path, which stays while the path is there.

#include "bgp/rib/rib_state.h"

#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace margay::bgp {

// Prefixes of one family with one set of one source, changed by one rule, in order of arrival.
struct Batch {
  AttributePool::Id set = 0;
  std::uint16_t rule = 0;
  std::vector<Nlri> prefixes;
};

// What one group is to be told about one family.
class Round {
 public:
  struct Segment {
    std::vector<Nlri> withdrawn;
    std::vector<Batch> announced;
    std::unordered_map<std::uint64_t, std::size_t> batch_of;
    std::uint64_t last_key = ~std::uint64_t{0};  // mostly the next one, too
    std::size_t last_batch = 0;
  };

  explicit Round(Family family) : family_(family) {}

  void announce(const Sent& sent, const Nlri& nlri);
  void withdraw(PeerId source, const Nlri& nlri) { by_source_[source].withdrawn.push_back(nlri); }
  // The peer is the new source: it alone hears that what it was told is gone.
  void withdraw_from(PeerId peer, const Nlri& nlri) { withdrawn_from_[peer].push_back(nlri); }

  [[nodiscard]] Family family() const { return family_; }
  // For everyone but the source.
  [[nodiscard]] const std::map<PeerId, Segment>& by_source() const { return by_source_; }
  // For this peer only.
  [[nodiscard]] const std::map<PeerId, std::vector<Nlri>>& withdrawn_from() const {
    return withdrawn_from_;
  }

 private:
  Family family_;
  std::map<PeerId, Segment> by_source_;
  std::map<PeerId, std::vector<Nlri>> withdrawn_from_;
};

// Brings what one group was told up to date, and notes the difference in rounds.
class GroupUpdate {
 public:
  GroupUpdate(Rib::State& state, Group& group) : state_(state), group_(group) {}

  void bring_up_to_date(std::uint32_t slot, Round& round);

 private:
  [[nodiscard]] Wanted wanted(const Path& path, std::uint32_t slot);
  void update_best(std::uint32_t slot, Round& round);
  void update_all_paths(std::uint32_t slot, Round& round);
  void tell(Sent& sent, const Wanted& wanted, const Nlri& nlri, Round& round);
  void forget(Sent& sent, Family family);

  // The verdict on one set of one source, where it holds for every prefix of the family.
  struct Verdict {
    AttributePool::Id set = AttributePool::kNone;
    PeerId source;
    ExportVerdict verdict;
  };

  Rib::State& state_;
  Group& group_;
  bool changed_ = false;
  Verdict last_ipv4_;
  Verdict last_ipv6_;
};

}  // namespace margay::bgp
