#include "policy/address_set.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>
#include <utility>

namespace margay::policy {

namespace {

void add_side(const EntityMatch& side, const Rule& rule, std::set<AddressSet>& sets) {
  for (const auto* selector : {&side.selector, &side.not_selector}) {
    if (*selector) {
      sets.insert(selector_set(**selector));
    }
  }
  if (side.nodes) {
    sets.insert(nodes_set(*side.nodes));
  }
  if (side.has_domains()) {
    sets.insert(domains_set(side.domains));
  }
  for (const auto* names : {&side.named_ports, &side.not_named_ports}) {
    if (!names->empty()) {
      sets.insert(named_port_set(side, *names, rule.protocol));
    }
  }
}

}  // namespace

std::string AddressSet::text() const {
  switch (kind) {
    case Kind::kSelector:
      return selector;
    case Kind::kNamedPort:
      return fmt::format("ports {} {} of {}",
                         fmt::join(names, ","),
                         static_cast<unsigned>(protocol.number),
                         selector);
    case Kind::kService:
      return "service " + service;
    case Kind::kServiceAddresses:
      return "addresses of service " + service;
    case Kind::kNodes:
      return "nodes " + selector;
    case Kind::kDomains:
      return fmt::format("names {}", fmt::join(names, ","));
  }
  return {};
}

AddressSet selector_set(const Selector& selector) {
  AddressSet set;
  set.selector = selector.text();
  return set;
}

AddressSet named_port_set(const EntityMatch& side,
                          const std::vector<std::string>& names,
                          std::optional<api::Protocol> protocol) {
  AddressSet set;
  set.kind = AddressSet::Kind::kNamedPort;
  set.selector = side.selector ? side.selector->text() : Selector().text();
  set.names = names;
  set.protocol = protocol.value_or(api::Protocol{0});
  return set;
}

AddressSet nodes_set(const Selector& selector) {
  AddressSet set;
  set.kind = AddressSet::Kind::kNodes;
  set.selector = selector.text();
  return set;
}

AddressSet domains_set(const std::vector<std::string>& patterns) {
  AddressSet set;
  set.kind = AddressSet::Kind::kDomains;
  set.names = patterns;
  return set;
}

AddressSet service_set(const std::string& service, bool with_ports) {
  AddressSet set;
  set.kind = with_ports ? AddressSet::Kind::kService : AddressSet::Kind::kServiceAddresses;
  set.service = service;
  return set;
}

std::vector<AddressSet> address_sets_of(const Policy& policy) {
  std::set<AddressSet> sets;
  for (const auto* rules : {&policy.ingress, &policy.egress}) {
    for (const Rule& rule : *rules) {
      add_side(rule.source, rule, sets);
      add_side(rule.destination, rule, sets);
      if (rule.source.service) {
        sets.insert(service_set(*rule.source.service, false));
      }
      if (rule.destination.service) {
        sets.insert(service_set(*rule.destination.service, true));
      }
    }
  }
  return {sets.begin(), sets.end()};
}

}  // namespace margay::policy
