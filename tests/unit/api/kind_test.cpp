#include "api/metadata.h"
#include "api/resource.h"

#include <doctest/doctest.h>

#include <cctype>
#include <set>
#include <string>

namespace api = margay::api;
using api::Kind;

TEST_SUITE("api.kind") {
  TEST_CASE("every kind answers to its name, plural and short names, in any case, and no other") {
    std::set<std::string> taken;
    for (const api::KindSpec& spec : api::all_kinds()) {
      CAPTURE(std::string(spec.name));
      CHECK(&api::spec_of(spec.kind) == &spec);
      std::string upper;
      for (const char character : spec.plural) {
        upper += static_cast<char>(std::toupper(static_cast<unsigned char>(character)));
      }
      for (const std::string& text : {std::string(spec.plural), upper}) {
        const auto kind = api::parse_kind(text);
        REQUIRE(kind);
        CHECK(*kind == spec.kind);
      }
      for (const std::string_view name : spec.short_names) {
        CHECK(taken.insert(std::string(name)).second);
        const auto kind = api::parse_kind(name);
        REQUIRE(kind);
        CHECK(*kind == spec.kind);
      }
      const auto by_document = api::parse_kind(spec.api_version, spec.name);
      REQUIRE(by_document);
      CHECK(*by_document == spec.kind);
    }
  }

  TEST_CASE("networkpolicy is Calico's, Kubernetes' has names of its own") {
    CHECK(*api::parse_kind("networkpolicy") == Kind::kNetworkPolicy);
    CHECK(*api::parse_kind("networkpolicy.networking.k8s.io") == Kind::kKubernetesNetworkPolicy);
    CHECK(*api::parse_kind("knp") == Kind::kKubernetesNetworkPolicy);
    CHECK(*api::parse_kind("networking.k8s.io/v1", "NetworkPolicy") ==
          Kind::kKubernetesNetworkPolicy);
    CHECK(*api::parse_kind("networkpolicies.projectcalico.org") == Kind::kNetworkPolicy);
    CHECK(*api::parse_kind("bgppeers.projectcalico.org") == Kind::kBGPPeer);
    CHECK(*api::parse_kind("BGPPeer.crd.projectcalico.org") == Kind::kBGPPeer);
    CHECK(*api::parse_kind("anp.policy.networking.k8s.io") == Kind::kAdminNetworkPolicy);
    CHECK_FALSE(api::parse_kind("bgppeers.networking.k8s.io"));
    CHECK_FALSE(api::parse_kind("nodes."));
    CHECK_FALSE(api::parse_kind("nonsense"));
    CHECK_FALSE(api::parse_kind("v1", "Tier"));
  }

  TEST_CASE("keys read as people say them") {
    CHECK(api::ResourceKey{Kind::kTier, "", "t"}.str() == "Tier t");
    CHECK(api::ResourceKey{Kind::kNetworkPolicy, "prod", "web"}.str() == "NetworkPolicy prod/web");
  }
}
