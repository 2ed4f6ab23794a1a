#pragma once
// The inside of Rib, shared by rib.cpp (paths and decision), rib_output.cpp (update groups) and
// rib_view.cpp (status).

#include "bgp/rib/attribute_pool.h"
#include "bgp/rib/export.h"
#include "bgp/rib/prefix_table.h"
#include "bgp/rib/rib.h"

#include <memory>
#include <string_view>
#include <vector>

namespace margay::bgp {

// Why a received path is kept but not used.
enum class Rejection : std::uint8_t { kNone, kOwnAs, kOriginator, kClusterLoop, kFilter };
[[nodiscard]] std::string_view to_string(Rejection rejection);

struct Path {
  AttributePool::Id set = 0;
  AttributePool::Id received = 0;  // before the filters changed it
  std::uint32_t path_id = 0;
  std::uint32_t next = kNoIndex;  // of the same prefix
  PeerId peer;
  Rejection rejection = Rejection::kNone;
  bool multipath = false;  // usable beside the best
  bool stale = false;      // its peer restarts and has not said it again
};

struct Group;

// What a peer that was paused has been told, and of what it must hear: a bit of each per slot, so
// that it costs the size of the table however long it lasts and whatever comes and goes meanwhile.
struct Lag {
  std::vector<bool> told;
  std::vector<bool> owed;
  std::size_t owed_count = 0;
  bool writable = false;

  // The group's route for the slot is another one now; `any`: there is one for this peer.
  void note(std::uint32_t slot, bool any);
};

// Not "Peer": that is the machine of a session in the same namespace (bgp/fsm).
struct TablePeer {
  RibPeer config;
  Group* group = nullptr;  // none while it restarts
  std::uint32_t received = 0;
  std::uint32_t accepted = 0;
  std::vector<Prefix> told_before;  // under other filters, until the full table is sent
  std::unique_ptr<Lag> lag;         // while paused, and until it is level again
  // Families still to be sent in full; changes wait for that.
  bool full_ipv4 = true;
  bool full_ipv6 = true;

  [[nodiscard]] bool& full(Family family) {
    return family == Family::kIpv4 ? full_ipv4 : full_ipv6;
  }
  [[nodiscard]] bool full(Family family) const {
    return family == Family::kIpv4 ? full_ipv4 : full_ipv6;
  }
};

// What a group was last told about a prefix: this set of this source. The set is held.
struct Sent {
  AttributePool::Id set = 0;
  PeerId source;
  std::uint16_t rule = 0;  // of the group's filters, as ExportVerdict has it
  bool any = false;
  bool dirty = false;  // on the list of the group
};

// What the peer said of a prefix, and what was made of it. The sets are the caller's.
struct Incoming {
  AttributePool::Id received = 0;
  AttributePool::Id set = 0;
  Rejection rejection = Rejection::kNone;
};

struct Wanted {
  const Path* path = nullptr;
  std::uint16_t rule = 0;
};

struct Group {
  ExportTarget target;
  std::vector<PeerId> members;  // ascending
  std::vector<Sent> sent;       // by slot
  std::vector<std::uint32_t> dirty;
  std::uint32_t advertised = 0;
};

struct Rib::State {
  RibOptions options;
  AttributePool pool;
  PrefixTable table;
  std::vector<Path> paths;
  std::vector<std::uint32_t> free_paths;
  std::vector<std::unique_ptr<TablePeer>> peers;  // by number
  std::vector<std::unique_ptr<Group>> groups;
  std::vector<std::uint32_t> dirty;      // slots to decide
  std::vector<std::uint32_t> fib_dirty;  // slots whose next hops may have changed
  std::vector<std::uint32_t> gone;       // slots without paths, to be freed when all were told
  std::vector<std::uint32_t> withheld;   // such slots that a paused peer has not been told of
  std::vector<PeerId> lagging;           // peers with a Lag
  std::size_t path_count = 0;

  [[nodiscard]] TablePeer& peer(PeerId id);
  [[nodiscard]] const TablePeer* find_peer(PeerId id) const;

  // Paths.
  void add_path(PeerId peer, const Nlri& nlri, const Incoming& incoming);
  // Through the filters of the peer.
  void admit(const RibPeer& peer, const Nlri& nlri, AttributePool::Id received, Rejection loop);
  void judge_again(const RibPeer& peer);
  bool remove_path(PeerId peer, const Nlri& nlri);
  // Those of the peer that are wanted by `which`.
  template <typename Which>
  void remove_paths_of(PeerId peer, const Which& which);
  void mark(std::uint32_t slot);
  [[nodiscard]] Candidate candidate(const Path& path) const;
  void decide_all();
  void decide_slot(std::uint32_t slot);
  void free_gone();
  // Of the best path and those usable beside it; none for our own networks.
  [[nodiscard]] std::vector<NextHop> next_hops(const PrefixTable::Slot& slot) const;

  // Groups.
  void join(TablePeer& peer);
  void leave(TablePeer& peer);
  void mark_in(Group& group, std::uint32_t slot) const;
  void mark_in_groups(std::uint32_t slot);
  [[nodiscard]] ExportSource source(PeerId id) const;
  // What the group tells about the slot has changed: paused members hear of it later.
  void note_for_lagging(const Group& group, std::uint32_t slot);
  // The next slots that the peer must hear of; they count as told then.
  [[nodiscard]] std::vector<std::uint32_t> take_owed(TablePeer& peer);
  [[nodiscard]] bool owed(std::uint32_t slot) const;
  void end_lag(TablePeer& peer);
  // The path the group should have for a slot, or none.
  [[nodiscard]] Wanted wanted(const Group& group, std::uint32_t slot) const;
};

}  // namespace margay::bgp
