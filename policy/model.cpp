#include "policy/model.h"

#include "policy/compile.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

namespace margay::policy {

namespace {

double effective(const std::optional<double>& order) {
  return order.value_or(std::numeric_limits<double>::infinity());
}

bool family_allowed(const std::vector<Prefix>& nets, Family family) {
  return nets.empty() ||
         std::ranges::any_of(nets, [family](const Prefix& net) { return net.family() == family; });
}

}  // namespace

std::vector<Prefix> sorted_nets(std::vector<Prefix> nets) {
  std::ranges::sort(nets);
  nets.erase(std::unique(nets.begin(), nets.end()), nets.end());
  return nets;
}

std::vector<api::PortRange> merged_ranges(std::vector<api::PortRange> ranges) {
  std::ranges::sort(ranges);
  std::vector<api::PortRange> out;
  for (const api::PortRange& range : ranges) {
    if (!out.empty() && range.first <= out.back().last + 1) {
      out.back().last = std::max(out.back().last, range.last);
    } else {
      out.push_back(range);
    }
  }
  return out;
}

void split_ports(std::span<const api::Port> ports,
                 std::vector<api::PortRange>& ranges,
                 std::vector<std::string>& names) {
  std::vector<api::PortRange> numbers;
  for (const api::Port& port : ports) {
    if (const auto* range = std::get_if<api::PortRange>(&port)) {
      numbers.push_back(*range);
    } else {
      names.push_back(std::get<std::string>(port));
    }
  }
  ranges = merged_ranges(std::move(numbers));
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

std::string shown(std::string_view text) {
  constexpr std::size_t kShown = 80;
  return fmt::format("\"{}{}\"", text.substr(0, kShown), text.size() > kShown ? "..." : "");
}

bool Rule::applies_to(Family packet_family) const {
  if (family && *family != packet_family) {
    return false;
  }
  if (protocol == api::kIcmp && packet_family != Family::kIpv4) {
    return false;
  }
  if (protocol == api::kIcmpv6 && packet_family != Family::kIpv6) {
    return false;
  }
  // Excluded networks name a family as well: as in Calico, such a rule says nothing about the other
  // one.
  return family_allowed(source.nets, packet_family) &&
         family_allowed(destination.nets, packet_family) &&
         family_allowed(source.not_nets, packet_family) &&
         family_allowed(destination.not_nets, packet_family);
}

std::optional<Tier> builtin_tier(std::string_view name) {
  constexpr double kAdminOrder = 1'000;
  constexpr double kBaselineOrder = 10'000'000;
  if (name == kDefaultTier) {
    return Tier{std::string(name), api::kDefaultTierOrder, api::Action::kDeny};
  }
  if (name == kAdminTier) {
    return Tier{std::string(name), kAdminOrder, api::Action::kPass};
  }
  if (name == kBaselineTier) {
    return Tier{std::string(name), kBaselineOrder, api::Action::kPass};
  }
  return std::nullopt;
}

Tier missing_tier(std::string_view name) {
  return Tier{std::string(name), std::nullopt, api::Action::kDeny};
}

namespace {

struct Compiler {
  const api::ResourceKey key;

  Result<Policy> operator()(const api::GlobalNetworkPolicy& spec) const {
    return compile_calico(key, spec);
  }
  Result<Policy> operator()(const api::NetworkPolicy& spec) const {
    return compile_calico(key, spec);
  }
  Result<Policy> operator()(const api::KubernetesNetworkPolicy& spec) const {
    return compile_kubernetes(key, spec);
  }
  Result<Policy> operator()(const api::AdminNetworkPolicy& spec) const {
    return compile_admin(key, spec);
  }
  Result<Policy> operator()(const api::BaselineAdminNetworkPolicy& spec) const {
    return compile_admin(key, spec);
  }
  Result<Policy> operator()(const api::ClusterNetworkPolicy& spec) const {
    return compile_admin(key, spec);
  }
  template <typename Spec>
  Result<Policy> operator()(const Spec& /*spec*/) const {
    MARGAY_ASSERT(is_policy(key.kind));
    return fail(Errc::kInternal, "{} is no policy", key.str());
  }
};

}  // namespace

bool is_policy(api::Kind kind) {
  using api::Kind;
  return kind == Kind::kGlobalNetworkPolicy || kind == Kind::kNetworkPolicy ||
         kind == Kind::kKubernetesNetworkPolicy || kind == Kind::kAdminNetworkPolicy ||
         kind == Kind::kBaselineAdminNetworkPolicy || kind == Kind::kClusterNetworkPolicy;
}

Result<Policy> compile(const api::Resource& resource) {
  auto policy = std::visit(Compiler{resource.key()}, resource.spec);
  if (!policy) {
    return policy;
  }
  const auto established = resource.metadata.annotations.find(std::string(kEstablishedAnnotation));
  if (established != resource.metadata.annotations.end()) {
    if (established->second != kReevaluate) {
      return fail(Errc::kInvalid,
                  "metadata.annotations[{}]: \"{}\": expected {}",
                  kEstablishedAnnotation,
                  established->second,
                  kReevaluate);
    }
    policy->reevaluate = true;
  }
  return policy;
}

Result<Policy> compile_profile(const api::Resource& resource) {
  const auto* spec = std::get_if<api::Profile>(&resource.spec);
  MARGAY_ASSERT(spec != nullptr);
  return compile_profile(resource.key(), *spec);
}

Tier compile_tier(const api::Resource& resource) {
  const auto* spec = std::get_if<api::Tier>(&resource.spec);
  MARGAY_ASSERT(spec != nullptr);
  return Tier{resource.metadata.name, spec->order, spec->default_action};
}

bool Policy::asked_at(Hook hook) const {
  switch (hook) {
    case Hook::kNormal:
      return !do_not_track && !pre_dnat;
    case Hook::kForward:
      return apply_on_forward && !do_not_track && !pre_dnat;
    case Hook::kPreDnat:
      return pre_dnat;
    case Hook::kUntracked:
      return do_not_track;
  }
  return false;
}

bool allows_by_name(std::string_view profile) {
  return profile.starts_with("kns.") || profile == "projectcalico-default-allow";
}

bool before(const Tier& a, const Tier& b) {
  const double order_a = effective(a.order);
  const double order_b = effective(b.order);
  return std::tie(order_a, a.name) < std::tie(order_b, b.name);
}

bool before(const Policy& a, const Policy& b) {
  const double order_a = effective(a.order);
  const double order_b = effective(b.order);
  return std::tie(order_a, a.key.name, a.key.ns, a.key.kind) <
         std::tie(order_b, b.key.name, b.key.ns, b.key.kind);
}

bool has_ports(api::Protocol protocol) {
  return protocol == api::kTcp || protocol == api::kUdp || protocol == api::kSctp ||
         protocol == api::kUdpLite;
}

bool domain_matches(std::string_view pattern, std::string_view name) {
  if (!pattern.starts_with("*.")) {
    return pattern == name;
  }
  const std::string_view suffix = pattern.substr(1);
  return name.size() > suffix.size() && name.ends_with(suffix);
}

bool is_icmp(api::Protocol protocol) {
  return protocol == api::kIcmp || protocol == api::kIcmpv6;
}

namespace {

// What is inherited, or said by the spec, comes from there alone: whoever may label a pod must not
// be able to say which namespace labels or which account it has.
api::Labels own_labels(api::Labels labels) {
  std::erase_if(labels, [](const auto& label) {
    const std::string& key = label.first;
    return key.starts_with("pcns.") || key.starts_with("pcsa.") || key == kNamespaceLabel ||
           key == kOrchestratorLabel || key == kServiceAccountLabel;
  });
  return labels;
}

}  // namespace

api::Labels endpoint_labels(const api::Resource& endpoint) {
  const auto* spec = std::get_if<api::WorkloadEndpoint>(&endpoint.spec);
  MARGAY_ASSERT(spec != nullptr);
  api::Labels labels = own_labels(endpoint.metadata.labels);
  labels[std::string(kNamespaceLabel)] = endpoint.metadata.ns;
  labels[std::string(kOrchestratorLabel)] =
      spec->orchestrator.empty() ? "cni" : spec->orchestrator;  // every workload has one
  if (!spec->service_account.empty()) {
    labels[std::string(kServiceAccountLabel)] = spec->service_account;
  }
  return labels;
}

api::Labels host_endpoint_labels(const api::Resource& host_endpoint) {
  return own_labels(host_endpoint.metadata.labels);
}

api::Labels network_set_labels(const api::Resource& network_set) {
  api::Labels labels = own_labels(network_set.metadata.labels);
  if (!network_set.metadata.ns.empty()) {
    labels[std::string(kNamespaceLabel)] = network_set.metadata.ns;
  }
  return labels;
}

api::Labels namespace_labels(std::string_view name, const api::Labels& labels) {
  api::Labels inherited{{"pcns.projectcalico.org/name", std::string(name)},
                        {"pcns.kubernetes.io/metadata.name", std::string(name)}};
  for (const auto& [key, value] : labels) {
    inherited["pcns." + key] = value;
  }
  return inherited;
}

api::Labels service_account_labels(std::string_view name, const api::Labels& labels) {
  api::Labels inherited{{"pcsa.projectcalico.org/name", std::string(name)}};
  for (const auto& [key, value] : labels) {
    inherited["pcsa." + key] = value;
  }
  return inherited;
}

}  // namespace margay::policy
