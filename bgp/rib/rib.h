#pragma once
// Rib: everything the speaker knows about routes. UPDATEs of established sessions and our own
// networks go in; what to write to each peer and what the kernel should hold comes out.
//
//   update(peer, bytes) \                       / take_output()       bytes per peer, packed
//   originate, withdraw  > paths --decision--> best
//   peer_up, peer_down  /                       \ take_fib_changes()  next hops per prefix
//
// Attribute sets are interned, a path is a handful of words, and the received routes of a peer are
// its paths: nothing is stored per peer on the way out. Peers that would be sent the same bytes
// form one update group, decided and encoded once. Changes only mark prefixes dirty; output is made
// from the newest state when it is taken, so there are no queues of history. Pure: no clock, no
// sockets; single-threaded.

#include "bgp/rib/decision.h"
#include "bgp/rib/filter.h"
#include "bgp/wire/context.h"
#include "bgp/wire/update.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace margay::bgp {

// A session as the table sees it. Numbers are the caller's, 1 and up; 0 stands for ourselves.
using PeerId = Strong<struct PeerIdTag, std::uint16_t>;
inline constexpr PeerId kLocalPeer{0};

// What is put into NEXT_HOP towards a peer.
enum class NextHopRule : std::uint8_t {
  kAuto,  // ourselves to eBGP and for our own routes, otherwise as received
  kSelf,
  kKeep,  // as received, also to eBGP; our own routes still get our address
};

struct RibPeer {
  PeerId id;
  CodecContext codec;  // of the session: families, internal, AS numbers, our addresses
  RouterId router_id;
  IpAddr address;
  bool reflector_client = false;  // RFC 4456; internal sessions only
  std::optional<Role> role;       // RFC 9234: ours; external sessions only
  NextHopRule next_hop = NextHopRule::kAuto;
  unsigned allowed_local_as = 0;  // occurrences of our AS in AS_PATH that are still accepted
  bool export_learned = true;     // false: only what we originate
  std::uint32_t max_prefixes = 2'000'000;  // paths kept; one more ends the session
  bool long_lived = false;                 // it knows long-lived graceful restart (RFC 9494)
  PeerFilters filters;
};

struct RibOptions {
  Asn asn;
  RouterId router_id;
  RouterId cluster_id;          // of the reflector; router_id where there is none configured
  unsigned max_multipath = 16;  // next hops of one kernel route
  // Families whose changes are for the kernel.
  bool fib_ipv4 = true;
  bool fib_ipv6 = true;
  std::uint64_t hash_seed = 0;  // random in a process that has peers
  // Prefixes that are decided in one turn, and told to one peer that was paused: of a million, 16
  // turns, so that no keepalive waits for it, and the first ones are on their way meanwhile.
  std::size_t slice = std::size_t{1} << 16U;

  [[nodiscard]] bool fib(Family family) const {
    return family == Family::kIpv4 ? fib_ipv4 : fib_ipv6;
  }
};

// What became of one UPDATE that did not end the session.
struct UpdateReport {
  std::vector<AttributeNote> notes;
  std::optional<Outcome> outcome;  // the worst of the notes
  std::uint32_t announced = 0;
  std::uint32_t withdrawn = 0;
  std::optional<AfiSafi> end_of_rib;
};

// Bytes to write to one session, whole messages. Peers of a group share the buffer.
struct PeerOutput {
  PeerId peer;
  std::shared_ptr<const std::vector<std::uint8_t>> bytes;
};

// What the kernel should have for a prefix: no next hop means no route of ours.
struct FibChange {
  Prefix prefix;
  std::vector<NextHop> next_hops;  // sorted
  bool operator==(const FibChange&) const = default;
};

struct PathView {
  PeerId peer;
  std::uint32_t path_id = 0;
  AttributeSet attributes;
  bool best = false;
  bool multipath = false;
  bool stale = false;    // of a peer that restarts
  std::string rejected;  // why it is not eligible; empty: it is
  DecisionStep lost_at = DecisionStep::kNone;
};
struct RouteView {
  Prefix prefix;
  std::vector<PathView> paths;  // best first, then as they were ranked
};
// A path as it is stored, while walk() or visit() shows it: the sets are the table's own.
struct StoredPath {
  PeerId peer;  // kLocalPeer: a network of ours
  Nlri nlri;
  const AttributeSet* received = nullptr;  // as the peer said it
  const AttributeSet* used = nullptr;      // behind the filters
  bool accepted = true;                    // it may become the best one
  bool stale = false;                      // of an earlier session of the peer
};
// What is told to a peer of one path, or why it is not told.
struct ExportView {
  Prefix prefix;
  PathView path;  // as it is sent; as we have it where it is not sent
  bool told = false;
  std::string reason;  // why not
  std::string rule;    // the filter's rule that decided; empty: none matched
};
struct FamilyCounts {
  std::uint32_t received = 0;
  std::uint32_t accepted = 0;
  std::uint32_t advertised = 0;
  bool operator==(const FamilyCounts&) const = default;
};
struct PeerCounts {
  FamilyCounts ipv4;
  FamilyCounts ipv6;
  std::uint32_t update_group = 0;  // peers of one number are sent the same bytes; 0: none

  [[nodiscard]] std::uint32_t received() const { return ipv4.received + ipv6.received; }
  [[nodiscard]] std::uint32_t accepted() const { return ipv4.accepted + ipv6.accepted; }
  [[nodiscard]] std::uint32_t advertised() const { return ipv4.advertised + ipv6.advertised; }
};

class Rib {
 public:
  explicit Rib(const RibOptions& options);
  Rib(const Rib&) = delete;
  Rib& operator=(const Rib&) = delete;
  ~Rib();

  // A session became established: it will be sent the whole table, then end-of-RIB for each of its
  // families. The number must not be in use, but for a peer that restarts.
  void peer_up(const RibPeer& peer);
  // Its paths go at once, and nothing more comes out for it.
  void peer_down(PeerId peer);
  // The session ended, but the peer forwards on and will be back (RFC 4724 section 4.2): its paths
  // stay in use, marked stale, until it says them again. Ends by peer_up with the same number, then
  // drop_stale, or by peer_down.
  void peer_restarting(PeerId peer);
  // The peer did not come back in its restart time, and asked to keep the family for longer
  // (RFC 9494 section 4.2): its stale paths are the last choice from now on; those with NO_LLGR go.
  void peer_long_lived(PeerId peer, Family family);
  // Removes what is still stale: the peer's end-of-RIB of the family came, or time is up.
  void drop_stale(PeerId peer, Family family);
  // The peer asked for everything again (RFC 2918).
  void refresh(PeerId peer, Family family);

  // While true, peers that are told what others said hear no end-of-RIB: after a restart of ours
  // the others have yet to say it, and what such a peer kept of them would go (RFC 4724
  // section 4.1).
  void hold_end_of_rib(bool hold);

  // The peer reads more slowly than the table changes: nothing comes out for it until it can take
  // more, then what it missed, as it is by then, piece by piece.
  void pause(PeerId peer);
  void resume(PeerId peer);

  // Other filters for the peer: its paths are judged anew, from what it said, and it is told the
  // difference, among the whole table.
  void change_filters(PeerId peer, PeerFilters filters);

  // The body of an UPDATE. A Notification ends the session (the caller then says peer_down).
  [[nodiscard]] Result<UpdateReport, Notification> update(PeerId peer, Bytes body);

  // Our own networks.
  // `attributes`: communities to tell it with. Once more for one prefix: with these from now on.
  void originate(const Prefix& prefix, AttributeSet attributes = {});
  void withdraw(const Prefix& prefix);

  // Whether there is anything to take, also after a take: large changes come in slices.
  [[nodiscard]] bool has_output() const;
  // What changed since the last call; for each peer in the order to be written. A peer gets its
  // full table when nothing else is left.
  [[nodiscard]] std::vector<PeerOutput> take_output();
  // Of what take_output has decided; learnt routes only, ordered by prefix. To be called after it:
  // then prefixes without routes are forgotten, too.
  [[nodiscard]] std::vector<FibChange> take_fib_changes();
  // What it was last told of with next hops; ordered.
  [[nodiscard]] std::vector<Prefix> in_fib() const;

  // For people; ordered by prefix.
  [[nodiscard]] std::vector<RouteView> routes() const;
  [[nodiscard]] std::optional<RouteView> route(const Prefix& prefix) const;
  // Of the longest prefix that holds the address and has a path, be it a rejected one.
  [[nodiscard]] std::optional<RouteView> longest_match(const IpAddr& addr) const;
  [[nodiscard]] std::vector<RouteView> received(PeerId peer) const;    // one path each, as received
  [[nodiscard]] std::vector<RouteView> advertised(PeerId peer) const;  // one path each, as sent
  // The best path of each prefix, or of this one; with add-path all usable ones. Nothing for a peer
  // without an established session.
  [[nodiscard]] std::vector<ExportView> explain_export(PeerId peer,
                                                       const std::optional<Prefix>& prefix) const;
  [[nodiscard]] PeerCounts counts(PeerId peer) const;
  // For exporters, who take the table in slices: shows the paths of at most `places` places of it
  // from `from` on, those of a prefix after one another. Returns where to go on; nothing at the
  // end.
  using Visitor = std::function<void(const StoredPath&)>;
  [[nodiscard]] std::optional<std::uint32_t> walk(std::uint32_t from,
                                                  std::uint32_t places,
                                                  const Visitor& visitor) const;
  // One path; nothing is shown where there is none.
  void visit(PeerId peer, const Nlri& nlri, const Visitor& visitor) const;
  // counts() without what was advertised, which is the part that takes time.
  [[nodiscard]] PeerCounts received_counts(PeerId peer) const;
  [[nodiscard]] const RibOptions& options() const;
  [[nodiscard]] std::size_t prefix_count() const;
  [[nodiscard]] std::size_t path_count() const;

  struct State;  // bgp/rib/rib_state.h, for the files of bgp/rib

 private:
  std::unique_ptr<State> state_;
};

}  // namespace margay::bgp
