// Whatever the renderer writes must be accepted by the kernel and be read back as it was written,
// or a restart would rewrite it.

#include "felix/dataplane/nft_reconciler.h"
#include "felix/render/renderer.h"
#include "kernel/model/nft_text.h"
#include "kernel/nft/nft_kernel.h"
#include "tests/kernel/kernel_lab.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

namespace margay {
namespace {

class PolicyMaker {
 public:
  explicit PolicyMaker(std::uint32_t seed) : random_(seed) {}

  policy::Policy make(unsigned number) {
    policy::Policy made;
    made.key = {api::Kind::kGlobalNetworkPolicy, "", fmt::format("policy-{}", number)};
    made.ingress_applies = true;
    made.egress_applies = chance(2);
    for (unsigned i = below(4); i > 0; --i) {
      made.ingress.push_back(rule());
      if (made.egress_applies) {
        made.egress.push_back(rule());
      }
    }
    return made;
  }

 private:
  unsigned below(unsigned bound) {
    return std::uniform_int_distribution<unsigned>(0, bound - 1)(random_);
  }
  bool chance(unsigned one_in) { return below(one_in) == 0; }

  policy::EntityMatch side(bool ports, bool v6) {
    policy::EntityMatch match;
    if (chance(3)) {
      match.selector = policy::Selector::equals("role", chance(2) ? "web" : "db");
    }
    if (chance(6)) {
      match.not_selector = policy::Selector::has("isolated");
    }
    const auto nets =
        v6 ? std::vector<Prefix>{*Prefix::parse("fd00::/8"), *Prefix::parse("fd01::1/128")}
           : std::vector<Prefix>{*Prefix::parse("10.0.0.0/8"), *Prefix::parse("10.1.0.0/17")};
    if (chance(4)) {
      match.nets = {nets[0]};
    }
    if (chance(6)) {
      match.not_nets = nets;
    }
    if (ports && chance(2)) {
      match.ports = {{80, 80}};
      if (chance(2)) {
        match.ports.push_back({8000, 8999});
      }
    }
    if (ports && chance(5)) {
      match.not_ports = {{81, 85}};
    }
    return match;
  }
  policy::Rule rule() {
    policy::Rule rule;
    const api::Action actions[] = {
        api::Action::kAllow, api::Action::kDeny, api::Action::kPass, api::Action::kLog};
    rule.action = actions[below(4)];
    const bool v6 = chance(3);
    if (chance(3)) {
      rule.family = v6 ? Family::kIpv6 : Family::kIpv4;
    }
    const bool ports = chance(2);
    if (ports) {
      rule.protocol = chance(2) ? api::kTcp : api::kUdp;
    } else if (chance(3)) {
      rule.protocol = v6 ? api::kIcmpv6 : api::kIcmp;
      if (chance(2)) {
        rule.icmp = api::IcmpMatch{8, std::nullopt};
      } else if (chance(2)) {
        rule.not_icmp = api::IcmpMatch{3, std::uint8_t{1}};
      }
    } else if (chance(4)) {
      rule.not_protocol = api::kUdp;
    }
    rule.source = side(ports, v6);
    rule.destination = side(ports, v6);
    return rule;
  }

  std::mt19937 random_;
};

TEST_SUITE("kernel.render") {
  TEST_CASE("the kernel holds what was rendered, and a restart finds nothing to do") {
    constexpr std::uint32_t kSeed = 7;
    constexpr unsigned kPolicies = 60;
    CAPTURE(kSeed);
    const test::FreshNamespace ns;
    auto kernel = nft::open_nft_kernel("margay");
    REQUIRE(kernel.has_value());
    felix::Renderer renderer({});
    felix::NftReconciler reconciler(**kernel);
    reconciler.set_in_sync(true);
    PolicyMaker maker(kSeed);
    for (unsigned i = 0; i < kPolicies; ++i) {
      const policy::Policy policy = maker.make(i);
      renderer.set_policy(std::make_shared<const policy::Policy>(policy));
      renderer.add_members(policy::selector_set(policy::Selector::equals("role", "web")),
                           {{Prefix::host(IpAddr::v4(0x0a000000U + i))}});
      felix::RenderEndpoint endpoint;
      endpoint.interface = *IfName::parse(fmt::format("mgy{}", i));
      endpoint.sources = {IpAddr::v4(0x0a000000U + i),
                          *IpAddr::parse(fmt::format("fd00::{:x}", i + 1))};
      endpoint.ingress.tiers = {{"first", api::Action::kPass, {policy.key}},
                                {"default", api::Action::kDeny, {policy.key}}};
      endpoint.egress.tiers = {{"default", api::Action::kDeny, {policy.key}}};
      endpoint.egress.profile_allows = true;
      renderer.set_endpoint({api::Kind::kWorkloadEndpoint, "ns", fmt::format("e{}", i)}, endpoint);

      reconciler.set_desired(renderer.take_delta());
      const auto report = reconciler.apply();
      REQUIRE_MESSAGE(
          report.clean(), report.failures.front().what, ": ", report.failures.front().error.text);
    }
    const auto dumped = (*kernel)->dump();
    REQUIRE(dumped.has_value());
    REQUIRE(dumped->has_value());
    CHECK(nft::to_text("margay", **dumped) ==
          nft::to_text("margay", nft::canonical(renderer.table())));

    felix::NftReconciler restarted(**kernel);
    restarted.set_in_sync(true);
    restarted.set_desired(renderer.table());
    const auto report = restarted.apply();
    CHECK(report.clean());
    CHECK(report.changes == 0);

    for (unsigned i = 0; i < kPolicies; ++i) {
      renderer.remove_endpoint({api::Kind::kWorkloadEndpoint, "ns", fmt::format("e{}", i)});
    }
    restarted.set_desired(renderer.take_delta());
    restarted.set_desired(renderer.table());
    CHECK(restarted.apply().clean());
    CHECK(**(*kernel)->dump() == nft::canonical(renderer.table()));
    CHECK(test::shell("nft list ruleset").find("stack") == std::string::npos);
  }
}

}  // namespace
}  // namespace margay
