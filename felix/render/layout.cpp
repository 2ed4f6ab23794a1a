#include "felix/render/layout.h"

#include "felix/render/names.h"
#include "felix/render/rules.h"

#include <algorithm>

namespace margay::felix {

namespace {

using nft::Field;
using nft::Match;
using nft::Rule;
using nft::Verdict;

constexpr std::int32_t kRaw = -300;
constexpr std::int32_t kFilter = 0;

nft::Chain base_chain(nft::HookPoint point, std::int32_t priority) {
  return nft::Chain{nft::Hook{nft::ChainType::kFilter, point, priority, nft::Policy::kAccept}, {}};
}

nft::Statement from_workload(const LayoutOptions& options) {
  return Match{Field::kIifName, nft::Key().append_name_prefix(options.interface_prefix), false};
}
nft::Statement to_workload(const LayoutOptions& options) {
  return Match{Field::kOifName, nft::Key().append_name_prefix(options.interface_prefix), false};
}

// An entry that is merely removed would come back: the next packet of either side makes a new one,
// and the side that answers may be allowed to.
Rule drop_refused() {
  return {{nft::MatchMask{Field::kCtMark, nft::key(kRefusedMark), nft::key(kRefusedMark), false},
           nft::Counter{},
           Verdict::drop()},
          "established, no longer allowed"};
}
Rule drop_invalid() {
  return {{nft::match_ct_state(nft::kStateInvalid), nft::Counter{}, Verdict::drop()},
          "invalid connection state"};
}

// Router and neighbour solicitation and advertisement (RFC 4861), and group membership (RFC 2710):
// a workload cannot do without them, whatever its policy says.
constexpr std::uint8_t kFirstListenerType = 130;
constexpr std::uint8_t kLastListenerType = 132;
constexpr std::uint8_t kFirstNeighbourType = 133;
constexpr std::uint8_t kLastNeighbourType = 136;

nft::SetSpec verdict_map() {
  return {{nft::DataType::kIfName}, nft::VerdictData{}, false, false};
}

Rule drop_spoofed() {
  return {{nft::Counter{}, Verdict::drop()}, "spoofed source"};
}

nft::Chain anti_spoof() {
  nft::Chain chain;
  chain.rules.push_back(
      {{nft::Lookup{{Field::kIifName, Field::kIpSaddr}, kSourceSet4, false}, Verdict::ret()},
       "its own IPv4 address"});
  chain.rules.push_back(
      {{nft::Lookup{{Field::kIifName, Field::kIp6Saddr}, kSourceSet6, false}, Verdict::ret()},
       "its own IPv6 address"});
  // RFC 4861 section 4, RFC 2710 section 3: from a link-local address, or none while it is tested.
  for (const char* source : {"fe80::/10", "::/128"}) {
    chain.rules.push_back({{nft::match_addr(true, *Prefix::parse(source), false),
                            neighbour_discovery(),
                            Verdict::ret()},
                           "neighbour discovery from a link-local address"});
  }
  chain.rules.push_back(
      {{nft::VerdictLookup{{Field::kIifName}, kSpoofedMap}}, "allowSpoofedSourcePrefixes"});
  chain.rules.push_back(drop_spoofed());
  return chain;
}

Rule accept_self() {
  return {{nft::Lookup{{Field::kIifName, Field::kOifName}, kSelfSet, false}, Verdict::accept()},
          "a workload to itself"};
}

Rule drop_unknown(nft::Statement match) {
  return {{std::move(match), nft::Counter{}, Verdict::drop()}, "endpoint not known yet"};
}

nft::Chain host_action(const LayoutOptions& options) {
  nft::Chain chain = base_chain(nft::HookPoint::kInput, kFilter + 1);
  if (options.endpoint_to_host != api::EndpointToHostAction::kDrop) {
    return chain;
  }
  chain.rules.push_back(accept_established());
  chain.rules.push_back(
      {{from_workload(options), neighbour_discovery(), Verdict::accept()}, "neighbour discovery"});
  for (const BgpAccess& access : options.bgp_access) {
    chain.rules.push_back({{Match{Field::kIifName, nft::key(access.interface), false},
                            nft::match_addr(false, Prefix::host(access.address), false),
                            Match{Field::kL4Proto, nft::key(nft::kTcp), false},
                            Match{Field::kThDport, nft::key(nft::Port(access.port)), false},
                            Verdict::accept()},
                           "localWorkloadSelector of a BGPPeer"});
  }
  chain.rules.push_back({{from_workload(options), nft::Counter{}, Verdict::drop()},
                         "defaultEndpointToHostAction Drop"});
  return chain;
}

std::string stack_text(const PolicyStack& stack) {
  std::string text;
  for (const TierStack& tier : stack.tiers) {
    text +=
        "tier " + tier.name + (tier.default_action == api::Action::kPass ? " pass\n" : " deny\n");
    for (const api::ResourceKey& policy : tier.policies) {
      text += std::string(api::spec_of(policy.kind).api_version) + " " + policy.str() + "\n";
    }
  }
  for (const api::ResourceKey& profile : stack.profiles) {
    text += profile.str() + "\n";
  }
  return text + (stack.profile_allows ? "allow" : "deny");
}

Rule jump(const std::string& chain) {
  return {{Verdict::jump(chain)}, ""};
}

// The policies of one tier, in order; the checks behind those that can pass leave the chain they
// stand in.
std::vector<Rule> tier_rules(const TierStack& tier,
                             api::PolicyType direction,
                             const CanPass& can_pass) {
  std::vector<Rule> rules;
  for (const api::ResourceKey& policy : tier.policies) {
    rules.push_back(jump(policy_chain_name(policy, direction)));
    if (can_pass(policy)) {
      rules.push_back(
          {{nft::MatchMask{Field::kMark, nft::key(kPassMark), nft::key(kPassMark), false},
            nft::SetMark{Field::kMark, Mark(0), kPassMark},
            Verdict::ret()},
           "Pass: leave tier " + tier.name});
    }
  }
  if (tier.default_action == api::Action::kDeny) {
    rules.push_back(
        {{nft::Counter{}, Verdict::drop()}, "end of tier " + tier.name + ": default action Deny"});
  }
  return rules;
}

}  // namespace

nft::Rule accept_established() {
  return {{nft::match_ct_state(nft::kStateEstablished | nft::kStateRelated), Verdict::accept()},
          "reply or established"};
}
nft::Statement neighbour_discovery() {
  return nft::MatchRange{Field::kIcmpv6Type,
                         nft::key(nft::IcmpType(kFirstListenerType)),
                         nft::key(nft::IcmpType(kLastNeighbourType)),
                         false};
}

namespace {

// Answers of the servers that are trusted, on their way to a workload: forwarded, or from a server
// on this host.
void log_dns_answers(const LayoutOptions& options, nft::Table& table) {
  nft::Chain output = base_chain(nft::HookPoint::kOutput, kFilter);
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const bool v4 = family == Family::kIpv4;
    nft::Set servers;
    servers.spec.key = {v4 ? nft::DataType::kIpv4Addr : nft::DataType::kIpv6Addr};
    servers.spec.interval = true;
    for (const Prefix& net : without_nested(options.dns_servers)) {
      if (net.family() == family) {
        servers.elements.emplace(nft::element(net), std::monostate{});
      }
    }
    if (servers.elements.empty()) {
      continue;
    }
    constexpr std::uint16_t kDnsPort = 53;
    constexpr std::uint8_t kUdp = 17;
    const char* name = v4 ? kDnsServers4 : kDnsServers6;
    table.sets[name] = std::move(servers);
    const Rule rule{{to_workload(options),
                     nft::Lookup{{v4 ? Field::kIpSaddr : Field::kIp6Saddr}, name, false},
                     Match{Field::kL4Proto, nft::key(nft::Proto(kUdp)), false},
                     Match{Field::kThSport, nft::key(nft::Port(kDnsPort)), false},
                     nft::match_ct_state(nft::kStateEstablished),
                     nft::Log{"", kDnsLogGroup, 0}},
                    "answers of DNS"};
    auto& forwarded = table.chains.at("forward-ingress").rules.edit();
    forwarded.insert(forwarded.begin(), rule);
    output.rules.push_back(rule);
  }
  if (!output.rules.empty()) {
    table.chains["output-dns"] = std::move(output);
  }
}

}  // namespace

nft::Table base_table(const LayoutOptions& options) {
  nft::Table table;
  table.sets[kEgressMap].spec = verdict_map();
  table.sets[kIngressMap].spec = verdict_map();
  table.sets[kSourceSet4].spec.key = {nft::DataType::kIfName, nft::DataType::kIpv4Addr};
  table.sets[kSourceSet6].spec.key = {nft::DataType::kIfName, nft::DataType::kIpv6Addr};

  table.sets[kSpoofedMap].spec = verdict_map();
  table.sets[kSelfSet].spec.key = {nft::DataType::kIfName, nft::DataType::kIfName};

  table.chains["anti-spoof"] = anti_spoof();
  nft::Chain raw = base_chain(nft::HookPoint::kPrerouting, kRaw);
  raw.rules.push_back(
      {{from_workload(options), Verdict::jump("anti-spoof")}, "every packet of a workload"});
  table.chains["raw-prerouting"] = std::move(raw);

  nft::Chain egress = base_chain(nft::HookPoint::kForward, kFilter);
  egress.rules.push_back(drop_refused());
  egress.rules.push_back(accept_established());
  egress.rules.push_back(drop_invalid());
  egress.rules.push_back(accept_self());
  egress.rules.push_back(
      {{nft::VerdictLookup{{Field::kIifName}, kEgressMap}}, "egress policy of the source"});
  egress.rules.push_back(drop_unknown(from_workload(options)));
  table.chains["forward-egress"] = std::move(egress);

  nft::Chain ingress = base_chain(nft::HookPoint::kForward, kFilter + 1);
  ingress.rules.push_back(accept_established());
  ingress.rules.push_back(accept_self());
  ingress.rules.push_back(
      {{nft::VerdictLookup{{Field::kOifName}, kIngressMap}}, "ingress policy of the destination"});
  ingress.rules.push_back(drop_unknown(to_workload(options)));
  table.chains["forward-ingress"] = std::move(ingress);

  nft::Chain input = base_chain(nft::HookPoint::kInput, kFilter);
  input.rules.push_back(drop_refused());
  input.rules.push_back(accept_established());
  input.rules.push_back({{from_workload(options),
                          nft::match_ct_state(nft::kStateInvalid),
                          nft::Counter{},
                          Verdict::drop()},
                         "invalid connection state"});
  input.rules.push_back(
      {{from_workload(options), neighbour_discovery(), Verdict::accept()}, "neighbour discovery"});
  input.rules.push_back(
      {{nft::VerdictLookup{{Field::kIifName}, kEgressMap}}, "egress policy of the source"});
  input.rules.push_back(drop_unknown(from_workload(options)));
  table.chains["input-egress"] = std::move(input);
  table.chains["input-host"] = host_action(options);
  log_dns_answers(options, table);
  return table;
}

std::string spoofed_chain_name(const std::vector<Prefix>& nets) {
  std::string text;
  for (const Prefix& net : nets) {
    text += net.str() + ",";
  }
  return "spoofed-" + digest(text);
}

// Left by return, as the chain that leads here is: the packet goes on to policy.
nft::Chain spoofed_chain(const std::vector<Prefix>& nets) {
  nft::Chain chain;
  for (const Prefix& net : nets) {
    chain.rules.push_back({{nft::match_addr(true, net, false), Verdict::ret()}, ""});
  }
  chain.rules.push_back(drop_spoofed());
  return chain;
}

std::string stack_chain_name(const PolicyStack& stack, api::PolicyType direction) {
  return (direction == api::PolicyType::kIngress ? "stack-in-" : "stack-out-") +
         digest(stack_text(stack));
}

StackChains render_stack(const PolicyStack& stack,
                         api::PolicyType direction,
                         const std::string& name,
                         const CanPass& can_pass) {
  StackChains out;
  out.chains.emplace_back(name, nft::Chain{});
  std::vector<Rule> rules;
  bool ended = false;
  for (std::size_t i = 0; i < stack.tiers.size() && !ended; ++i) {
    const TierStack& tier = stack.tiers[i];
    std::vector<Rule> inside = tier_rules(tier, direction, can_pass);
    if (std::ranges::any_of(tier.policies, can_pass)) {
      // Pass must leave the tier and no more: the tier gets a chain of its own. A mark that
      // somebody else set must not look like a Pass.
      inside.insert(inside.begin(),
                    Rule{{nft::SetMark{Field::kMark, Mark(0), kPassMark}}, "no Pass yet"});
      const std::string tier_chain = name + "-t" + std::to_string(i + 1);
      out.chains.emplace_back(tier_chain, nft::Chain{std::nullopt, std::move(inside)});
      rules.push_back(jump(tier_chain));
    } else {
      rules.insert(rules.end(), inside.begin(), inside.end());
      ended = tier.default_action == api::Action::kDeny;
    }
  }
  if (!ended) {
    for (const api::ResourceKey& profile : stack.profiles) {
      rules.push_back(jump(policy_chain_name(profile, direction)));
    }
    rules.push_back(stack.profile_allows
                        ? Rule{{nft::Counter{}, Verdict::accept()}, "profile allows"}
                        : Rule{{nft::Counter{}, Verdict::drop()}, "no profile allows"});
  }
  out.chains.front().second.rules = std::move(rules);
  return out;
}

}  // namespace margay::felix
