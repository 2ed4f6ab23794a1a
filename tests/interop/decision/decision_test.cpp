// The same random routes from the same peers into margay-bgpd and BIRD 2: both must choose the same
// path for every prefix. A peer of each tells which one it was: every path carries a community with
// the number of the peer that told it.
//
//   peers 10.0.0.10-19, eBGP and iBGP, clients and not ---+--- 10.0.0.1   margay-bgpd --+--
//   observer
//                                                         +--- 10.0.0.100 BIRD
//                                                         ---------+   10.0.0.9
//
// A seed is a set of routes; some seeds share a world, which is a set of routers. MARGAY_SEEDS says
// how many seeds, all of them are 1,000.

#include "tests/interop/support/bgpd.h"
#include "tests/lab/wait.h"
#include "tests/support/bgp_client.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <sched.h>
#include <unistd.h>

namespace margay::bgp::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kDeadline{30};
constexpr unsigned kSeedsPerWorld = 50;
constexpr unsigned kPrefixesPerSeed = 20;
constexpr unsigned kPeers = 8;
constexpr std::uint32_t kOurs = 65000;
constexpr std::uint32_t kObserverAs = 65009;
constexpr std::uint32_t kMarker = 64999U << 16U;  // 64999:NUMBER
constexpr std::array<const char*, 2> kSpeakers{"10.0.0.1", "10.0.0.100"};

struct Router {
  std::uint32_t asn = kOurs;
  bool client = false;
  RouterId id;
  [[nodiscard]] bool internal() const { return asn == kOurs; }
};
using World = std::vector<Router>;

unsigned below(std::mt19937& random, unsigned bound) {
  return static_cast<unsigned>(random() % bound);
}
template <std::size_t N>
std::uint32_t one_of(std::mt19937& random, const std::array<std::uint32_t, N>& values) {
  return values.at(below(random, N));
}
constexpr std::array<std::uint32_t, 3> kNeighbours{65101, 65102, 65103};

std::string address_of(unsigned peer) {
  return fmt::format("10.0.0.{}", 10 + peer);
}

// Identifiers that are equal are told apart by address (only eBGP peers may share one).
World random_world(unsigned seed) {
  std::mt19937 random(seed);
  World world(kPeers);
  for (unsigned i = 0; i < kPeers; ++i) {
    Router& router = world[i];
    router.asn = i < kPeers / 2 ? one_of(random, kNeighbours) : kOurs;
    router.client = router.internal() && below(random, 2) == 0;
    router.id = RouterId((1 + below(random, 200)) << 16U | i);
    for (unsigned other = 0; other < i && !router.internal(); ++other) {
      if (world[other].asn != router.asn && below(random, 3) == 0) {
        router.id = world[other].id;
      }
    }
  }
  return world;
}

AttributeSet random_route(std::mt19937& random, const World& world, unsigned peer) {
  const Router& router = world[peer];
  AttributeSet set;
  set.origin = static_cast<Origin>(below(random, 8) < 6 ? 0 : below(random, 3));
  set.next_hop.address = *IpAddr::parse(address_of(peer));
  std::vector<Asn> path;
  if (!router.internal()) {
    path.emplace_back(router.asn);
  } else if (below(random, 6) != 0) {
    path.emplace_back(one_of(random, kNeighbours));
  }
  for (unsigned more = below(random, 2); more > 0 && !path.empty(); --more) {
    path.emplace_back(65200 + below(random, 3));
  }
  set.as_path = AsPath::sequence(path);
  if (!path.empty() && below(random, 6) == 0) {
    const std::array<std::uint32_t, 2> aggregated{65301, 65302};
    set.as_path.append(AsPath::SegmentType::kSet, aggregated);
  }
  if (below(random, 3) != 0) {
    set.med = below(random, 3) * 5;
  }
  if (router.internal()) {
    set.local_pref = below(random, 5) == 0 ? 50 + below(random, 3) * 50 : 100;
    if (below(random, 2) == 0) {
      set.originator_id = RouterId((1 + below(random, 200)) << 16U | (kPeers + below(random, 2)));
      if (below(random, 2) ==
          0) {  // of another peer: equal identifiers, then the cluster list counts
        set.originator_id = world[kPeers - 1 - below(random, kPeers / 2)].id;
      }
      for (unsigned hops = below(random, 3) + 1; hops > 0; --hops) {
        set.cluster_list.push_back(RouterId(0x0B000000U + below(random, 4)));
      }
    }
  }
  set.communities.emplace_back(kMarker + peer);
  if (below(random, 4) == 0) {
    set.communities.emplace_back((65101U << 16U) + below(random, 5));
  }
  set.canonicalize();
  return set;
}

Prefix nth_prefix(unsigned seed_in_world, unsigned number) {
  return Prefix::masked(
      IpAddr::v4(0x14000000U + ((seed_in_world * kPrefixesPerSeed + number) << 8U)), 24);
}
Prefix fence_of(unsigned peer) {
  return Prefix::masked(IpAddr::v4(0xC0000200U + peer), 32);
}

std::string margay_config(const World& world) {
  std::string peers;
  for (unsigned i = 0; i < world.size(); ++i) {
    peers += fmt::format("  - {{address: {}, asn: {}, group: all, route_reflector_client: {}}}\n",
                         address_of(i),
                         world[i].asn,
                         world[i].client);
  }
  return fmt::format(R"(
router: {{asn: {}, id: 10.0.0.1, listen: ["10.0.0.1:179"], fib: {{ipv4: false, ipv6: false}}}}
groups:
  all: {{passive: true, import: accept, export: accept}}
peers:
  - {{address: 10.0.0.9, asn: {}, group: all}}
{})",
                     kOurs,
                     kObserverAs,
                     peers);
}

// As the RFCs have it: MED compared per neighbouring AS whatever the order of arrival, the distance
// to the next hop before identifiers (all are on the wire).
std::string bird_config(const World& world) {
  std::string peers;
  for (unsigned i = 0; i < world.size(); ++i) {
    peers += fmt::format("protocol bgp peer{} from common {{ neighbor {} as {}; {} }}\n",
                         i,
                         address_of(i),
                         world[i].asn,
                         world[i].client ? "rr client; rr cluster id 10.0.0.1;" : "");
  }
  return fmt::format(R"(
router id 10.0.0.1;
protocol device {{}}
protocol direct {{ ipv4; }}
template bgp common {{
  local 10.0.0.100 as {};
  strict bind yes;
  passive yes;
  deterministic med yes;
  igp metric yes;
  prefer older no;
  ipv4 {{ import all; export where source = RTS_BGP; }};
}}
protocol bgp observer from common {{ neighbor 10.0.0.9 as {}; }}
{})",
                     kOurs,
                     kObserverAs,
                     peers);
}

void shell(const std::string& script) {
  lab::Command command;
  command.argv = {"sh", "-ec", script};
  command.env = {{"PATH", lab::kSystemPath}};
  const auto done = lab::run(command);
  REQUIRE_MESSAGE(done, (done ? "" : done.error().text));
  REQUIRE_MESSAGE(done->ok(), script, done->err);
}

class Bird {
 public:
  explicit Bird(const World& world)
      : folder_(std::filesystem::temp_directory_path() / fmt::format("decision-{}", ::getpid())) {
    std::filesystem::create_directories(folder_);
    const std::string config = (folder_ / "bird.conf").string();
    std::ofstream(config) << bird_config(world);
    lab::Command command;
    command.argv = {"bird",
                    "-f",
                    "-c",
                    config,
                    "-s",
                    (folder_ / "bird.ctl").string(),
                    "-P",
                    (folder_ / "bird.pid").string()};
    command.env = {{"PATH", lab::kSystemPath}};
    command.log = folder_ / "log";
    const auto process = lab::launch(command);
    REQUIRE_MESSAGE(process, (process ? "" : process.error().text));
    process_ = *process;
  }
  ~Bird() {
    lab::send_signal(process_, SIGKILL);
    (void)lab::wait_gone(process_, seconds(5));
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Bird(const Bird&) = delete;
  Bird& operator=(const Bird&) = delete;

  [[nodiscard]] std::string shows(const Prefix& prefix) const {
    lab::Command command;
    command.argv = {
        "birdc", "-s", (folder_ / "bird.ctl").string(), "show route all " + prefix.str()};
    command.env = {{"PATH", lab::kSystemPath}};
    const auto done = lab::run(command);
    return done ? done->out : done.error().text;
  }

 private:
  std::filesystem::path folder_;
  lab::ProcessId process_;
};

// Both speakers in a network of theirs, this process in another one with all the peers.
class Stage {
 public:
  explicit Stage(const World& world) : world_(world) {
    REQUIRE(enter_fresh_network({}));
    shell(
        "ip link add speakers type veth peer name peers && ip link set speakers up && "
        "ip addr add 10.0.0.1/24 dev speakers && ip addr add 10.0.0.100/24 dev speakers");
    auto started = Bgpd::start("decision", margay_config(world));
    REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
    margay_ = std::move(*started);
    bird_ = std::make_unique<Bird>(world);
    const std::string there = fmt::format("/proc/{}/ns/net", margay_->pid());
    REQUIRE(::unshare(CLONE_NEWNET) == 0);
    shell(
        fmt::format("ip link set lo up && nsenter --net={} ip link set peers netns {} && "
                    "ip link set peers up && ip addr add 10.0.0.9/24 dev peers",
                    there,
                    ::getpid()));
    for (unsigned i = 0; i < world.size(); ++i) {
      shell(fmt::format("ip addr add {}/24 dev peers", address_of(i)));
    }
    for (const char* speaker : kSpeakers) {
      observers_.push_back(connect(speaker, "10.0.0.9", kObserverAs, RouterId(0x0A000009)));
      for (unsigned i = 0; i < world.size(); ++i) {
        peers_.push_back(connect(speaker, address_of(i), world[i].asn, world[i].id));
      }
    }
  }

  void announce(unsigned peer, const AttributeSet& set, const Prefix& prefix) {
    for (unsigned speaker = 0; speaker < kSpeakers.size(); ++speaker) {
      BgpClient& client = peers_.at(speaker * world_.size() + peer);
      UpdatePacker packer(client.context());
      REQUIRE(packer.announce(set, std::array{Nlri{prefix, 0}}));
      REQUIRE(client.send(packer.take()));
    }
  }
  // Each peer tells a route of its own, twice: when the second one has come to both observers, so
  // has everything before.
  void pass_fences() {
    for (std::uint32_t round = 1; round <= 2; ++round) {
      for (unsigned i = 0; i < world_.size(); ++i) {
        std::mt19937 any(round);
        AttributeSet set = random_route(any, world_, i);
        set.communities = {Community{kMarker + i}, Community{0xFD000000U + round}};
        announce(i, set, fence_of(i));
      }
      for (BgpClient& observer : observers_) {
        const bool passed = observer.receive_until(
            [&] {
              for (unsigned i = 0; i < world_.size(); ++i) {
                const auto* route = observer.route(fence_of(i));
                if (route == nullptr || !route->attributes.has(Community{0xFD000000U + round})) {
                  return false;
                }
              }
              return true;
            },
            kDeadline);
        REQUIRE_MESSAGE(passed, margay_->log());
      }
    }
  }
  // The peer whose path the speaker chose; none: no route.
  [[nodiscard]] std::optional<unsigned> chosen(unsigned speaker, const Prefix& prefix) const {
    const auto* route = observers_.at(speaker).route(prefix);
    for (unsigned i = 0; route != nullptr && i < world_.size(); ++i) {
      if (route->attributes.has(Community{kMarker + i})) {
        return i;
      }
    }
    return std::nullopt;
  }
  [[nodiscard]] std::string bird_shows(const Prefix& prefix) const { return bird_->shows(prefix); }

 private:
  BgpClient connect(const char* speaker, const std::string& local, std::uint32_t asn, RouterId id) {
    auto client = BgpClient::establish(
        BgpClient::Options{
            .local = *IpAddr::parse(local),
            .remote = *IpAddr::parse(speaker),
            .remote_asn = Asn{kOurs},
            .open = Open{Asn{asn},
                         0,
                         id,
                         {MultiprotocolCapability{kIpv4Unicast}, FourOctetAsCapability{Asn{asn}}}}},
        kDeadline);
    REQUIRE_MESSAGE(
        client, std::string(speaker), " ", local, " ", (client ? "" : client.error().text));
    return std::move(*client);
  }

  World world_;
  std::unique_ptr<Bgpd> margay_;
  std::unique_ptr<Bird> bird_;
  std::vector<BgpClient> observers_;
  std::vector<BgpClient> peers_;  // of the first speaker, then of the second
};

struct Tally {
  unsigned prefixes = 0;
  unsigned contested = 0;  // more than one path
  std::map<unsigned, unsigned> wins;
};

void run_world(unsigned world_seed, unsigned seeds, Tally& tally) {
  CAPTURE(world_seed);
  Stage stage(random_world(world_seed));
  const World world = random_world(world_seed);
  for (unsigned seed = 0; seed < seeds; ++seed) {
    std::mt19937 random(world_seed * kSeedsPerWorld + seed);
    for (unsigned number = 0; number < kPrefixesPerSeed; ++number) {
      unsigned paths = 0;
      for (unsigned peer = 0; peer < world.size(); ++peer) {
        if (below(random, 4) != 0) {
          stage.announce(peer, random_route(random, world, peer), nth_prefix(seed, number));
          ++paths;
        }
      }
      tally.contested += paths > 1 ? 1U : 0U;
    }
  }
  stage.pass_fences();
  for (unsigned seed = 0; seed < seeds; ++seed) {
    for (unsigned number = 0; number < kPrefixesPerSeed; ++number) {
      const Prefix prefix = nth_prefix(seed, number);
      const auto ours = stage.chosen(0, prefix);
      const auto theirs = stage.chosen(1, prefix);
      CHECK_MESSAGE(ours == theirs,
                    "seed ",
                    world_seed * kSeedsPerWorld + seed,
                    ": Margay chose peer ",
                    (ours ? std::to_string(*ours) : "none"),
                    ", BIRD ",
                    (theirs ? std::to_string(*theirs) : "none"),
                    "\n",
                    stage.bird_shows(prefix));
      ++tally.prefixes;
      if (ours) {
        ++tally.wins[*ours];
      }
    }
  }
}

}  // namespace

TEST_SUITE("interop.decision") {
  TEST_CASE("Margay and BIRD choose the same path of random ones") {
    const char* wanted = std::getenv("MARGAY_SEEDS");
    const auto seeds =
        wanted != nullptr ? static_cast<unsigned>(std::strtoul(wanted, nullptr, 10)) : 150U;
    Tally tally;
    for (unsigned done = 0; done < seeds; done += kSeedsPerWorld) {
      run_world(done / kSeedsPerWorld, std::min(kSeedsPerWorld, seeds - done), tally);
    }
    MESSAGE(
        seeds, " seeds, ", tally.prefixes, " prefixes, ", tally.contested, " of them contested");
    CHECK(tally.wins.size() == kPeers);  // every peer won somewhere
    CHECK(tally.contested > tally.prefixes / 2);
  }
}

}  // namespace margay::bgp::test
