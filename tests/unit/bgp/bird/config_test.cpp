// What BIRD is configured with for a speaker's configuration; the whole files stand in
// tests/golden/bird, MARGAY_UPDATE_GOLDEN=1 rewrites them. Where BIRD is installed, it reads each.

#include "bgp/bird/config.h"

#include "bgp/bird/filter_text.h"
#include "bgp/bird/process.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace margay::bgp::bird {
namespace {

IpAddr address(const char* text) {
  return *IpAddr::parse(text);
}
Prefix net(const char* text) {
  return *Prefix::parse(text);
}

SpeakerConfig a_node() {
  SpeakerConfig config;
  config.asn = Asn(64512);
  config.router_id = RouterId(address("10.0.0.1").v4_value());
  config.listen_addresses = {address("10.0.0.1")};
  config.networks = {{net("10.244.1.0/26"), {}, {}}, {net("fd00:10:244::/122"), {}, {}}};
  return config;
}

PeerConfig a_peer(const char* name, const char* remote, std::uint32_t asn = 64512) {
  PeerConfig peer;
  peer.name = name;
  peer.origin = "mesh";
  peer.address = address(remote);
  peer.asn = Asn(asn);
  peer.local_asn = Asn(64512);
  peer.local_address = address("10.0.0.1");
  peer.export_learned = false;
  return peer;
}

const Settings kSettings{"/run/margay/bird.log", {Prefix::masked(IpAddr::v4(0x0A000001), 24)}};

std::string path_of(const std::string& name) {
  return std::string(MARGAY_SOURCE_DIR) + "/tests/golden/bird/" + name + ".conf";
}

void check_golden(const std::string& name, const SpeakerConfig& config) {
  CAPTURE(name);
  const std::string text = render(config, kSettings).text;
  if (std::getenv("MARGAY_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path_of(name)) << text;
  }
  std::ifstream file(path_of(name));
  const std::string expected{std::istreambuf_iterator<char>(file), {}};
  CHECK(text == expected);
  if (find_bird()) {
    const auto taken = check_config(path_of(name));
    CHECK_MESSAGE(taken, (taken ? "" : taken.error().text));
  }
}

FilterRule a_rule(bool accept = true) {
  FilterRule rule;
  rule.accept = accept;
  return rule;
}

}  // namespace

TEST_SUITE("bgp.bird.config") {
  TEST_CASE("a node of a mesh") {
    SpeakerConfig config = a_node();
    config.peers = {a_peer("mesh-node2-v4", "10.0.0.2"), a_peer("mesh-node3-v4", "10.0.0.3")};
    config.peers[1].bfd = BfdSettings{};
    config.networks[0].communities = {Community(65000U << 16U | 7U), kGracefulShutdown};
    config.networks[0].large_communities = {{65000, 1, 2}};
    check_golden("mesh", config);
  }

  TEST_CASE("a session to the fabric with everything that one can have") {
    SpeakerConfig config = a_node();
    config.listen_port = 1790;
    PeerConfig peer = a_peer("rack1-leaf", "172.16.1.1", 65001);
    peer.port = 1179;
    peer.local_asn = Asn(64999);
    peer.password = "s3cret with blanks";
    peer.ttl_security_hops = 2;
    peer.passive = true;
    peer.hold_time = std::chrono::seconds(30);
    peer.graceful_restart = std::chrono::seconds(60);
    peer.max_prefixes = 1000;
    peer.allowed_local_as = 2;
    peer.next_hop = NextHopRule::kKeep;
    peer.enforce_first_as = false;
    peer.bfd = BfdSettings{std::chrono::milliseconds(100), 5, {}};
    config.peers = {peer};
    check_golden("fabric", config);
  }

  TEST_CASE("a route reflector tells what it learnt, and its clients are clients") {
    SpeakerConfig config = a_node();
    config.cluster_id = RouterId(address("10.0.0.77").v4_value());
    config.graceful_restart = std::chrono::seconds(0);
    PeerConfig client = a_peer("reflect-node2-v4", "10.0.0.2");
    client.reflector_client = true;
    client.export_learned = true;
    PeerConfig other = a_peer("reflect-node3-v6", "fd00::3");
    other.local_address.reset();
    other.export_learned = true;
    config.peers = {client, other};
    check_golden("reflector", config);
  }

  TEST_CASE("filters of both ways and families") {
    SpeakerConfig config = a_node();
    PeerConfig peer = a_peer("rack1-leaf", "10.0.0.254", 65001);
    FilterRule tagged = a_rule();
    tagged.prefix = PrefixCondition{net("10.244.0.0/16"), PrefixMatch::kIn, 26, 32};
    tagged.operations = {Community(65000U << 16U | 77U),
                         LargeCommunity{65000, 7, 7},
                         PrependAsns{{Asn(65101), Asn(65102)}}};
    FilterRule no_default = a_rule(false);
    no_default.prefix = PrefixCondition{net("0.0.0.0/0"), PrefixMatch::kEqual};
    FilterRule everything = a_rule();
    everything.prefix = PrefixCondition{net("10.0.0.0/8"), PrefixMatch::kNotIn, 0, 128};
    everything.learnt = true;
    everything.external = true;
    everything.community = Community(65001U << 16U | 66U);
    everything.large_community = LargeCommunity{1, 2, 3};
    everything.as_path_prefix = {Asn(65001), Asn(65002)};
    everything.local_pref = 200;
    everything.operations = {SetLocalPref{300}};
    FilterRule internal_only = a_rule(false);
    internal_only.external = false;
    peer.filters.export_v4 = {tagged, a_rule(false), a_rule()};
    peer.filters.import_v4 = {no_default, internal_only, everything};
    peer.filters.import_v6 = {a_rule(false)};
    config.peers = {peer};
    check_golden("filters", config);
  }

  TEST_CASE("a node without BGP has no sessions and still a file that BIRD takes") {
    check_golden("none", {});
  }

  TEST_CASE("what cannot be had is refused in words, and a held session is not there") {
    SpeakerConfig config = a_node();
    config.peers = {a_peer("quoted", "10.0.0.2"),
                    a_peer("hasty", "10.0.0.3"),
                    a_peer("nameless", "10.0.0.4", 0),
                    a_peer("near", "fe80::1"),
                    a_peer("held", "10.0.0.5"),
                    a_peer("fine", "10.0.0.6"),
                    a_peer("endless", "10.0.0.7"),
                    a_peer("far", "192.0.2.1")};
    config.peers[0].password = "a\"b";
    config.peers[1].hold_time = std::chrono::seconds(2);
    config.peers[6].hold_time = std::chrono::seconds(70000);
    config.peers[7].bfd = BfdSettings{};
    config.peers[7].local_address.reset();
    config.peers[4].held = "the password is missing";
    const Rendered rendered = render(config, kSettings);
    CHECK(rendered.refused.at("quoted").find("quote") != std::string::npos);
    CHECK(rendered.refused.at("hasty").find("hold time") != std::string::npos);
    CHECK(rendered.refused.at("nameless").find("AS number") != std::string::npos);
    CHECK(rendered.refused.at("near").find("interface") != std::string::npos);
    CHECK(rendered.refused.at("endless").find("hold time") != std::string::npos);
    CHECK(rendered.refused.at("far").find("source address") != std::string::npos);
    CHECK(rendered.refused.size() == 6);
    CHECK(rendered.protocols == std::map<std::string, std::string>{{"peer-fine", "fine"}});
    CHECK(rendered.text.find("10.0.0.5") == std::string::npos);
  }

  TEST_CASE("the digest changes with the text, and only then") {
    SpeakerConfig config = a_node();
    const Rendered before = render(config, kSettings);
    CHECK(render(config, kSettings).digest == before.digest);
    config.networks[0].communities = {kGracefulShutdown};
    CHECK(render(config, kSettings).digest != before.digest);
  }

  TEST_CASE("names that BIRD cannot have become numbers, which differ") {
    CHECK(protocol_name("mesh-node-2.example-v4") == "peer-mesh-node-2.example-v4");
    const std::string longer(100, 'a');
    CHECK(protocol_name(longer).size() < 64);
    CHECK(protocol_name(longer) != protocol_name(longer + "b"));
    CHECK(protocol_name("with'quote").find('\'') == std::string::npos);
  }

  TEST_CASE("a rule that can never match is not there, one that always does ends the filter") {
    PeerConfig peer = a_peer("a", "10.0.0.2");
    FilterRule other_family = a_rule(false);
    other_family.prefix = PrefixCondition{net("fd00::/8"), PrefixMatch::kIn};
    FilterRule too_long = a_rule(false);
    too_long.prefix = PrefixCondition{net("10.0.0.0/24"), PrefixMatch::kIn, 0, 16};
    FilterRule not_other_family = a_rule();
    not_other_family.prefix = PrefixCondition{net("fd00::/8"), PrefixMatch::kNotIn};
    peer.filters.import_v4 = {other_family, too_long, not_other_family, a_rule(false)};
    CHECK(import_filter(peer, Family::kIpv4) == "      accept;\n");
  }

  TEST_CASE("of the other family nothing is told that needs our address as next hop") {
    PeerConfig peer = a_peer("a", "10.0.0.2", 65001);
    CHECK(export_filter(peer, Family::kIpv6) == "      reject;\n");
    peer = a_peer("a", "10.0.0.2");
    CHECK(export_filter(peer, Family::kIpv6).find("RTS_STATIC then reject") != std::string::npos);
  }
}

}  // namespace margay::bgp::bird
