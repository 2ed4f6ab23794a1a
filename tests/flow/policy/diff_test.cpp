// diff() against plain evaluation: every flow whose verdict differs must be told, and what is told
// must differ.

#include "policy/diff.h"

#include "tests/flow/policy/random_world.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>

namespace margay::test {
namespace {

using policy::Change;
using policy::Endpoint;
using policy::Evaluator;
using policy::FlowClass;

const Endpoint* owner(const Evaluator& evaluator, const IpAddr& address) {
  for (const Endpoint& endpoint : evaluator.world().endpoints) {
    if (std::ranges::find(endpoint.addresses, Prefix::host(address)) != endpoint.addresses.end()) {
      return &endpoint;
    }
  }
  return nullptr;
}

bool holds(const FlowClass& flow_class, const Endpoint* endpoint, const IpAddr& address) {
  if (endpoint != nullptr) {
    return std::ranges::find(flow_class.members, endpoint->name) != flow_class.members.end();
  }
  return std::ranges::any_of(flow_class.ranges, [&](const auto& range) {
    return range.first.family() == address.family() && range.first <= address &&
           address <= range.second;
  });
}

bool in(const api::PortRange& range, std::uint16_t port) {
  return port == 0 || (range.first <= port && port <= range.last);
}

bool tells(const Change& change,
           const Evaluator& before,
           const policy::Flow& flow,
           const std::vector<Change>& all) {
  const bool protocol = change.protocol ? *change.protocol == flow.protocol
                                        : std::ranges::none_of(all, [&](const Change& other) {
                                            return other.from.example == change.from.example &&
                                                   other.to.example == change.to.example &&
                                                   other.protocol == flow.protocol;
                                          });
  const bool icmp = !change.icmp || ((!change.icmp->type || *change.icmp->type == flow.icmp_type) &&
                                     (!change.icmp->code || *change.icmp->code == flow.icmp_code));
  return protocol && icmp && in(change.ports, flow.destination_port) &&
         in(change.source_ports, flow.source_port) &&
         holds(change.from, owner(before, flow.source), flow.source) &&
         holds(change.to, owner(before, flow.destination), flow.destination);
}

// Some objects changed, came and went; the endpoints stay.
Objects changed(const Objects& from, Chance& chance) {
  Objects out = from;
  for (unsigned step = 0; step < 3; ++step) {
    const api::Resource resource = chance.object();
    if (resource.kind() == api::Kind::kWorkloadEndpoint ||
        resource.kind() == api::Kind::kFelixConfiguration) {
      continue;
    }
    if (chance.one_in(4)) {
      out.erase(resource.key());
    } else {
      out.insert_or_assign(resource.key(), resource);
    }
  }
  return out;
}

// Fewer where each step is several times slower (tests/sanitize).
unsigned seeds() {
  return std::getenv("MARGAY_SEEDS") == nullptr ? 40 : 5;
}

}  // namespace

TEST_SUITE("flow.policy.diff") {
  TEST_CASE("every flow whose verdict differs is told") {
    unsigned differing = 0;
    for (unsigned seed = 1; seed <= seeds(); ++seed) {
      CAPTURE(seed);
      Chance chance(seed);
      Objects objects;
      for (unsigned step = 0; step < 40; ++step) {
        const api::Resource resource = chance.object();
        objects.insert_or_assign(resource.key(), resource);
      }
      const Objects later = changed(objects, chance);
      const Evaluator before(world_of(objects));
      const Evaluator after(world_of(later));
      const std::vector<Change> changes = policy::diff(before, after);
      for (const Change& change : changes) {
        CHECK(change.allowed_before != change.allowed_after);
      }
      std::vector<IpAddr> places{parsed<IpAddr>("198.51.100.7"),
                                 parsed<IpAddr>("10.0.1.77"),
                                 parsed<IpAddr>("203.0.113.9"),
                                 parsed<IpAddr>("fd00:9::7")};
      for (const Endpoint& endpoint : before.world().endpoints) {
        for (const Prefix& prefix : endpoint.addresses) {
          places.push_back(prefix.addr());
        }
      }
      for (const IpAddr& from : places) {
        for (const IpAddr& to : places) {
          const bool host = before.node_at(from) != nullptr || before.node_at(to) != nullptr ||
                            after.node_at(from) != nullptr || after.node_at(to) != nullptr;
          const bool pair = !host && from.family() == to.family() && from != to &&
                            (owner(before, from) != nullptr || owner(before, to) != nullptr);
          for (unsigned i = 0; pair && i < 3; ++i) {
            policy::Flow flow = flow_between(from, to, chance);
            flow.destination_name.clear();  // names are ends of their own
            if (before.verdict(flow).allowed == after.verdict(flow).allowed) {
              continue;
            }
            ++differing;
            const bool told = std::ranges::any_of(changes, [&](const Change& change) {
              return tells(change, before, flow, changes);
            });
            REQUIRE_MESSAGE(told,
                            from.str(),
                            " -> ",
                            to.str(),
                            " ",
                            api::to_string(flow.protocol),
                            " ",
                            flow.source_port,
                            " ",
                            flow.destination_port);
          }
        }
      }
    }
    CHECK(differing > 2 * seeds());
  }

  TEST_CASE("equal worlds differ nowhere") {
    Chance chance(7);
    Objects objects;
    for (unsigned step = 0; step < 60; ++step) {
      const api::Resource resource = chance.object();
      objects.insert_or_assign(resource.key(), resource);
    }
    const Evaluator before(world_of(objects));
    const Evaluator after(world_of(objects));
    CHECK(policy::diff(before, after).empty());
  }
}

}  // namespace margay::test
