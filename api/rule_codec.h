#pragma once
// What documents of several policy kinds share: actions, types, protocols, ports, rules. Internal
// to api/.

#include "api/codec.h"
#include "api/policy.h"

#include <array>

namespace margay::api {

template <>
struct EnumNames<Action> {
  static constexpr std::array rows{EnumName<Action>{"Allow", Action::kAllow},
                                   EnumName<Action>{"Deny", Action::kDeny},
                                   EnumName<Action>{"Pass", Action::kPass},
                                   EnumName<Action>{"Log", Action::kLog}};
};
template <>
struct EnumNames<PolicyType> {
  static constexpr std::array rows{EnumName<PolicyType>{"Ingress", PolicyType::kIngress},
                                   EnumName<PolicyType>{"Egress", PolicyType::kEgress}};
};
template <>
struct EnumNames<StagedAction> {
  static constexpr std::array rows{EnumName<StagedAction>{"Set", StagedAction::kSet},
                                   EnumName<StagedAction>{"Delete", StagedAction::kDelete},
                                   EnumName<StagedAction>{"Learn", StagedAction::kLearn},
                                   EnumName<StagedAction>{"Ignore", StagedAction::kIgnore}};
};

void read_value(ReadState& state, const std::string& path, const json::value& in, Protocol& out);
void read_value(ReadState& state, const std::string& path, const json::value& in, Port& out);
json::value write_value(const Protocol& in);
json::value write_value(const Port& in);

inline constexpr std::int64_t kHighestPort = 65535;
[[nodiscard]] constexpr bool has_ports(const Protocol& protocol) {
  return protocol == kTcp || protocol == kUdp || protocol == kSctp;
}
// The field `protocol`, of which only those with ports make sense.
template <typename Visitor>
void describe_port_protocol(Visitor& visit, Protocol& protocol) {
  visit.field("protocol", protocol);
  if (!has_ports(protocol)) {
    visit.fail("protocol", to_string(protocol) + ": expected TCP, UDP or SCTP");
  }
}
// A port from 1 to 65535 in the required field `name`.
template <typename Visitor>
void describe_port_number(Visitor& visit, std::string_view name, std::uint16_t& port) {
  visit.required(name, port);
  if (port == 0) {
    visit.fail(name, "0: expected 1 to 65535");
  }
}

template <typename Visitor>
void check_types(Visitor& visit, const char* name, const std::vector<PolicyType>& types) {
  if (types.size() > 2 || (types.size() == 2 && types[0] == types[1])) {
    visit.fail(name, "expected Ingress and Egress, each at most once");
  }
}

template <typename Visitor>
void describe(Visitor& visit, Rule& rule);

}  // namespace margay::api
