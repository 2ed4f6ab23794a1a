#include "policy/validate.h"

#include "policy/compile.h"
#include "policy/model.h"

#include <initializer_list>
#include <variant>

namespace margay::policy {

namespace {

struct Field {
  std::string name;
  const std::string& text;
  bool takes_global = false;  // global(), alone
};

Result<void> check(const Field& field) {
  const auto selector = Selector::parse(field.text);
  if (!selector) {
    return fail(selector.error(), "{}: {}", field.name, shown(field.text));
  }
  if (!selector->uses_global()) {
    return {};
  }
  if (!field.takes_global) {
    return fail(Errc::kInvalid,
                "{}: {}: global() is allowed only in the namespaceSelector of a rule",
                field.name,
                shown(field.text));
  }
  if (!selector->is_global()) {
    return fail(Errc::kInvalid,
                "{}: {}: global() must stand alone, without !, && or ||",
                field.name,
                shown(field.text));
  }
  return {};
}

Result<void> check_all(std::initializer_list<Field> fields) {
  for (const Field& field : fields) {
    if (auto checked = check(field); !checked) {
      return checked;
    }
  }
  return {};
}

Result<void> check_side(const api::EntityRule& side, const std::string& path) {
  if (side.service_accounts) {
    const Field field{path + ".serviceAccounts.selector", side.service_accounts->selector};
    if (auto checked = check(field); !checked) {
      return checked;
    }
  }
  return check_all({{path + ".selector", side.selector},
                    {path + ".notSelector", side.not_selector},
                    {path + ".namespaceSelector", side.namespace_selector, true}});
}

Result<void> check_rules(const std::vector<api::Rule>& rules, const std::string& path) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const std::string rule = fmt::format("{}[{}]", path, i);
    if (auto checked = check_side(rules[i].source, rule + ".source"); !checked) {
      return checked;
    }
    if (auto checked = check_side(rules[i].destination, rule + ".destination"); !checked) {
      return checked;
    }
  }
  return {};
}

Result<void> check_policy(const api::PolicySpec& spec) {
  if (auto checked = check_all({{"spec.selector", spec.selector},
                                {"spec.serviceAccountSelector", spec.service_account_selector}});
      !checked) {
    return checked;
  }
  if (auto checked = check_rules(spec.ingress, "spec.ingress"); !checked) {
    return checked;
  }
  return check_rules(spec.egress, "spec.egress");
}

Result<void> check_global(const api::GlobalNetworkPolicy& spec) {
  if (auto checked = check({"spec.namespaceSelector", spec.namespace_selector}); !checked) {
    return checked;
  }
  return check_policy(spec);
}

// What has no selectors of Calico's language is complete once it compiles.
Result<void> check_compiled(const api::Resource& resource) {
  const auto compiled = compile(resource);
  return compiled ? Result<void>() : Result<void>(fail(compiled.error()));
}

}  // namespace

Result<void> validate(const api::Resource& resource) {
  if (is_policy(resource.kind()) &&
      resource.metadata.annotations.contains(std::string(kEstablishedAnnotation))) {
    if (auto checked = check_compiled(resource); !checked) {
      return checked;
    }
  }
  if (const auto* global = std::get_if<api::GlobalNetworkPolicy>(&resource.spec)) {
    return check_global(*global);
  }
  if (const auto* namespaced = std::get_if<api::NetworkPolicy>(&resource.spec)) {
    return check_policy(*namespaced);
  }
  if (const auto* staged = std::get_if<api::StagedGlobalNetworkPolicy>(&resource.spec)) {
    return check_global(staged->policy);
  }
  if (const auto* staged = std::get_if<api::StagedNetworkPolicy>(&resource.spec)) {
    return check_policy(staged->policy);
  }
  if (const auto* staged = std::get_if<api::StagedKubernetesNetworkPolicy>(&resource.spec)) {
    return check_compiled({resource.metadata, staged->policy});
  }
  if (const auto* profile = std::get_if<api::Profile>(&resource.spec)) {
    if (auto checked = check_rules(profile->ingress, "spec.ingress"); !checked) {
      return checked;
    }
    return check_rules(profile->egress, "spec.egress");
  }
  if (is_policy(resource.kind())) {
    return check_compiled(resource);
  }
  if (const auto* pool = std::get_if<api::IPPool>(&resource.spec)) {
    return check_all({{"spec.nodeSelector", pool->node_selector},
                      {"spec.namespaceSelector", pool->namespace_selector}});
  }
  if (const auto* peer = std::get_if<api::BGPPeer>(&resource.spec)) {
    return check_all(
        {{"spec.nodeSelector", peer->node_selector}, {"spec.peerSelector", peer->peer_selector}});
  }
  return {};
}

}  // namespace margay::policy
