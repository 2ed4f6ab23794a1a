#include "bgp/rib/rib.h"

#include "bgp/rib/export.h"
#include "tests/unit/bgp/rib/router.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>

using namespace rib_test;

namespace {

// 10.0.0.0/8 and what lies in it.
bgp::FilterRule inside_ten(bool accept) {
  bgp::FilterRule rule;
  rule.prefix = bgp::PrefixCondition{*Prefix::parse("10.0.0.0/8"), bgp::PrefixMatch::kIn};
  rule.accept = accept;
  return rule;
}

}  // namespace

TEST_SUITE("bgp.rib") {
  TEST_CASE("a rule matches by network and length, and the first that matches decides") {
    const AttributeSet plain;
    struct Case {
      const char* net;
      bgp::PrefixMatch match;
      unsigned min;
      unsigned max;
      std::set<std::string> matching;
    };
    const std::vector<std::string> all{"10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "192.0.2.0/24"};
    const std::vector<Case> cases{
        {"10.0.0.0/8", bgp::PrefixMatch::kEqual, 0, 128, {"10.0.0.0/8"}},
        {"10.0.0.0/8", bgp::PrefixMatch::kNotEqual, 0, 128, {all[1], all[2], all[3]}},
        {"10.0.0.0/8", bgp::PrefixMatch::kIn, 0, 128, {all[0], all[1], all[2]}},
        {"10.0.0.0/8", bgp::PrefixMatch::kIn, 16, 20, {all[1]}},
        {"10.0.0.0/8", bgp::PrefixMatch::kNotIn, 16, 128, {all[0], all[3]}}};
    for (const Case& one : cases) {
      bgp::FilterRule rule;
      rule.prefix = bgp::PrefixCondition{*Prefix::parse(one.net),
                                         one.match,
                                         static_cast<std::uint8_t>(one.min),
                                         static_cast<std::uint8_t>(one.max)};
      std::set<std::string> matching;
      for (const std::string& prefix : all) {
        if (bgp::deciding_rule(std::span(&rule, 1), {*Prefix::parse(prefix), plain}) != nullptr) {
          matching.insert(prefix);
        }
      }
      CHECK(matching == one.matching);
    }
    const std::vector<bgp::FilterRule> rules{inside_ten(false), bgp::FilterRule{}};
    CHECK(bgp::deciding_rule(rules, {*Prefix::parse("10.1.0.0/16"), plain}) == &rules[0]);
    CHECK(bgp::deciding_rule(rules, {*Prefix::parse("192.0.2.0/24"), plain}) == &rules[1]);
  }

  TEST_CASE("a rule matches by community, path, preference, source and kind of session") {
    AttributeSet set;
    set.as_path = bgp::AsPath::sequence(std::vector{Asn(65001), Asn(65002)});
    set.add(bgp::Community(0xFDE80064U));
    set.local_pref = 50;
    const Prefix prefix = *Prefix::parse("10.0.0.0/8");
    const auto matches = [&](const bgp::FilterRule& rule, bool learnt, bool external) {
      return bgp::deciding_rule(std::span(&rule, 1), {prefix, set, learnt, external}) != nullptr;
    };
    CHECK(matches({.community = bgp::Community(0xFDE80064U)}, true, true));
    CHECK_FALSE(matches({.community = bgp::Community(0xFDE80065U)}, true, true));
    CHECK_FALSE(matches({.large_community = bgp::LargeCommunity{1, 2, 3}}, true, true));
    CHECK(matches({.as_path_prefix = {Asn(65001)}}, true, true));
    CHECK(matches({.as_path_prefix = {Asn(65001), Asn(65002)}}, true, true));
    CHECK_FALSE(matches({.as_path_prefix = {Asn(65002)}}, true, true));
    CHECK_FALSE(matches({.as_path_prefix = {Asn(65001), Asn(65002), Asn(1)}}, true, true));
    CHECK(matches({.local_pref = 50}, true, true));
    CHECK_FALSE(matches({.local_pref = 51}, true, true));
    CHECK(matches({.learnt = true}, true, false));
    CHECK_FALSE(matches({.learnt = true}, false, false));
    CHECK(matches({.external = true}, true, true));
    CHECK_FALSE(matches({.external = true}, true, false));
  }

  TEST_CASE("an address is carried by the longest prefix that holds it, also by a rejected one") {
    Router router;
    const RibPeer from = external(1, 65001);
    router.up(from);
    bgp::PeerFilters filters;
    filters.import_v4 = {inside_ten(false), bgp::FilterRule{}};
    router.rib.change_filters(from.id, filters);
    const auto net = [](const char* text) { return *Prefix::parse(text); };
    router.announce(from,
                    attributes(from, {Asn(65001)}),
                    {net("0.0.0.0/0"), net("10.1.0.0/16"), net("192.0.2.0/24"), net("192.0.2.7")});
    router.run();
    const auto carrier = [&](const char* text) -> std::string {
      const auto route = router.rib.longest_match(*IpAddr::parse(text));
      return route ? route->prefix.str() : "none";
    };
    CHECK(carrier("192.0.2.7") == "192.0.2.7/32");
    CHECK(carrier("192.0.2.8") == "192.0.2.0/24");
    CHECK(carrier("10.1.2.3") == "10.1.0.0/16");
    CHECK_FALSE(router.rib.longest_match(*IpAddr::parse("10.1.2.3"))->paths[0].rejected.empty());
    CHECK(carrier("203.0.113.1") == "0.0.0.0/0");
    CHECK(carrier("2001:db8::1") == "none");
  }

  TEST_CASE("import filters keep routes out and change them, and other filters judge them anew") {
    Router router;
    const RibPeer from = external(1, 65001);
    const RibPeer to = internal(2);
    router.up(from).up(to);
    const Prefix ten = *Prefix::parse("10.1.0.0/16");
    const Prefix other = *Prefix::parse("192.0.2.0/24");
    router.announce(from, attributes(from, {Asn(65001)}), {ten, other});
    router.run();
    REQUIRE(router.heard(to).routes.size() == 2);

    bgp::PeerFilters filters;
    filters.import_v4 = {inside_ten(false), bgp::FilterRule{}};
    filters.import_v4[1].operations = {bgp::SetLocalPref{777}, bgp::Community(5)};
    router.rib.change_filters(from.id, filters);
    router.run();
    CHECK_FALSE(router.knows(to, ten));
    CHECK_FALSE(router.fib.contains(ten));
    REQUIRE(router.knows(to, other));
    CHECK(router.heard(to).routes.at(other).local_pref == 777);
    CHECK(router.heard(to).routes.at(other).has(bgp::Community(5)));
    CHECK(router.rib.counts(from.id).received() == 2);
    CHECK(router.rib.counts(from.id).accepted() == 1);
    CHECK(router.rib.route(ten)->paths.front().rejected == "rejected by the import filter");
    // What it said is shown as it said it, and what it says again is filtered, too.
    for (const auto& route : router.rib.received(from.id)) {
      CHECK_FALSE(route.paths.front().attributes.has(bgp::Community(5)));
    }
    router.announce(from, attributes(from, {Asn(65001)}), {ten, other});
    router.run();
    CHECK_FALSE(router.knows(to, ten));

    router.rib.change_filters(from.id, {});
    router.run();
    CHECK(router.knows(to, ten));
    CHECK(router.heard(to).routes.at(other).local_pref != 777);
  }

  TEST_CASE(
      "export filters decide what a peer is told, and a change of them tells the difference") {
    Router router;
    const RibPeer from = external(1, 65001);
    RibPeer to = external(2, 65002);
    to.export_learned = false;
    RibPeer bystander = external(3, 65003);
    bystander.export_learned = false;
    router.up(from).up(to).up(bystander);
    const Prefix own = *Prefix::parse("10.1.0.0/16");
    const Prefix more = *Prefix::parse("10.2.0.0/16");
    const Prefix learnt = *Prefix::parse("192.0.2.0/24");
    router.rib.originate(own);
    router.rib.originate(more);
    router.announce(from, attributes(from, {Asn(65001)}), {learnt});
    router.run();
    REQUIRE(router.heard(to).routes.size() == 2);

    bgp::PeerFilters filters;
    filters.export_v4 = {inside_ten(false), bgp::FilterRule{.learnt = true}};
    filters.export_v4[0].prefix->net = more;
    filters.export_v4[1].operations = {bgp::PrependAsns{{Asn(65100), Asn(65101)}}};
    router.rib.change_filters(to.id, filters);
    router.run();
    CHECK(router.knows(to, own));
    CHECK_FALSE(router.knows(to, more));
    REQUIRE(router.knows(to, learnt));  // accepted by a rule: nodes are no transit otherwise
    CHECK(router.heard(to).routes.at(learnt).as_path.str() == "65000 65100 65101 65001 65001");
    CHECK(router.heard(bystander).routes.size() == 2);
    CHECK_FALSE(router.knows(bystander, learnt));
    CHECK(router.rib.advertised(to.id).size() == 2);

    filters.export_v4.insert(filters.export_v4.begin(), bgp::FilterRule{.accept = false});
    router.rib.change_filters(to.id, filters);
    router.run();
    CHECK(router.heard(to).routes.empty());
    router.rib.change_filters(to.id, {});
    router.run();
    CHECK(router.heard(to).routes.size() == 2);
    CHECK(router.heard(bystander).routes.size() == 2);
  }

  TEST_CASE(
      "our networks go to every peer with our address, and end-of-RIB follows once a family") {
    Router router;
    const RibPeer inside = internal(1);
    const RibPeer outside = external(2, 65001);
    router.rib.originate(net("10.1.0.0/26"));
    router.rib.originate(net("fd00:1::/122"));
    router.up(inside).up(outside).run();

    CHECK(router.heard(inside).end_of_rib == 2);
    const AttributeSet to_inside = router.heard(inside).routes.at(net("10.1.0.0/26"));
    CHECK(to_inside.as_path.empty());
    CHECK(to_inside.local_pref == 100U);
    CHECK(to_inside.next_hop.address == address_of(254));
    const AttributeSet to_outside = router.heard(outside).routes.at(net("10.1.0.0/26"));
    CHECK(to_outside.as_path.str() == "65000");
    CHECK_FALSE(to_outside.local_pref.has_value());
    CHECK(router.heard(outside).routes.at(net("fd00:1::/122")).next_hop.address == our_v6());
    CHECK(router.fib.empty());

    router.rib.withdraw(net("10.1.0.0/26"));
    router.run();
    CHECK_FALSE(router.knows(inside, net("10.1.0.0/26")));
    CHECK(router.heard(inside).end_of_rib == 2);
    CHECK(router.rib.prefix_count() == 1);
  }

  TEST_CASE("internal routes are not passed on to internal peers without reflection") {
    Router router;
    const RibPeer a = internal(1);
    const RibPeer b = internal(2);
    const RibPeer outside = external(3, 65001);
    router.up(a).up(b).up(outside);
    router.announce(a, attributes(a), {net("10.2.0.0/26")});
    router.run();

    CHECK_FALSE(router.knows(b, net("10.2.0.0/26")));
    CHECK_FALSE(router.knows(a, net("10.2.0.0/26")));
    CHECK(router.heard(outside).routes.at(net("10.2.0.0/26")).next_hop.address == address_of(254));
    CHECK(router.fib.at(net("10.2.0.0/26")) == std::vector<NextHop>{{address_of(1), std::nullopt}});
  }

  TEST_CASE("a reflector passes routes between clients and others, with its marks") {
    Router router;
    const RibPeer client = internal(1, true);
    const RibPeer other_client = internal(2, true);
    const RibPeer plain = internal(3);
    const RibPeer other_plain = internal(4);
    router.up(client).up(other_client).up(plain).up(other_plain);
    router.announce(client, attributes(client), {net("10.1.0.0/26")});
    router.announce(plain, attributes(plain), {net("10.3.0.0/26")});
    router.run();

    const AttributeSet reflected = router.heard(other_client).routes.at(net("10.1.0.0/26"));
    CHECK(reflected.originator_id == client.router_id);
    CHECK(reflected.cluster_list == std::vector{kOptions.cluster_id});
    CHECK(reflected.next_hop.address == client.address);
    CHECK(router.knows(plain, net("10.1.0.0/26")));
    CHECK_FALSE(router.knows(client, net("10.1.0.0/26")));
    CHECK(router.knows(client, net("10.3.0.0/26")));
    CHECK_FALSE(router.knows(other_plain, net("10.3.0.0/26")));
  }

  TEST_CASE("looped paths are kept but not used") {
    Router router;
    const RibPeer outside = external(1, 65001);
    const RibPeer inside = internal(2);
    router.up(outside).up(inside);
    router.announce(outside, attributes(outside, {kOurAs}), {net("10.1.0.0/26")});
    AttributeSet own = attributes(inside);
    own.originator_id = kOptions.router_id;
    router.announce(inside, own, {net("10.2.0.0/26")});
    AttributeSet looped = attributes(inside);
    looped.originator_id = RouterId(77);
    looped.cluster_list = {kOptions.cluster_id};
    router.announce(inside, looped, {net("10.3.0.0/26")});
    router.run();

    CHECK(router.fib.empty());
    CHECK(router.heard(inside).routes.empty());
    CHECK(router.rib.counts(inside.id).received() == 2);
    CHECK(router.rib.counts(inside.id).accepted() == 0);
    CHECK(router.rib.route(net("10.1.0.0/26"))->paths[0].rejected ==
          "our own AS is in the AS path");
    CHECK(router.rib.received(inside.id)[1].paths[0].rejected ==
          "our cluster is in the cluster list");
  }

  TEST_CASE("when the best path moves, its new source hears a withdrawal, the old one the route") {
    Router router;
    const RibPeer a = external(1, 65001);
    const RibPeer b = external(2, 65002);
    const Prefix prefix = net("198.51.100.0/24");
    router.up(a).up(b);
    router.announce(a, attributes(a, {Asn(65009)}), {prefix});
    router.run();
    CHECK(router.knows(b, prefix));
    CHECK_FALSE(router.knows(a, prefix));

    router.announce(b, attributes(b), {prefix});
    router.run();
    CHECK_FALSE(router.knows(b, prefix));
    CHECK(router.knows(a, prefix));
    const auto route = router.rib.route(prefix);
    CHECK(route->paths[0].peer == b.id);
    CHECK(route->paths[1].lost_at == bgp::DecisionStep::kAsPathLength);

    router.down(b);
    router.run();
    CHECK_FALSE(router.knows(a, prefix));
    CHECK(router.fib.at(prefix).size() == 1);
  }

  TEST_CASE("equal paths give one kernel route with several next hops") {
    Router router;
    const Prefix prefix = net("0.0.0.0/0");
    for (unsigned i = 1; i <= 3; ++i) {
      const RibPeer leaf = external(i, 65000 + i);
      router.up(leaf);
      router.announce(
          leaf, attributes(leaf, i == 3 ? std::vector{Asn(1)} : std::vector<Asn>()), {prefix});
    }
    router.run();
    CHECK(router.fib.at(prefix) ==
          std::vector<NextHop>{{address_of(1), std::nullopt}, {address_of(2), std::nullopt}});
    CHECK(router.rib.route(prefix)->paths[1].multipath);
  }

  TEST_CASE("communities and export_learned limit who hears a route") {
    Router router;
    const RibPeer source = external(1, 65001);
    const RibPeer inside = internal(2);
    const RibPeer outside = external(3, 65003);
    RibPeer own_only = external(4, 65004);
    own_only.export_learned = false;
    router.up(source).up(inside).up(outside).up(own_only);
    AttributeSet set = attributes(source);
    router.announce(source, set, {net("10.1.0.0/24")});
    set.add(bgp::kNoExport);
    router.announce(source, set, {net("10.2.0.0/24")});
    set.add(bgp::kNoAdvertise);
    router.announce(source, set, {net("10.3.0.0/24")});
    router.run();

    CHECK(router.heard(inside).routes.size() == 2);
    CHECK(router.heard(outside).routes.size() == 1);
    CHECK(router.heard(own_only).routes.empty());
    CHECK(router.fib.size() == 3);
  }

  TEST_CASE("a next hop that means something on one link alone is replaced by ours on others") {
    Router router;
    RibPeer unnumbered = external(1, 65001);
    unnumbered.codec.link = margay::IfIndex(7);
    unnumbered.codec.ipv4.extended_next_hop = true;
    unnumbered.codec.local_ipv4.reset();
    unnumbered.codec.local_ipv6 = *IpAddr::parse("fe80::1");
    const RibPeer inside = internal(2);
    router.up(unnumbered).up(inside);
    AttributeSet told = attributes(unnumbered);
    told.next_hop = NextHop{*IpAddr::parse("fe80::2"), std::nullopt};
    router.announce(unnumbered, told, {net("10.1.0.0/16")});
    router.announce(unnumbered, told, {net("2001:db8:1::/48")});
    router.run();
    // For the kernel: that address, on that link.
    const NextHop there{*IpAddr::parse("fe80::2"), std::nullopt, margay::IfIndex(7)};
    CHECK(router.fib.at(net("10.1.0.0/16")) == std::vector{there});
    CHECK(router.fib.at(net("2001:db8:1::/48")) == std::vector{there});
    CHECK(router.heard(inside).routes.at(net("10.1.0.0/16")).next_hop.address == address_of(254));
    CHECK(router.heard(inside).routes.at(net("2001:db8:1::/48")).next_hop.address == our_v6());
    // The other way: our address there.
    AttributeSet from_inside = attributes(inside);
    router.announce(inside, from_inside, {net("10.2.0.0/16")});
    router.run();
    CHECK(router.heard(unnumbered).routes.at(net("10.2.0.0/16")).next_hop.address ==
          *IpAddr::parse("fe80::1"));
  }

  TEST_CASE("what came from above goes to customers alone (RFC 9234)") {
    using bgp::Role;
    const auto with_role = [](RibPeer peer, Role role) {
      peer.role = role;
      return peer;
    };
    // Our role in each session: the provider's customer, and so on.
    const RibPeer provider = with_role(external(1, 65001), Role::kCustomer);
    const RibPeer equal = with_role(external(2, 65002), Role::kPeer);
    const RibPeer customer = with_role(external(3, 65003), Role::kProvider);
    const RibPeer other_customer = with_role(external(4, 65004), Role::kProvider);
    const RibPeer plain = external(5, 65005);
    Router router;
    router.up(provider).up(equal).up(customer).up(other_customer).up(plain);
    const Prefix from_provider = net("10.1.0.0/16");
    const Prefix from_equal = net("10.2.0.0/16");
    const Prefix from_customer = net("10.3.0.0/16");
    router.announce(provider, attributes(provider), {from_provider});
    router.announce(equal, attributes(equal), {from_equal});
    router.announce(customer, attributes(customer), {from_customer});
    router.rib.originate(net("10.9.0.0/16"));
    router.run();

    SUBCASE("marked on arrival, told downwards, and not upwards or sidewards") {
      CHECK(router.heard(customer).routes.at(from_provider).only_to_customer == Asn(65001));
      CHECK(router.heard(customer).routes.at(from_equal).only_to_customer == Asn(65002));
      CHECK(router.heard(plain).routes.at(from_provider).only_to_customer == Asn(65001));
      CHECK_FALSE(router.knows(equal, from_provider));
      CHECK_FALSE(router.knows(provider, from_equal));
    }
    SUBCASE("a customer's routes and ours go everywhere, marked towards equals and customers") {
      CHECK_FALSE(router.heard(provider).routes.at(from_customer).only_to_customer);
      CHECK(router.heard(equal).routes.at(from_customer).only_to_customer == kOurAs);
      CHECK(router.heard(other_customer).routes.at(from_customer).only_to_customer == kOurAs);
      CHECK(router.heard(equal).routes.at(net("10.9.0.0/16")).only_to_customer == kOurAs);
      CHECK_FALSE(router.heard(provider).routes.at(net("10.9.0.0/16")).only_to_customer);
      CHECK_FALSE(router.heard(plain).routes.at(from_customer).only_to_customer);
    }
    SUBCASE("a mark that cannot be is a leak: kept, not used, and named") {
      AttributeSet leaked = attributes(customer);
      leaked.only_to_customer = Asn(65001);
      router.announce(customer, leaked, {net("10.4.0.0/16")});
      AttributeSet passed_on = attributes(equal);
      passed_on.only_to_customer = Asn(65077);
      router.announce(equal, passed_on, {net("10.5.0.0/16")});
      AttributeSet right = attributes(equal);
      right.only_to_customer = Asn(65002);
      router.announce(equal, right, {net("10.6.0.0/16")});
      router.run();
      for (const char* leak : {"10.4.0.0/16", "10.5.0.0/16"}) {
        CHECK_FALSE(router.fib.contains(net(leak)));
        CHECK_FALSE(router.knows(other_customer, net(leak)));
        CHECK(router.rib.route(net(leak))->paths.front().rejected.find("leak") !=
              std::string::npos);
      }
      CHECK(router.fib.contains(net("10.6.0.0/16")));
    }
  }

  TEST_CASE("our networks carry communities, told anew when they change") {
    Router router;
    const RibPeer inside = internal(1);
    const RibPeer outside = external(2, 65001);
    const Prefix block = net("10.1.0.0/26");
    AttributeSet set;
    set.communities = {bgp::Community(0xFDE80007)};
    router.rib.originate(block, set);
    router.up(inside).up(outside).run();
    CHECK(router.heard(inside).routes.at(block).communities == set.communities);
    CHECK(router.heard(outside).routes.at(block).communities == set.communities);
    set.communities = {bgp::Community(0xFDE80007), bgp::kGracefulShutdown};
    router.rib.originate(block, set);
    CHECK(router.run() == 2);
    CHECK(router.heard(outside).routes.at(block).has(bgp::kGracefulShutdown));
    router.rib.originate(block, set);
    CHECK(router.run() == 0);
  }

  TEST_CASE("what an external peer tells with GRACEFUL_SHUTDOWN is the last choice") {
    Router router;
    const RibPeer leaving = external(1, 65001);
    const RibPeer other = external(2, 65002);
    const RibPeer inside = internal(3);
    router.up(leaving).up(other).up(inside);
    const Prefix prefix = net("10.1.0.0/24");
    AttributeSet set = attributes(leaving);
    router.announce(leaving, set, {prefix});
    router.announce(other, attributes(other, {Asn(65009)}), {prefix});
    router.run();
    CHECK(router.fib.at(prefix).front().address == leaving.address);
    set.add(bgp::kGracefulShutdown);
    router.announce(leaving, set, {prefix});
    router.run();
    CHECK(router.fib.at(prefix).front().address == other.address);
    // Without another way it is still one; internal peers hear how little it is worth.
    router.withdraw(other, prefix);
    router.run();
    CHECK(router.fib.at(prefix).front().address == leaving.address);
    CHECK(router.heard(inside).routes.at(prefix).local_pref == 0U);
  }

  TEST_CASE("what did not change is not sent again") {
    Router router;
    const RibPeer a = external(1, 65001);
    const RibPeer b = external(2, 65002);
    router.up(a).up(b).run();
    router.announce(a, attributes(a), {net("10.1.0.0/24")});
    CHECK(router.run() == 1);
    router.announce(a, attributes(a), {net("10.1.0.0/24")});
    CHECK(router.run() == 0);
    router.withdraw(a, net("10.1.0.0/24"));
    router.announce(a, attributes(a), {net("10.1.0.0/24")});
    CHECK(router.run() == 0);
    router.rib.refresh(b.id, Family::kIpv4);
    CHECK(router.run() == 2);
    CHECK(router.heard(b).end_of_rib == 3);
  }

  TEST_CASE("peers of a group share the bytes; a thousand prefixes of one set fill few messages") {
    Router router;
    const RibPeer source = internal(1, true);
    router.up(source);
    for (unsigned i = 2; i < 10; ++i) {
      router.up(internal(i, true));
    }
    router.run();
    std::vector<Prefix> prefixes;
    for (unsigned i = 0; i < 1000; ++i) {
      prefixes.push_back(Prefix::masked(IpAddr::v4(0x0A000000U + i * 256U), 24));
    }
    router.announce(source, attributes(source), prefixes);
    const auto output = router.rib.take_output();
    REQUIRE(output.size() == 8);
    for (const bgp::PeerOutput& item : output) {
      CHECK(item.bytes == output.front().bytes);
    }
    CHECK(output.front().bytes->size() < 4200);
  }

  TEST_CASE("a paused peer is sent nothing, and later only what it does not have") {
    Router router;
    const RibPeer source = external(1, 65001);
    const RibPeer slow = external(2, 65002);
    const RibPeer quick = external(3, 65003);
    router.up(source).up(slow).up(quick);
    router.announce(source, attributes(source), {net("10.1.0.0/24"), net("10.2.0.0/24")});
    router.run();
    router.rib.pause(slow.id);
    router.withdraw(source, net("10.1.0.0/24"));
    for (unsigned round = 0; round < 100; ++round) {
      AttributeSet set = attributes(source);
      set.med = round;
      set.add(bgp::Community{round});
      const Prefix passing = Prefix::masked(IpAddr::v4(0x0B000000U + round * 256U), 24);
      router.announce(source, set, {net("10.3.0.0/24"), passing});
      router.run();
      router.withdraw(source, passing);
      router.run();
    }
    CHECK(router.heard(slow).routes.size() == 2);
    CHECK(router.heard(quick).routes.size() == 2);
    CHECK(router.rib.prefix_count() == 3);  // the first is gone, and not told yet

    router.rib.resume(slow.id);
    CHECK(router.run() == 2);  // what is gone, and what is there
    CHECK(router.rib.prefix_count() == 2);
    CHECK(router.heard(slow).routes == router.heard(quick).routes);
    router.announce(source, attributes(source), {net("10.4.0.0/24")});
    router.run();
    CHECK(router.knows(slow, net("10.4.0.0/24")));
  }

  TEST_CASE(
      "a peer that is level again while another one's loss is worked off hears the end of it") {
    bgp::RibOptions slices = kOptions;
    slices.slice = 2;
    Router router(slices);
    const RibPeer source = external(1, 65001);
    const RibPeer slow = external(2, 65002);
    router.up(source).up(slow);
    router.run();
    router.rib.pause(slow.id);
    std::vector<Prefix> prefixes;
    for (unsigned i = 0; i < 10; ++i) {
      prefixes.push_back(Prefix::masked(IpAddr::v4(0x0A000000U + i * 256U), 24));
    }
    router.announce(source, attributes(source), prefixes);
    router.run();
    router.down(source);
    router.take_turn();  // two of ten
    router.rib.resume(slow.id);
    router.run();
    CHECK(router.heard(slow).routes.empty());
    CHECK(router.rib.prefix_count() == 0);
  }

  TEST_CASE("after a restart of ours no end-of-RIB goes out before the others said theirs") {
    Router router;
    const RibPeer client = internal(1, true);
    RibPeer node = internal(2, true);
    node.export_learned = false;
    router.rib.hold_end_of_rib(true);
    router.up(client).up(node);
    router.rib.originate(net("10.1.0.0/24"));
    router.run();
    CHECK(router.knows(client, net("10.1.0.0/24")));
    CHECK(router.heard(client).end_of_rib == 0);
    CHECK(router.heard(node).end_of_rib == 2);  // nothing of others is for it
    router.rib.hold_end_of_rib(false);
    router.run();
    CHECK(router.heard(client).end_of_rib == 2);
    router.rib.refresh(client.id, Family::kIpv4);
    router.run();
    CHECK(router.heard(client).end_of_rib == 3);
  }

  TEST_CASE("an end-of-RIB of a family that the session does not carry is none") {
    Router router;
    const RibPeer peer = external(1, 65001);
    router.up(peer);
    const auto end_of = [&](bgp::AfiSafi family) {
      bgp::UpdatePacker packer(other_side(peer));
      packer.end_of_rib(family);
      const auto bytes = packer.take();
      const auto report = router.rib.update(peer.id, bgp::Bytes(bytes).subspan(kHeader));
      REQUIRE(report);
      return report->end_of_rib;
    };
    CHECK(end_of(bgp::kIpv6Unicast) == bgp::kIpv6Unicast);
    constexpr std::uint8_t kVpn = 128;
    CHECK_FALSE(end_of({1, kVpn}).has_value());
  }

  TEST_CASE("a next hop that a session did not agree to, or of another link, is not told") {
    Router router;
    RibPeer from = external(1, 65001);
    from.codec.ipv4.extended_next_hop = true;
    const RibPeer inside = internal(2);
    RibPeer able = internal(3);
    able.codec.ipv4.extended_next_hop = true;
    router.up(from).up(inside).up(able);
    AttributeSet set = attributes(from);
    set.next_hop = NextHop{*IpAddr::parse("2001:db8::2"), *IpAddr::parse("fe80::2")};
    const Prefix v4 = net("10.1.0.0/24");
    const Prefix v6 = net("2001:db8:1::/48");
    router.announce(from, set, {v4});
    router.announce(from, set, {v6});
    router.run();
    CHECK(router.heard(inside).routes.at(v4).next_hop.address == address_of(254));
    CHECK(router.heard(able).routes.at(v4).next_hop.address == set.next_hop.address);
    CHECK(router.heard(inside).routes.at(v6).next_hop == NextHop{set.next_hop.address, {}});
  }

  TEST_CASE("a restarting peer's paths stay until it says them again or is done") {
    Router router;
    const RibPeer node = internal(1);
    const RibPeer leaf = external(2, 65001);
    router.up(node).up(leaf);
    router.announce(node, attributes(node), {net("10.1.0.0/26"), net("10.2.0.0/26")});
    router.run();
    REQUIRE(router.heard(leaf).routes.size() == 2);

    router.rib.peer_restarting(node.id);
    CHECK(router.run() == 0);
    CHECK(router.fib.size() == 2);
    CHECK(router.rib.route(net("10.1.0.0/26"))->paths[0].stale);

    router.up(node);
    router.announce(node, attributes(node), {net("10.1.0.0/26")});
    router.run();
    CHECK(router.heard(leaf).routes.size() == 2);
    CHECK(router.heard(node).end_of_rib == 2);

    router.rib.drop_stale(node.id, Family::kIpv6);
    router.rib.drop_stale(node.id, Family::kIpv4);
    router.run();
    CHECK(router.knows(leaf, net("10.1.0.0/26")));
    CHECK_FALSE(router.knows(leaf, net("10.2.0.0/26")));
    CHECK(router.fib.size() == 1);
    CHECK(router.rib.counts(node.id).received() == 1);

    router.rib.peer_restarting(node.id);
    router.down(node);
    router.run();
    CHECK(router.fib.empty());
    CHECK(router.rib.path_count() == 0);
  }

  TEST_CASE("more prefixes than allowed end the session") {
    Rib rib(kOptions);
    RibPeer peer = external(1, 65001);
    peer.max_prefixes = 1;
    rib.peer_up(peer);
    const bgp::CodecContext codec = other_side(peer);
    bgp::UpdatePacker packer(codec);
    const Nlri nlri[] = {{net("10.1.0.0/24"), 0}, {net("10.2.0.0/24"), 0}};
    REQUIRE(packer.announce(attributes(peer), nlri));
    const auto bytes = packer.take();
    const auto report = rib.update(peer.id, bgp::Bytes(bytes).subspan(kHeader));
    REQUIRE_FALSE(report);
    CHECK(to_string(report.error()).find("(6/1)") != std::string::npos);
  }

  TEST_CASE("stale paths do not count against the limit of a peer that says its table anew") {
    RibPeer peer = external(1, 65001);
    peer.max_prefixes = 3;
    peer.codec.ipv4.add_path_receive = true;
    Router router;
    router.up(peer);
    const std::vector<Prefix> table{net("10.1.0.0/24"), net("10.2.0.0/24")};
    router.announce(peer, attributes(peer), table, 1);
    router.run();
    router.rib.peer_restarting(peer.id);
    router.up(peer);
    router.announce(peer, attributes(peer), table, 2);  // feed() requires that this is taken
    CHECK(router.rib.counts(peer.id).received() == 4);
    router.rib.drop_stale(peer.id, Family::kIpv4);
    CHECK(router.rib.counts(peer.id).received() == 2);
  }

  TEST_CASE("random histories: peers and kernel end with what the final state says") {
    constexpr unsigned kSeed = 5;
    CAPTURE(kSeed);
    bgp::RibOptions options = kOptions;
    SUBCASE("all at once") {}
    SUBCASE("in slices of two") {
      options.slice = 2;
    }
    CAPTURE(options.slice);
    std::mt19937 random(kSeed);
    const auto below = [&random](unsigned bound) {
      return static_cast<unsigned>(random() % bound);
    };
    std::vector<RibPeer> all{internal(1, true),
                             internal(2, true),
                             internal(3),
                             internal(4),
                             external(5, 65005),
                             external(6, 65006),
                             external(7, 65005)};
    all[6].export_learned = false;
    std::vector<Prefix> prefixes;
    for (unsigned i = 0; i < 6; ++i) {
      prefixes.push_back(Prefix::masked(IpAddr::v4(0x0A000000U + i * 256U), 24));
    }
    Router router(options);
    struct Offered {
      AttributeSet set;
      RibPeer from;
    };
    std::map<Prefix, std::map<PeerId, Offered>> model;
    std::set<Prefix> own;
    std::set<PeerId> paused;
    for (int step = 0; step < 4000; ++step) {
      const RibPeer& peer = all[below(7)];
      const Prefix& prefix = prefixes[below(6)];
      const bool is_up = router.peers().contains(peer.id);
      const unsigned what = below(13);
      if (what == 0 && is_up) {
        router.down(peer);
        paused.erase(peer.id);
        for (auto& [key, paths] : model) {
          paths.erase(peer.id);
        }
      } else if (!is_up) {
        router.up(peer);
      } else if (what < 3) {
        router.withdraw(peer, prefix);
        model[prefix].erase(peer.id);
      } else if (what == 3) {
        own.contains(prefix) ? router.rib.withdraw(prefix) : router.rib.originate(prefix);
        own.contains(prefix) ? void(own.erase(prefix)) : void(own.insert(prefix));
      } else if (what == 4) {
        router.rib.refresh(peer.id, Family::kIpv4);
      } else if (what == 5 && below(2) == 0) {
        router.rib.pause(peer.id);
        paused.insert(peer.id);
      } else if (what == 5) {
        router.rib.resume(peer.id);
        paused.erase(peer.id);
      } else {
        std::vector<Asn> path(below(3), Asn(65100 + below(2)));
        AttributeSet set = attributes(peer, path);
        if (below(4) == 0) {
          set.med = below(3);
        }
        if (below(8) == 0) {
          set.add(below(2) == 0 ? bgp::kNoExport : bgp::kNoAdvertise);
        }
        router.announce(peer, set, {prefix});
        model[prefix][peer.id] = {set, peer};
      }
      if (below(3) != 0) {
        if (below(4) == 0) {
          router.take_turn();
        }
        continue;
      }
      router.run();
      std::map<Prefix, std::vector<NextHop>> fib;
      std::map<PeerId, std::map<Prefix, AttributeSet>> expected;
      for (const Prefix& key : prefixes) {
        std::vector<bgp::DecisionKey> keys;
        std::vector<bgp::Candidate> candidates;
        std::vector<const Offered*> offers;
        keys.reserve(8);
        for (const auto& [id, offer] : model[key]) {
          keys.push_back(bgp::decision_key(offer.set));
          candidates.push_back({.key = &keys.back(),
                                .external = !offer.from.codec.internal,
                                .router_id = offer.from.router_id,
                                .peer_address = offer.from.address});
          offers.push_back(&offer);
        }
        const bool local = own.contains(key);
        if (!local && offers.empty()) {
          continue;
        }
        Offered best{AttributeSet(), RibPeer()};
        if (!local) {
          const auto ranking = bgp::decide(candidates);
          best = *offers[ranking.best];
          std::set<NextHop> hops;
          for (const std::size_t index : ranking.equal) {
            hops.insert(offers[index]->set.next_hop);
          }
          fib[key] = std::vector<NextHop>(hops.begin(), hops.end());
        }
        const bgp::ExportSource source{.local = local,
                                       .internal = !local && best.from.codec.internal,
                                       .reflector_client = best.from.reflector_client,
                                       .router_id = best.from.router_id};
        for (const auto& [id, to] : router.peers()) {
          const auto target = bgp::export_target(to);
          if ((local || id != best.from.id) &&
              bgp::may_export(best.set, key, source, target).allowed()) {
            expected[id][key] = bgp::exported(best.set, Family::kIpv4, 0, source, target, kOptions);
          }
        }
      }
      CAPTURE(step);
      REQUIRE(router.fib == fib);
      for (const auto& [id, to] : router.peers()) {
        CAPTURE(id.value());
        if (!paused.contains(id)) {
          REQUIRE(router.heard(to).routes == expected[id]);
        }
        REQUIRE(router.rib.counts(id).advertised() == expected[id].size());
        REQUIRE(router.rib.advertised(id).size() == expected[id].size());
      }
    }
    while (!router.peers().empty()) {
      router.down(RibPeer(router.peers().begin()->second));
    }
    for (const Prefix& prefix : own) {
      router.rib.withdraw(prefix);
    }
    router.run();
    CHECK(router.rib.prefix_count() == 0);
    CHECK(router.rib.path_count() == 0);
    CHECK(router.fib.empty());
  }
}
