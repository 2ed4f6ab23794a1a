#pragma once
// The inside of Rib, shared by rib.cpp (sessions, UPDATEs), rib_paths.cpp (paths and decision),
// rib_output.cpp and rib_told.cpp (update groups) and rib_view.cpp (status).
//
//   prefix --PrefixTable--> slot --first_path--> path -> path ...      one per peer and path id
//                            |                    |- set       after the filters  \ numbers of the
//                            |                    '- received  before them        / AttributePool
//                            '--BySlot--> what each group was told: set, source, rule

#include "bgp/rib/attribute_pool.h"
#include "bgp/rib/export.h"
#include "bgp/rib/paged_vector.h"
#include "bgp/rib/prefix_table.h"
#include "bgp/rib/rib.h"

#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace margay::bgp {

// Why a received path is kept but not used.
enum class Rejection : std::uint8_t { kNone, kOwnAs, kOriginator, kClusterLoop, kLeak, kFilter };
[[nodiscard]] std::string_view to_string(Rejection rejection);

struct Path {
  AttributePool::Id set = 0;
  AttributePool::Id received = 0;  // before the filters changed it
  std::uint32_t path_id = 0;       // as the peer numbers it
  std::uint32_t next = kNoIndex;   // of the same prefix
  PeerId peer;
  Rejection rejection = Rejection::kNone;
  bool multipath : 1 = false;  // usable beside the best
  bool stale : 1 = false;      // its peer restarts and has not said it again
};
static_assert(sizeof(Path) == 20, "there are millions of them");

struct Group;

// What a peer that was paused has been told, and of what it must hear: a byte of each per slot, so
// that it costs the size of the table however long it lasts and whatever comes and goes meanwhile.
struct Lag {
  BySlot<bool> told;
  std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> told_paths;  // with add-path
  BySlot<bool> owed;
  std::size_t owed_count = 0;
  bool writable = false;

  // The group's routes for the slot are others now; `any`: there is one for this peer.
  void note(std::uint32_t slot, bool any);
  // By path identifier; 0 without add-path.
  [[nodiscard]] std::vector<std::uint32_t> told_of(std::uint32_t slot) const;
  void set_told(std::uint32_t slot, std::vector<std::uint32_t> path_ids);
};

// Not "Peer": that is the machine of a session in the same namespace (bgp/fsm).
struct TablePeer {
  RibPeer config;
  Group* group = nullptr;     // none while it restarts
  std::uint32_t session = 0;  // distinguishes what bytes of different sessions mean
  FamilyCounts ipv4;          // without what is advertised
  FamilyCounts ipv6;
  std::vector<Nlri> told_before;  // under other filters, until the full table is sent
  std::unique_ptr<Lag> lag;       // while paused, and until it is level again
  // Families still to be sent in full; changes wait for that.
  bool full_ipv4 = true;
  bool full_ipv6 = true;
  // Families whose end-of-RIB is held back.
  bool end_owed_ipv4 = false;
  bool end_owed_ipv6 = false;
  std::uint32_t stale = 0;  // of its paths

  [[nodiscard]] bool& end_owed(Family family) {
    return family == Family::kIpv4 ? end_owed_ipv4 : end_owed_ipv6;
  }
  [[nodiscard]] FamilyCounts& counts(Family family) {
    return family == Family::kIpv4 ? ipv4 : ipv6;
  }
  [[nodiscard]] std::uint32_t received() const { return ipv4.received + ipv6.received; }
  [[nodiscard]] bool& full(Family family) {
    return family == Family::kIpv4 ? full_ipv4 : full_ipv6;
  }
  [[nodiscard]] bool full(Family family) const {
    return family == Family::kIpv4 ? full_ipv4 : full_ipv6;
  }
};

// What a group was last told about a prefix: this set of this source. The set is held.
struct Sent {
  AttributePool::Id set = AttributePool::kNone;  // none: it was not told
  PeerId source;
  std::uint16_t rule = 0;  // of the group's filters, as ExportVerdict has it

  [[nodiscard]] bool any() const { return set != AttributePool::kNone; }
};
// With add-path (RFC 7911) a group is told every usable path, under the number of ours.
struct SentPath {
  std::uint32_t path_id = 0;
  Sent sent;
};

// What the peer said of a prefix, and what was made of it. The sets are the caller's.
struct Incoming {
  AttributePool::Id received = 0;
  AttributePool::Id set = 0;
  Rejection rejection = Rejection::kNone;
};

// A path the group should have, and the rule that lets it through.
struct Wanted {
  const Path* path = nullptr;
  std::uint16_t rule = 0;
};

struct Group {
  std::uint32_t number = 0;  // for people
  ExportTarget target;
  std::vector<PeerId> members;  // ascending
  BySlot<Sent> sent;            // the best path; with add-path, nothing
  std::unordered_map<std::uint32_t, std::vector<SentPath>> sent_paths;  // with add-path, by slot
  std::vector<std::uint32_t> dirty;                                     // slots
  BySlot<bool> is_dirty;                                                // on that list
  // What the group was told, by the number of its source: a member is not told its own.
  struct Advertised {
    std::uint32_t ipv4 = 0;
    std::uint32_t ipv6 = 0;
    [[nodiscard]] std::uint32_t& of(Family family) { return family == Family::kIpv4 ? ipv4 : ipv6; }
  };
  Advertised advertised;
  std::vector<Advertised> advertised_from;

  void count_advertised(PeerId source, Family family, std::uint32_t change) {
    if (advertised_from.size() <= source.value()) {
      advertised_from.resize(source.value() + std::size_t{1});
    }
    advertised.of(family) += change;
    advertised_from[source.value()].of(family) += change;
  }
  [[nodiscard]] bool add_path(Family family) const { return target.codec.of(family).add_path_send; }
  [[nodiscard]] bool told_nothing(std::uint32_t slot) const {
    return !sent.get(slot).any() && !is_dirty.get(slot) && !sent_paths.contains(slot);
  }
  // Everything that the group was told of a slot, with the path identifier it was told under.
  template <typename Visit>
  void for_each_sent(std::uint32_t slot, const Visit& visit) const {
    if (const Sent best = sent.get(slot); best.any()) {
      visit(std::uint32_t{0}, best);
    }
    if (const auto found = sent_paths.find(slot); found != sent_paths.end()) {
      for (const SentPath& one : found->second) {
        visit(one.path_id, one.sent);
      }
    }
  }
};

struct Rib::State {
  explicit State(const RibOptions& options_in)
      : options(options_in), pool(options.hash_seed), table(options.hash_seed) {}

  RibOptions options;
  AttributePool pool;
  PrefixTable table;
  PagedVector<Path> paths;
  std::vector<std::uint32_t> free_paths;
  std::vector<std::unique_ptr<TablePeer>> peers;  // by number
  std::vector<std::unique_ptr<Group>> groups;
  std::vector<std::uint32_t> dirty;      // slots to decide
  std::size_t decided = 0;               // of them, from the front
  std::vector<std::uint32_t> fib_dirty;  // slots whose next hops may have changed
  std::vector<std::uint32_t> gone;       // slots without paths, to be freed when all were told
  std::vector<std::uint32_t> withheld;   // such slots that a paused peer has not been told of
  std::vector<PeerId> lagging;           // peers with a Lag
  std::size_t path_count = 0;
  bool end_held = false;          // end-of-RIB, from those who are told what others said
  std::uint32_t sessions = 0;     // ever
  std::uint32_t group_count = 0;  // ever

  // Of the UPDATE at hand; kept for their memory.
  UpdateNlri update_nlri;
  std::vector<std::uint8_t> received_key;

  [[nodiscard]] TablePeer& peer(PeerId id);
  [[nodiscard]] const TablePeer* find_peer(PeerId id) const;

  // UPDATEs.
  // Without reading the attributes, as these bytes came before in this session, or there are none.
  // False: they must be read.
  bool apply_known(TablePeer& peer, const UpdateParts& parts, UpdateReport& report);
  void apply(TablePeer& peer, Update& update, bool remember, UpdateReport& report);
  void withdraw(PeerId peer, std::span<const Nlri> prefixes, UpdateReport& report);

  // Paths.
  void add_path(PeerId peer, const Nlri& nlri, const Incoming& incoming);
  // Through the filters of the peer.
  void admit(const RibPeer& peer, const Nlri& nlri, AttributePool::Id received, Rejection loop);
  void judge_again(const RibPeer& peer);
  bool remove_path(PeerId peer, const Nlri& nlri);
  void unlink_path(std::uint32_t slot, std::uint32_t& link);  // that points to it
  void set_stale(Path& path, bool stale);
  // Those of the peer that are wanted by `which`.
  template <typename Which>
  void remove_paths_of(PeerId peer, const Which& which);
  // Of the peer's stale paths of a family: RFC 9494 section 4.2.
  void keep_long_lived(const RibPeer& peer, Family family);
  [[nodiscard]] Rejection loop_of(AttributePool::Id set, const RibPeer& peer) const;
  void mark(std::uint32_t slot);
  [[nodiscard]] Candidate candidate(const Path& path) const;
  // Of what is dirty, as much as one turn may take.
  void decide_some();
  [[nodiscard]] bool all_decided() const { return dirty.empty(); }
  void decide_slot(std::uint32_t slot);
  [[nodiscard]] std::uint32_t best_of(const PrefixTable::Slot& slot);  // marks those beside it
  void free_gone();
  // Of the best path and those usable beside it; none for our own networks.
  [[nodiscard]] std::vector<NextHop> next_hops(const PrefixTable::Slot& slot) const;

  // Groups.
  void join(TablePeer& peer);
  void leave(TablePeer& peer);
  static void mark_in(Group& group, std::uint32_t slot);
  void mark_in_groups(std::uint32_t slot);
  [[nodiscard]] ExportSource source(PeerId id) const;
  // What the group tells about the slot has changed: paused members hear of it later.
  void note_for_lagging(const Group& group, std::uint32_t slot);
  // The next slots that the peer must hear of; they count as told then.
  [[nodiscard]] std::vector<std::uint32_t> take_owed(TablePeer& peer);
  [[nodiscard]] bool owed(std::uint32_t slot) const;
  void end_lag(TablePeer& peer);
  void let_go_of_withheld();
  // What a member was told of a slot, by path identifier.
  template <typename Visit>
  void for_each_told(const TablePeer& peer, std::uint32_t slot, const Visit& visit) const;
};

template <typename Visit>
void Rib::State::for_each_told(const TablePeer& peer,
                               std::uint32_t slot,
                               const Visit& visit) const {
  if (peer.lag) {
    for (const std::uint32_t path_id : peer.lag->told_of(slot)) {
      visit(path_id);
    }
  } else if (peer.group != nullptr) {
    peer.group->for_each_sent(slot, [&](std::uint32_t path_id, const Sent& sent) {
      if (sent.source != peer.config.id) {
        visit(path_id);
      }
    });
  }
}

}  // namespace margay::bgp
