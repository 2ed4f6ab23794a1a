#pragma once
// Speaker: a complete small BGP-4 speaker on a thread of its own.
//
// It is given a configuration as a value, as often as it changes, and touches only the sessions
// that a change concerns. Out come next hops per prefix for the kernel (learnt routes only), events
// for the log, and snapshots for people. Inside: sockets (bgp/net) feed bytes to the session
// machines (bgp/fsm), whose routes go through the table (bgp/rib); those are pure, this is their
// driver. Callbacks run on the speaker's thread and must not block; all functions may be called
// from any thread.

#include "base/result.h"
#include "bgp/monitor/settings.h"
#include "bgp/rib/rib.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace margay::bgp {

inline constexpr std::uint16_t kBgpPort = 179;

// RFC 5882: the session ends as soon as BFD finds the peer gone.
struct BfdSettings {
  std::chrono::milliseconds interval{300};  // both ways
  std::uint8_t multiplier = 3;
  std::optional<bool> multihop;  // absent: unless the peer is on a network of ours
  bool operator==(const BfdSettings&) const = default;
};

// Several paths of a prefix on one session (RFC 7911).
// What more prefixes than a peer may tell lead to (RFC 4486 section 4): a session that is tried
// again after a minute, none until the peer is configured anew, or a warning.
enum class MaxPrefixesAction : std::uint8_t { kRestart, kDown, kWarn };
enum class AddPath : std::uint8_t { kNone, kReceive, kSend, kBoth };

// One configured peer. The name is unique; a peer whose values change is closed and opened anew.
struct PeerConfig {
  std::string name;    // "node-2", for status and log
  std::string origin;  // where it comes from: "mesh", or the BGPPeer's name
  IpAddr address;
  // Unnumbered: the peer is the router at the other end of this interface, known by its link-local
  // address: `address`, or, where that is 0.0.0.0, the one found by router discovery. Empty: none.
  std::string interface;
  std::uint16_t port = kBgpPort;
  Asn asn;                              // the peer must say this one; 0: any but ours
  Asn local_asn;                        // ours on this session
  std::optional<IpAddr> local_address;  // the connection's source; absent: the kernel chooses
  // Where its address is on no network of ours: whom the kernel shall ask instead.
  std::optional<IpAddr> gateway;
  bool passive = false;           // never connects, waits for the peer
  std::string arrives_on;         // the peer's connections come over this interface; empty: any
  bool reflector_client = false;  // RFC 4456: we are its reflector
  NextHopRule next_hop = NextHopRule::kAuto;
  unsigned allowed_local_as = 0;
  bool export_learned = true;
  bool enforce_first_as = true;
  bool extended_next_hop = false;  // RFC 8950: IPv4 routes with IPv6 next hops, where it can
  std::uint32_t max_prefixes = 2'000'000;
  MaxPrefixesAction max_prefixes_action = MaxPrefixesAction::kRestart;
  std::chrono::seconds hold_time{90};
  std::chrono::seconds open_time{240};  // for its OPEN to come
  std::chrono::seconds connect_retry{
      5};                              // RFC 4271 proposes 120; a fabric wants to be back at once
  std::uint8_t ttl_security_hops = 0;  // RFC 5082: 0 = off
  std::uint8_t ttl = 0;                // 0: 1 for eBGP, the system's for iBGP
  std::string password;                // RFC 2385: empty = none
  // RFC 4724, on this session instead of SpeakerConfig's.
  std::optional<std::chrono::seconds> graceful_restart;
  // RFC 9494: how long the peer may keep our routes after that, as its last choice. Along with
  // graceful restart only. 0: we do not ask for it.
  std::chrono::seconds long_lived{0};
  AddPath add_path = AddPath::kNone;
  std::optional<Role> role;              // RFC 9234: ours; external sessions only
  bool strict_role = false;              // a peer that says none is refused
  std::string description;               // for people; may change without a new session
  std::string held;                      // why the session may not come up, in words; empty: it may
  PeerFilters filters;                   // may change without a new session
  std::optional<BfdSettings> bfd;        // so may this
  std::optional<RecordSettings> record;  // and this: then from the peer's next session on
  bool operator==(const PeerConfig&) const = default;
};

// Peers that are not named: whoever connects from a network, and says the right things.
inline constexpr std::uint32_t kMostDynamicPeers = 60'000;
struct DynamicPeers {
  std::string name;
  Prefix prefix;
  std::uint32_t limit = 100;  // at once; those that may still come back (RFC 4724) count
  PeerConfig peers = {};      // of each; names, origin and address come with the connection
  bool operator==(const DynamicPeers&) const = default;
};

// Something that is originated here, with the communities that it carries, sorted.
struct Network {
  Prefix prefix;
  std::vector<Community> communities;
  std::vector<LargeCommunity> large_communities;
  bool operator==(const Network&) const = default;
};

struct SpeakerConfig {
  Asn asn;
  RouterId router_id;
  RouterId cluster_id;  // 0: the router id
  std::uint16_t listen_port = kBgpPort;
  std::vector<IpAddr> listen_addresses;  // empty: all of both families
  std::vector<IpAddr> also_listen;       // and these, whether they are there yet or not
  unsigned max_multipath = 16;
  // Families whose routes are for the kernel: on_fib hears of no others.
  bool fib_ipv4 = true;
  bool fib_ipv6 = true;
  // RFC 4724: how long peers may keep our routes after we vanished. Then our end closes without a
  // NOTIFICATION, as the kernel goes on forwarding. 0: off.
  std::chrono::seconds graceful_restart{120};
  std::vector<PeerConfig> peers;
  std::vector<DynamicPeers> dynamic;
  std::vector<Network> networks;
  std::vector<BmpSettings> bmp;  // collectors, each once
  std::optional<MrtSettings> mrt;
  bool operator==(const SpeakerConfig&) const = default;
};

enum class PeerState : std::uint8_t {  // RFC 4271 section 8.2.2
  kIdle,
  kConnect,
  kActive,
  kOpenSent,
  kOpenConfirm,
  kEstablished,
};
[[nodiscard]] std::string_view to_string(PeerState state);

// A session that ended.
struct Flap {
  std::chrono::system_clock::time_point ended;
  std::chrono::seconds lasted{};
  std::string reason;
};

struct PeerStatus {
  PeerConfig config;
  PeerState state = PeerState::kIdle;
  std::chrono::system_clock::time_point since;  // in this state
  std::uint32_t flaps = 0;                      // how often it left Established
  std::string last_error;                       // why the last session ended
  std::vector<Flap> history;                    // newest first, bounded
  std::string last_notification;                // "sent ..." or "received ..."
  std::size_t queued_bytes = 0;                 // that the peer has not taken
  std::uint64_t messages_in = 0;
  std::uint64_t messages_out = 0;
  PeerCounts counts;
  std::chrono::seconds hold_time{};       // negotiated
  std::vector<std::string> capabilities;  // of the peer
  RouterId router_id;
  std::string local_address;
  std::vector<std::string> malformed;  // newest first, bounded
  bool end_of_rib = false;             // received for every family of the session
  std::string bfd;                     // state of the BFD session, in words; empty: none
  std::string record;                  // the file that is written, or why none is; empty: none
};

struct SpeakerStatus {
  Asn asn;
  RouterId router_id;
  bool configured = false;
  std::string listen_error;       // or what else keeps it from doing as configured; empty: nothing
  std::vector<PeerStatus> peers;  // in the order of their names
  std::size_t prefixes = 0;
  std::size_t paths = 0;
  std::vector<BmpStatus> bmp;
  std::optional<MrtStatus> mrt;
};

// All routes; those to a prefix; those that carry an address: of the longest prefix that holds it.
using RouteQuery = std::variant<std::monostate, Prefix, IpAddr>;
struct RoutesView {
  std::vector<RouteView> routes;
  std::vector<std::pair<PeerId, std::string>> peers;  // names of the ids in the routes
};
struct NeighborView {
  PeerStatus peer;
  std::vector<RouteView> received;
  std::vector<RouteView> advertised;
  std::vector<std::pair<PeerId, std::string>> peers = {};  // names of the ids in what is advertised
};

struct ExportsView {
  PeerStatus peer;
  std::vector<ExportView> exports;                    // none while the session is not established
  std::vector<std::pair<PeerId, std::string>> peers;  // names of the ids in them
};

// For the log.
struct PeerUp {
  std::string peer;
};
struct PeerDown {
  std::string peer;
  std::string reason;
};
struct BadUpdate {
  std::string peer;
  std::string what;
};
struct TooManyPrefixes {
  std::string peer;
  std::uint32_t most = 0;
};
struct ListenFailed {
  std::string reason;
};
// More connect than are wanted; told once until there is room again.
struct DynamicPeersFull {
  std::string name;
  std::string address;  // of one that was refused
};
// Not as configured: a daemon that is driven does not run, or refuses its configuration.
struct DriverFailed {
  std::string reason;
};
struct MonitoringChanged {
  std::string where;  // "bmp 192.0.2.1:11019", "mrt"
  std::string what;   // "connected", or why not
};
using SpeakerEvent = std::variant<PeerUp,
                                  PeerDown,
                                  BadUpdate,
                                  TooManyPrefixes,
                                  ListenFailed,
                                  DynamicPeersFull,
                                  DriverFailed,
                                  MonitoringChanged>;
[[nodiscard]] std::string to_string(const SpeakerEvent& event);

// What the agent asks of a speaker, whichever it is: this one, or an external daemon that is driven
// (bgp/bird). Replies come on a thread of the speaker's.
class SpeakerControl {
 public:
  virtual ~SpeakerControl() = default;
  virtual void configure(SpeakerConfig config) = 0;
  virtual void status(std::function<void(SpeakerStatus)> reply) = 0;
  virtual void routes(RouteQuery query, std::function<void(RoutesView)> reply) = 0;
  // By name or address; nothing when there is no such peer.
  virtual void neighbor(std::string peer,
                        std::function<void(std::optional<NeighborView>)> reply) = 0;
  // What it is told of all prefixes or of one, and what it is not told and why.
  virtual void exports(std::string peer,
                       std::optional<Prefix> prefix,
                       std::function<void(std::optional<ExportsView>)> reply) = 0;
  // Writes the table to the directory of MRT files.
  virtual void dump_table(std::function<void(const Result<TableDump>&)> reply) = 0;
};

// The kernel takes no next hop that is on none of its networks: such peers' gateways instead.
void use_gateways(const std::vector<PeerConfig>& peers, std::vector<FibChange>& changes);

class Speaker : public SpeakerControl {
 public:
  struct Callbacks {
    std::function<void(std::vector<FibChange>)> on_fib;
    std::function<void(const SpeakerEvent&)> on_event;
  };

  explicit Speaker(Callbacks callbacks);
  // Tells the peers (Cease, administrative shutdown) and ends the thread.
  ~Speaker() override;
  Speaker(const Speaker&) = delete;
  Speaker& operator=(const Speaker&) = delete;

  void configure(SpeakerConfig config) override;
  void status(std::function<void(SpeakerStatus)> reply) override;
  void routes(RouteQuery query, std::function<void(RoutesView)> reply) override;
  void neighbor(std::string peer, std::function<void(std::optional<NeighborView>)> reply) override;
  void exports(std::string peer,
               std::optional<Prefix> prefix,
               std::function<void(std::optional<ExportsView>)> reply) override;
  void dump_table(std::function<void(const Result<TableDump>&)> reply) override;

 private:
  class Loop;
  std::shared_ptr<Loop> loop_;
};

}  // namespace margay::bgp
