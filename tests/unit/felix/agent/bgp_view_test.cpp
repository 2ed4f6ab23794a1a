#include "felix/bgp_view.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

namespace margay::felix {
namespace {

BgpInputs node_with_leaf() {
  BgpInputs inputs;
  inputs.enabled = true;
  inputs.ipv4 = *IpAddr::parse("10.255.1.1");
  inputs.ipv6 = *IpAddr::parse("2001:db8::1");
  inputs.originated = {*Prefix::parse("10.244.0.0/26")};
  BgpPeerInput leaf;
  leaf.name = "leaf";
  leaf.address = *IpAddr::parse("192.0.2.1");
  inputs.peers.push_back(leaf);
  return inputs;
}

std::vector<Prefix> told(const BgpInputs& inputs, Drain drain) {
  std::vector<Prefix> prefixes;
  for (const bgp::Network& network : speaker_config(inputs, drain).networks) {
    prefixes.push_back(network.prefix);
  }
  std::ranges::sort(prefixes);
  return prefixes;
}

}  // namespace

TEST_SUITE("felix.agent.bgp_view") {
  TEST_CASE("a drained node withdraws its blocks and stays reachable") {
    BgpInputs inputs = node_with_leaf();
    const Prefix block = inputs.originated.front();
    const Prefix own = Prefix::host(*inputs.ipv4);
    inputs.node_addresses = {own};
    CHECK(told(inputs, Drain::kNone) == std::vector{block, own});
    CHECK(told(inputs, Drain::kWithdrawn) == std::vector{own});
    const bgp::SpeakerConfig announced = speaker_config(inputs, Drain::kAnnounced);
    for (const bgp::Network& network : announced.networks) {
      CHECK(std::ranges::count(network.communities, bgp::kGracefulShutdown) ==
            (network.prefix == block ? 1 : 0));
    }
  }

  TEST_CASE("no peer's word about the node's own address is taken") {
    const bgp::SpeakerConfig config = speaker_config(node_with_leaf());
    REQUIRE(config.peers.size() == 1);
    const bgp::PeerFilters& filters = config.peers.front().filters;
    REQUIRE(filters.import_v4.size() == 1);
    REQUIRE(filters.import_v6.size() == 1);
    CHECK(!filters.import_v4.front().accept);
    CHECK(filters.import_v4.front().prefix ==
          bgp::PrefixCondition{*Prefix::parse("10.255.1.1/32"), bgp::PrefixMatch::kEqual});
    CHECK(filters.import_v6.front().prefix ==
          bgp::PrefixCondition{*Prefix::parse("2001:db8::1/128"), bgp::PrefixMatch::kEqual});
  }
}

}  // namespace margay::felix
