#pragma once
// What would change: every difference of verdict between two worlds, exactly.
//
// Endpoints that no selector, network, service or port name of either world tells apart are one
// class, and one of them stands for all. The addresses outside are split at every boundary of a
// network, protocols and ports at every boundary of a rule that applies to the pair: within a cell
// the verdict is constant, so one question answers for all of it. Pairs whose policies are the same
// in both worlds are not asked. Host endpoints have their say about what workloads send and get
// through them. Only workloads that both worlds have are compared; the hosts themselves are no ends
// of flows here.

#include "policy/evaluator.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace margay::policy {

// Endpoints, or addresses outside, that policy cannot tell apart.
struct FlowClass {
  // "prod/web-1", an address outside, or a pattern of domain names ("*.example.org").
  std::string example;
  std::vector<std::string> members;               // names of the endpoints; empty: outside
  std::vector<std::pair<IpAddr, IpAddr>> ranges;  // outside: first and last addresses
};

struct Change {
  FlowClass from;
  FlowClass to;
  std::optional<api::Protocol> protocol;  // absent: every protocol that no rule names
  api::PortRange ports;                   // destination; 1 to 65535 also where there are none
  api::PortRange source_ports;
  std::optional<api::IcmpMatch> icmp;  // absent: every type; a type without a code: every code
  bool allowed_before = false;
  bool allowed_after = false;
  Verdict before;  // of one flow of the cell
  Verdict after;
};

[[nodiscard]] std::vector<Change> diff(const Evaluator& before, const Evaluator& after);

}  // namespace margay::policy
