#include "policy/expectations.h"

#include <algorithm>
#include <utility>

namespace margay::policy {

namespace {

struct TestedEnd {
  std::string name;
  std::vector<IpAddr> addresses;
  std::string domain_name;
};

TestedEnd end_of(const Endpoint& endpoint) {
  TestedEnd end{endpoint.name, {}, {}};
  for (const Prefix& address : endpoint.addresses) {
    end.addresses.push_back(address.addr());
  }
  return end;
}

Result<std::vector<TestedEnd>> ends_of(const api::TestEnd& wanted, const Evaluator& evaluator) {
  if (wanted.address) {
    return std::vector<TestedEnd>{{wanted.address->str(), {*wanted.address}, wanted.domain_name}};
  }
  const auto selector = Selector::parse(wanted.selector);
  if (!selector) {
    return fail(selector.error(), "selector");
  }
  std::vector<TestedEnd> ends;
  for (const Endpoint& endpoint : evaluator.world().endpoints) {
    const bool named = wanted.endpoint.empty() || endpoint.name == wanted.endpoint;
    const bool in_namespace = wanted.ns.empty() || endpoint.ns == wanted.ns;
    if (named && in_namespace && evaluator.matches(*selector, endpoint)) {
      ends.push_back(end_of(endpoint));
    }
  }
  if (ends.empty()) {
    return fail(Errc::kNotFound,
                "{}",
                wanted.endpoint.empty() ? "selects no endpoint" : "no endpoint " + wanted.endpoint);
  }
  std::ranges::sort(ends, {}, &TestedEnd::name);
  return ends;
}

Flow flow_of(const IpAddr& from,
             const IpAddr& to,
             const std::string& name,
             const api::Expectation& expectation) {
  Flow flow{.source = from, .destination = to, .protocol = expectation.protocol};
  flow.destination_name = name;
  flow.source_port = expectation.source_port.value_or(0);
  flow.destination_port = expectation.port.value_or(0);
  flow.icmp_type = expectation.icmp_type.value_or(flow.icmp_type);
  flow.icmp_code = expectation.icmp_code.value_or(0);
  return flow;
}

void check_pair(const TestedEnd& from,
                const TestedEnd& to,
                const api::Expectation& expectation,
                const Evaluator& evaluator,
                TestResult& result) {
  for (const IpAddr& source : from.addresses) {
    for (const IpAddr& destination : to.addresses) {
      if (source.family() != destination.family() || source == destination) {
        continue;
      }
      const Flow flow = flow_of(source, destination, to.domain_name, expectation);
      Verdict verdict = evaluator.verdict(flow);
      ++result.checked;
      if (verdict.allowed == expectation.allow) {
        continue;
      }
      if (++result.failed <= kMaxMismatches) {
        result.mismatches.push_back({from.name, to.name, flow, std::move(verdict)});
      }
    }
  }
}

}  // namespace

TestResult run_test(const api::PolicyTest& test, const Evaluator& evaluator) {
  TestResult result;
  result.name = test.name;
  const auto from = ends_of(test.from, evaluator);
  const auto to = ends_of(test.to, evaluator);
  if (!from || !to) {
    result.error = from ? "to: " + to.error().text : "from: " + from.error().text;
    return result;
  }
  for (const api::Expectation& expectation : test.expect) {
    for (const TestedEnd& source : *from) {
      for (const TestedEnd& destination : *to) {
        check_pair(source, destination, expectation, evaluator, result);
      }
    }
  }
  if (result.checked == 0) {
    result.error = "no pair of different endpoints with addresses of one family";
  }
  return result;
}

}  // namespace margay::policy
