#pragma once
// Kubernetes NetworkPolicy as a table: namespaces x, y, z with pods a, b, c each (labels ns=,
// pod=); servers on TCP 80, 81, 82, UDP 80, 81 and SCTP 80, 81. A case is a list of steps; each
// applies documents and says what is then allowed. They are written for IPv4; in_family() gives
// their IPv6 twins. Run by real packets here, and by the evaluator in tests/flow/policy.

#include "base/ip_addr.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace margay::lab {

struct Flow {
  std::string_view from;  // "xa"
  std::string_view to;    // "yb"
  std::string_view protocol;
  std::uint16_t port = 0;

  [[nodiscard]] bool from_ns(char ns) const { return from[0] == ns; }
  [[nodiscard]] bool to_ns(char ns) const { return to[0] == ns; }
  [[nodiscard]] bool from_pod(char pod) const { return from[1] == pod; }
  [[nodiscard]] bool to_pod(char pod) const { return to[1] == pod; }
  [[nodiscard]] bool is(std::string_view proto, std::uint16_t number) const {
    return protocol == proto && port == number;
  }
};

struct Step {
  std::string policies;  // @xa@ and the like stand for addresses of pods
  bool (*allowed)(const Flow& flow);
  bool remove = false;  // the documents are deleted instead
};

struct PolicyCase {
  std::string name;
  std::vector<Step> steps;
};

std::vector<PolicyCase> policy_cases();

// With addresses for @xa@ and the like, and with the networks of the family.
std::string in_family(std::string documents,
                      Family family,
                      const std::map<std::string, std::string>& addresses);
// The case says addresses, so that each family has its own documents.
bool names_addresses(const PolicyCase& one);

}  // namespace margay::lab
