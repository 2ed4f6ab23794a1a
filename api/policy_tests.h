#pragma once
// The file of `margayctl policy test`: what people expect of their policy. Decoded as strictly as
// resources.
//
//   tests:
//     - name: web reaches db on 5432 only
//       from: {selector: "app == 'web'"}
//       to: {selector: "app == 'db'", namespace: prod}
//       expect: [{protocol: TCP, port: 5432, verdict: allow}, {protocol: TCP, port: 22, verdict:
//       deny}]

#include "api/policy.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace margay::api {

// One end of a test: exactly one of endpoint, address, or selector and namespace.
struct TestEnd {
  std::string selector;  // of endpoints; may be empty beside a namespace
  std::string ns;        // only endpoints of this namespace
  std::string endpoint;  // "namespace/pod"
  std::optional<IpAddr> address;
  std::string domain_name;  // of "to", beside address: the name that led there
  bool operator==(const TestEnd&) const = default;
};

struct Expectation {
  Protocol protocol = kTcp;
  std::optional<std::uint16_t> port;  // required where the protocol has ports
  std::optional<std::uint16_t> source_port;
  std::optional<std::uint8_t> icmp_type;
  std::optional<std::uint8_t> icmp_code;
  bool allow = false;
  bool operator==(const Expectation&) const = default;
};

struct PolicyTest {
  std::string name;
  TestEnd from;
  TestEnd to;
  std::vector<Expectation> expect;  // at least one
  bool operator==(const PolicyTest&) const = default;
};

// Errors: `tests[0].expect[1].verdict: "maybe": expected allow or deny`.
[[nodiscard]] Result<std::vector<PolicyTest>> decode_policy_tests(std::string_view text);

}  // namespace margay::api
