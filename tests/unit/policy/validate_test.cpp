#include "policy/validate.h"

#include <doctest/doctest.h>

#include <string>

using margay::api::EntityRule;
using margay::api::GlobalNetworkPolicy;
using margay::api::Resource;

namespace {

Resource a_policy() {
  GlobalNetworkPolicy policy;
  policy.ingress.emplace_back();
  policy.ingress.emplace_back();
  return {{.name = "p"}, policy};
}

std::string error_of(const Resource& resource) {
  const auto done = margay::policy::validate(resource);
  return done ? "valid" : done.error().text;
}

}  // namespace

TEST_SUITE("policy.validate") {
  TEST_CASE("a bad selector is refused with the path of its field") {
    struct Row {
      std::string field;
      void (*set)(GlobalNetworkPolicy&, const std::string&);
    };
    const Row rows[] = {
        {"spec.selector", [](auto& policy, const auto& text) { policy.selector = text; }},
        {"spec.namespaceSelector",
         [](auto& policy, const auto& text) { policy.namespace_selector = text; }},
        {"spec.serviceAccountSelector",
         [](auto& policy, const auto& text) { policy.service_account_selector = text; }},
        {"spec.ingress[1].source.selector",
         [](auto& policy, const auto& text) { policy.ingress[1].source.selector = text; }},
        {"spec.ingress[0].destination.notSelector",
         [](auto& policy, const auto& text) { policy.ingress[0].destination.not_selector = text; }},
        {"spec.ingress[0].source.serviceAccounts.selector",
         [](auto& policy, const auto& text) {
           policy.ingress[0].source.service_accounts.emplace().selector = text;
         }},
    };
    for (const Row& row : rows) {
      CAPTURE(row.field);
      Resource resource = a_policy();
      auto& policy = std::get<GlobalNetworkPolicy>(resource.spec);

      row.set(policy, "a == 'b'");
      CHECK(error_of(resource) == "valid");
      row.set(policy, "a == b");
      CHECK(error_of(resource) ==
            row.field + ": \"a == b\": column 6: expected a text in quotes, found \"b\"");
      row.set(policy, "global()");
      CHECK(error_of(resource) ==
            row.field +
                ": \"global()\": global() is allowed only in the namespaceSelector of a rule");
    }
  }

  TEST_CASE("global() stands alone in the namespaceSelector of a rule") {
    Resource resource = a_policy();
    EntityRule& source = std::get<GlobalNetworkPolicy>(resource.spec).ingress[0].source;

    source.namespace_selector = " ( global() )";
    CHECK(error_of(resource) == "valid");
    for (const char* text : {"!global()", "global() && has(a)", "has(a) || global()"}) {
      CAPTURE(text);
      source.namespace_selector = text;
      CHECK(error_of(resource) == "spec.ingress[0].source.namespaceSelector: \"" +
                                      std::string(text) +
                                      "\": global() must stand alone, without !, && or ||");
    }
  }

  TEST_CASE("selectors of pools and peers are checked too") {
    CHECK(error_of({{.name = "p"}, margay::api::IPPool{.node_selector = "rack ="}})
              .find("spec.nodeSelector: \"rack =\": column 6: ") == 0);
    CHECK(error_of({{.name = "p"}, margay::api::BGPPeer{.peer_selector = "(", .as_number = {}}})
              .find("spec.peerSelector: \"(\": column 2: ") == 0);
  }
}
