#include "felix/render/host_layout.h"

#include "api/endpoint.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace margay::felix {

namespace {

using nft::Field;
using nft::HookPoint;
using nft::Match;
using nft::Verdict;

// Names of chains and sets for failsafe ports.
constexpr const char* kFailsafeIn = "failsafe-in";
constexpr const char* kFailsafeOut = "failsafe-out";
constexpr const char* kFailsafeInReply = "failsafe-in-reply";
constexpr const char* kFailsafeOutReply = "failsafe-out-reply";

struct HookPlace {
  HostHook hook;
  const char* name;  // of the chain and of its map
  HookPoint point;
  std::int32_t priority;
  Field interface;
  std::vector<const char*> failsafes;  // chains asked first
};

std::vector<HookPlace> places() {
  constexpr std::int32_t kRaw = -300;
  constexpr std::int32_t kMangle = -150;
  constexpr std::int32_t kFilter = 0;
  return {
      {HostHook::kInput,
       "host-input",
       HookPoint::kInput,
       kFilter + 2,
       Field::kIifName,
       {kFailsafeIn}},
      {HostHook::kOutput,
       "host-output",
       HookPoint::kOutput,
       kFilter,
       Field::kOifName,
       {kFailsafeOut}},
      {HostHook::kForwardIn,
       "host-forward-in",
       HookPoint::kForward,
       kFilter + 2,
       Field::kIifName,
       {}},
      {HostHook::kForwardOut,
       "host-forward-out",
       HookPoint::kForward,
       kFilter + 3,
       Field::kOifName,
       {}},
      {HostHook::kPreDnat,
       "host-pre-dnat",
       HookPoint::kPrerouting,
       kMangle,
       Field::kIifName,
       {kFailsafeIn}},
      // Without tracking the replies of the other direction's ports are packets like any other.
      {HostHook::kUntrackedIn,
       "host-untracked-in",
       HookPoint::kPrerouting,
       kRaw,
       Field::kIifName,
       {kFailsafeIn, kFailsafeOutReply}},
      {HostHook::kUntrackedOut,
       "host-untracked-out",
       HookPoint::kOutput,
       kRaw,
       Field::kOifName,
       {kFailsafeOut, kFailsafeInReply}},
  };
}

nft::ElementKey port_key(const api::FailsafePort& port) {
  return nft::single(nft::key(nft::Proto(port.protocol.number), nft::Port(port.port)));
}

nft::Set port_set(const std::vector<api::FailsafePort>& ports) {
  nft::Set set;
  set.spec.key = {nft::DataType::kInetProto, nft::DataType::kInetService};
  for (const api::FailsafePort& port : ports) {
    if (!port.net) {
      set.elements.emplace(port_key(port), std::monostate{});
    }
  }
  return set;
}

// Accepts packets to the ports, or with `reply` from them; `peer_is_source` tells where nets apply.
nft::Chain port_chain(const std::vector<api::FailsafePort>& ports,
                      const char* set,
                      bool reply,
                      bool peer_is_source) {
  const Field port_field = reply ? Field::kThSport : Field::kThDport;
  nft::Chain chain;
  chain.rules.push_back(
      {{nft::Lookup{{Field::kL4Proto, port_field}, set, false}, Verdict::accept()},
       "failsafe port"});
  for (const api::FailsafePort& port : ports) {
    if (port.net) {
      chain.rules.push_back(
          {{nft::match_addr(peer_is_source, *port.net, false),
            Match{Field::kL4Proto, nft::key(nft::Proto(port.protocol.number)), false},
            Match{port_field, nft::key(nft::Port(port.port)), false},
            Verdict::accept()},
           "failsafe port"});
    }
  }
  return chain;
}

Verdict verdict_of(const PolicyStack& stack, api::PolicyType direction) {
  if (stack.empty()) {
    return stack.profile_allows ? Verdict::accept() : Verdict::drop();
  }
  return Verdict::go_to(stack_chain_name(stack, direction));
}

nft::Chain hook_chain(const HookPlace& place, const LayoutOptions& options) {
  nft::Chain chain{
      nft::Hook{nft::ChainType::kFilter, place.point, place.priority, nft::Policy::kAccept}, {}};
  const policy::Hook hook = policy_hook(place.hook);
  if (hook != policy::Hook::kUntracked) {
    chain.rules.push_back(accept_established());
    chain.rules.push_back({{nft::match_ct_state(nft::kStateUntracked), Verdict::accept()},
                           "allowed by doNotTrack policy"});
  }
  chain.rules.push_back(
      {{Match{place.interface, nft::key(*IfName::parse("lo")), false}, Verdict::accept()},
       "loopback"});
  chain.rules.push_back(
      {{Match{place.interface, nft::Key().append_name_prefix(options.interface_prefix), false},
        Verdict::accept()},
       "workloads have chains of their own"});
  if (hook != policy::Hook::kForward) {
    chain.rules.push_back({{neighbour_discovery(), Verdict::accept()}, "neighbour discovery"});
  }
  for (const char* failsafe : place.failsafes) {
    chain.rules.push_back({{Verdict::jump(failsafe)}, ""});
  }
  chain.rules.push_back({{nft::VerdictLookup{{place.interface}, place.name}}, "by interface"});
  return chain;
}

void add_failsafes(const LayoutOptions& options, nft::Table& table) {
  table.sets[kFailsafeIn] = port_set(options.failsafe_inbound);
  table.sets[kFailsafeOut] = port_set(options.failsafe_outbound);
  const auto add = [&](const char* chain, const char* set, bool reply, bool peer_is_source) {
    const bool inbound = set == kFailsafeIn;
    table.chains[chain] = port_chain(
        inbound ? options.failsafe_inbound : options.failsafe_outbound, set, reply, peer_is_source);
  };
  add(kFailsafeIn, kFailsafeIn, false, true);
  add(kFailsafeOut, kFailsafeOut, false, false);
  add(kFailsafeInReply, kFailsafeIn, true, false);
  add(kFailsafeOutReply, kFailsafeOut, true, true);
}

}  // namespace

nft::Table host_table(const LayoutOptions& options, const HostInterfaces& hosts) {
  nft::Table table;
  if (hosts.empty()) {
    return table;
  }
  add_failsafes(options, table);
  for (const HookPlace& place : places()) {
    nft::Set map;
    map.spec = nft::SetSpec{{nft::DataType::kIfName}, nft::VerdictData{}, false, false};
    std::optional<Verdict> every;
    for (const auto& [interface, stacks] : hosts) {
      // An interface with an endpoint of its own is not governed by the one for all of them.
      const auto stack = stacks.find(place.hook);
      const Verdict verdict = stack == stacks.end()
                                  ? Verdict::accept()
                                  : verdict_of(stack->second, direction_of(place.hook));
      if (interface.str() != api::kEveryInterface) {
        map.elements.emplace(nft::single(nft::key(interface)), verdict);
      } else if (stack != stacks.end()) {
        every = verdict;
      }
    }
    const bool asked = std::ranges::any_of(
        hosts, [&](const auto& entry) { return entry.second.contains(place.hook); });
    if (!asked) {
      continue;
    }
    table.sets[place.name] = std::move(map);
    nft::Chain chain = hook_chain(place, options);
    if (every) {
      chain.rules.push_back({{*every}, "all other interfaces"});
    }
    table.chains[place.name] = std::move(chain);
  }
  return table;
}

}  // namespace margay::felix
