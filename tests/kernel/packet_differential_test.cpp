// The kernel against the evaluator and brute force: random stores are rendered, loaded, and every
// flow's first packet is sent on the router's wires. It arrives exactly when the evaluator says so.

#include "felix/calc/calc_graph.h"
#include "felix/dataplane/nft_reconciler.h"
#include "felix/render/renderer.h"
#include "kernel/nft/nft_kernel.h"
#include "policy/world.h"
#include "tests/flow/policy/brute_force.h"
#include "tests/flow/policy/random_world.h"
#include "tests/kernel/wire.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <memory>
#include <set>
#include <tuple>

namespace margay::test {
namespace {

using std::chrono::milliseconds;

struct Place {
  IpAddr address;
  std::string interface;  // of a workload here, or the uplink
  [[nodiscard]] bool local() const { return interface != kUplink; }
};

std::vector<Wire::Interface> interfaces() {
  std::vector<Wire::Interface> out{{kUplink, {}}};
  for (const char* ns : {"x", "y"}) {
    const std::string net = ns == std::string("x") ? "1" : "2";
    for (unsigned number = 0; number < 4; ++number) {
      const std::string host = std::to_string(number + 1);
      out.push_back({"mgy" + std::to_string(number) + ns,
                     {parsed<IpAddr>("10.0." + net + "." + host),
                      parsed<IpAddr>("fd00:" + net + "::" + host)}});
    }
  }
  return out;
}

std::vector<Place> places(const Objects& objects) {
  std::vector<Place> out{{parsed<IpAddr>(kOutside), kUplink}, {parsed<IpAddr>(kOutside6), kUplink}};
  for (const auto& [key, resource] : objects) {
    const auto* spec = std::get_if<api::WorkloadEndpoint>(&resource.spec);
    for (std::size_t i = 0; spec != nullptr && i < spec->ip_networks.size(); ++i) {
      out.push_back({spec->ip_networks[i].addr(),
                     spec->node.str() == kHere ? spec->interface_name.str() : kUplink});
    }
  }
  return out;
}

// One random store in one kernel.
class Trial {
 public:
  explicit Trial(unsigned seed) : chance_(seed), wire_(parsed<IpAddr>(kHereAddress), interfaces()) {
    for (unsigned step = 0; step < 60; ++step) {
      const api::Resource resource = chance_.object();
      if (chance_.one_in(4)) {
        objects_.erase(resource.key());
      } else {
        objects_.insert_or_assign(resource.key(), resource);
      }
    }
    load();
    evaluator_.emplace(world_of(objects_));
  }

  unsigned run() {
    const std::vector<Place> all = places(objects_);
    const Place host{parsed<IpAddr>(kHereAddress), kUplink};
    for (const Place& from : all) {
      for (const Place& to : all) {
        if (from.address.family() == to.address.family() && (from.local() || to.local()) &&
            from.interface != to.interface) {
          forward(from, to);
        }
      }
      if (from.address.is_v4()) {
        to_host(from, host);
        from_host(host, from);
      }
    }
    for (const auto& [id, what] : denied_) {
      if (wire_.arrived(id, milliseconds(0))) {
        FAIL("arrived, should not: ", what, print(objects_));
      }
    }
    return asked_;
  }

 private:
  void load() {
    felix::CalcGraph graph(parsed<NodeName>(kHere));
    graph.on_interfaces({{parsed<IfName>(kUplink), {parsed<IpAddr>(kHereAddress)}}});
    for (const auto& [key, resource] : objects_) {
      graph.on_object(std::make_shared<const api::Resource>(resource));
    }
    graph.on_domain(kOutsideName, {parsed<IpAddr>(kOutside), parsed<IpAddr>(kOutside6)});
    graph.on_in_sync();
    felix::Renderer renderer{felix::LayoutOptions{}, {.merge_from = 2}};
    renderer.apply(graph.take_changes());
    kernel_ = std::move(*nft::open_nft_kernel("margay"));
    felix::NftReconciler reconciler(*kernel_);
    reconciler.set_desired(renderer.table());
    reconciler.set_in_sync(true);
    const auto report = reconciler.apply();
    REQUIRE_MESSAGE(report.clean(),
                    (report.failures.empty() ? "" : report.failures.front().error.text));
  }

  // A flow that no earlier one can be mistaken for, in either direction.
  std::optional<policy::Flow> fresh_flow(const Place& from, const Place& to) {
    const policy::Flow flow = flow_between(from.address, to.address, chance_);
    const bool usable = flow.protocol == api::kTcp || flow.protocol == api::kUdp ||
                        flow.protocol == api::kIcmp || flow.protocol == api::kIcmpv6;
    if (!usable) {
      return std::nullopt;
    }
    const auto key = [](const IpAddr& a, const IpAddr& b, const policy::Flow& of, bool swapped) {
      return std::tuple(a,
                        b,
                        of.protocol.number,
                        swapped ? of.destination_port : of.source_port,
                        swapped ? of.source_port : of.destination_port);
    };
    const bool ports = flow.source_port != 0;
    if (ports && (!used_.insert(key(flow.source, flow.destination, flow, false)).second ||
                  !used_.insert(key(flow.destination, flow.source, flow, true)).second)) {
      return std::nullopt;
    }
    return flow;
  }

  // The evaluator's verdict, which brute force shares.
  policy::Verdict agreed(const policy::Flow& flow) {
    policy::Verdict verdict = evaluator_->verdict(flow);
    const BruteForce::Sides plain = brute_force_.verdict(flow);
    CHECK(plain.egress == verdict.egress.allowed);
    CHECK(plain.ingress == verdict.ingress.allowed);
    return verdict;
  }

  void judge(const policy::Flow& flow, std::uint16_t id, bool expected) {
    ++asked_;
    const std::string what = fmt::format("{} -> {} {} port {}",
                                         flow.source.str(),
                                         flow.destination.str(),
                                         api::to_string(flow.protocol),
                                         flow.destination_port);
    if (!expected) {
      denied_.emplace(id, what);
    } else if (!wire_.arrived(id, milliseconds(1000))) {
      FAIL("did not arrive: ", what, print(objects_));
    }
  }

  // This node asks for the sides that live here; the other one for its own.
  void forward(const Place& from, const Place& to) {
    if (const auto flow = fresh_flow(from, to)) {
      const policy::Verdict verdict = agreed(*flow);
      wire_.send_in(from.interface, encode_packet(*flow, ++id_));
      judge(*flow,
            id_,
            (!from.local() || verdict.egress.allowed) && (!to.local() || verdict.ingress.allowed));
    }
  }
  void to_host(const Place& from, const Place& host) {
    if (const auto flow = fresh_flow(from, host)) {
      const policy::Verdict verdict = agreed(*flow);
      wire_.send_in(from.interface, encode_packet(*flow, ++id_));
      judge(*flow, id_, from.local() ? verdict.allowed : verdict.ingress.allowed);
    }
  }
  void from_host(const Place& host, const Place& to) {
    if (const auto flow = fresh_flow(host, to)) {
      const policy::Verdict verdict = agreed(*flow);
      wire_.send_from_router(to.address, encode_packet(*flow, ++id_));
      judge(*flow, id_, verdict.egress.allowed);
    }
  }

  Chance chance_;
  Objects objects_;
  Wire wire_;
  std::unique_ptr<nft::NftKernel> kernel_;
  std::optional<policy::Evaluator> evaluator_;
  BruteForce brute_force_{objects_};
  std::set<std::tuple<IpAddr, IpAddr, std::uint8_t, std::uint16_t, std::uint16_t>> used_;
  std::map<std::uint16_t, std::string> denied_;
  std::uint16_t id_ = 0;
  unsigned asked_ = 0;
};

unsigned seeds() {
  const char* wanted = std::getenv("MARGAY_PACKET_SEEDS");
  return wanted == nullptr ? 60 : static_cast<unsigned>(std::atoi(wanted));
}

}  // namespace

TEST_SUITE("kernel.policy") {
  TEST_CASE("packets on the wire pass and stop exactly as the evaluator says") {
    unsigned asked = 0;
    for (unsigned seed = 1; seed <= seeds(); ++seed) {
      CAPTURE(seed);
      Trial trial(seed);
      asked += trial.run();
    }
    CHECK(asked > 40 * seeds());
  }
}

}  // namespace margay::test
