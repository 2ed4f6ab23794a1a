#include "felix/dataplane_view.h"

#include "api/proto/control.pb.h"
#include "felix/render/layout.h"
#include "kernel/model/nft_text.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace margay::felix {

namespace v1 = margay::control::v1;

namespace {

void fill(const PolicyStack& stack, v1::DataplaneDirection& out) {
  for (const TierStack& tier : stack.tiers) {
    v1::DataplaneTier& added = *out.add_tiers();
    added.set_name(tier.name);
    for (const api::ResourceKey& policy : tier.policies) {
      added.add_policies(policy.str());
    }
    added.set_default_action(tier.default_action == api::Action::kPass ? "Pass" : "Deny");
  }
  for (const api::ResourceKey& profile : stack.profiles) {
    out.add_profiles(profile.name);
  }
  out.set_otherwise_allowed(stack.profile_allows);
}

// Where a verdict leads, if anywhere.
std::optional<std::string> chain_of(const nft::Statement& statement) {
  const auto* verdict = std::get_if<nft::Verdict>(&statement);
  return verdict != nullptr && !verdict->chain.empty() ? std::optional(verdict->chain)
                                                       : std::nullopt;
}

std::optional<nft::Counter> counter_of(const nft::Rule& rule) {
  for (const nft::Statement& statement : rule.statements) {
    if (const auto* counter = std::get_if<nft::Counter>(&statement)) {
      return *counter;
    }
  }
  return std::nullopt;
}

void fill(const nft::Rule& rule, const nft::Rule* held, v1::DataplaneRule& out) {
  nft::Rule plain = rule;
  plain.comment.clear();
  std::erase_if(plain.statements, [](const nft::Statement& statement) {
    return std::holds_alternative<nft::Counter>(statement);
  });
  out.set_text(nft::to_text(plain));
  out.set_comment(rule.comment);
  if (const auto counter = held == nullptr ? std::nullopt : counter_of(*held)) {
    out.set_counted(true);
    out.set_packets(counter->packets);
    out.set_bytes(counter->bytes);
  }
}

// Where the rules of a chain lead, in their order.
std::vector<std::string> next_chains(const nft::Chain& chain) {
  std::vector<std::string> out;
  for (const nft::Rule& rule : chain.rules) {
    for (const nft::Statement& statement : rule.statements) {
      if (auto next = chain_of(statement)) {
        out.push_back(std::move(*next));
      }
    }
  }
  return out;
}

// All chains that a packet may come to from here, each once, in the order of a walk.
std::vector<std::string> walk(const nft::Table& wanted, const std::string& first) {
  std::vector<std::string> seen;
  std::vector<std::string> ahead{first};
  while (!ahead.empty()) {
    const std::string name = std::move(ahead.back());
    ahead.pop_back();
    const auto chain = wanted.chains.find(name);
    if (chain == wanted.chains.end() || std::ranges::find(seen, name) != seen.end()) {
      continue;
    }
    seen.push_back(name);
    const auto next = next_chains(chain->second);
    ahead.insert(ahead.end(), next.rbegin(), next.rend());
  }
  return seen;
}

void add_chains(const nft::Table& wanted,
                const nft::Table& kernel,
                const std::string& map,
                const IfName& interface,
                v1::DataplaneDirection& out) {
  const auto dispatch = wanted.sets.find(map);
  if (dispatch == wanted.sets.end()) {
    return;
  }
  const auto entry = dispatch->second.elements.find(nft::single(nft::key(interface)));
  if (entry == dispatch->second.elements.end()) {
    return;
  }
  std::vector<std::string> names;
  if (const auto* verdict = std::get_if<nft::Verdict>(&entry->second)) {
    names = walk(wanted, verdict->chain);
  }
  for (const std::string& name : names) {
    v1::DataplaneChain& chain = *out.add_chains();
    chain.set_name(name);
    const auto held = kernel.chains.find(name);
    chain.set_missing(held == kernel.chains.end());
    const auto& rules = wanted.chains.at(name).rules;
    for (std::size_t i = 0; i < rules.size(); ++i) {
      // The kernel's rule at the same place; another one only while a change is on its way.
      const bool same = held != kernel.chains.end() && i < held->second.rules.size() &&
                        held->second.rules[i].comment == rules[i].comment;
      fill(rules[i], same ? &held->second.rules[i] : nullptr, *chain.add_rules());
    }
  }
}

bool is_asked(const std::string& asked,
              const std::string& pod,
              const api::ResourceKey& key,
              const LocalEndpoint& endpoint) {
  const auto named = [&asked](const IpAddr& addr) { return addr.str() == asked; };
  return asked.empty() || asked == pod || asked == key.ns + "/" + key.name ||
         asked == endpoint.interface.str() || std::ranges::any_of(endpoint.addresses, named);
}

}  // namespace

void fill(const CalcGraph& calc, const std::string& asked, v1::Dataplane& out) {
  for (const auto& [key, endpoint] : calc.local_endpoints()) {
    const api::Resource* object = calc.endpoint_object(key);
    const auto* spec =
        object == nullptr ? nullptr : std::get_if<api::WorkloadEndpoint>(&object->spec);
    const std::string pod =
        key.ns + "/" + (spec == nullptr || spec->pod.empty() ? key.name : spec->pod);
    if (!is_asked(asked, pod, key, endpoint)) {
      continue;
    }
    v1::DataplaneEndpoint& added = *out.add_endpoints();
    added.set_name(pod);
    added.set_interface(endpoint.interface.str());
    for (const IpAddr& addr : endpoint.addresses) {
      added.add_addresses(addr.str());
    }
    fill(endpoint.ingress, *added.mutable_ingress());
    fill(endpoint.egress, *added.mutable_egress());
  }
}

void add_chains(const nft::Table& wanted, const nft::Table& kernel, v1::Dataplane& out) {
  for (v1::DataplaneEndpoint& endpoint : *out.mutable_endpoints()) {
    const auto interface = IfName::parse(endpoint.interface());
    if (interface) {
      add_chains(wanted, kernel, kIngressMap, *interface, *endpoint.mutable_ingress());
      add_chains(wanted, kernel, kEgressMap, *interface, *endpoint.mutable_egress());
    }
  }
}

}  // namespace margay::felix
