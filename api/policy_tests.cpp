#include "api/policy_tests.h"

#include "api/codec.h"
#include "api/rule_codec.h"
#include "api/yaml.h"

namespace margay::api {

namespace {

void read_end(Reader& visit, TestEnd& end) {
  visit.field("selector", end.selector);
  visit.field("namespace", end.ns);
  visit.field("endpoint", end.endpoint);
  visit.field("address", end.address);
  visit.field("domainName", end.domain_name);
  const bool selects = visit.has("selector") || visit.has("namespace");
  if ((selects ? 1 : 0) + (end.endpoint.empty() ? 0 : 1) + (end.address ? 1 : 0) != 1) {
    visit.fail("selector", "expected one of selector (with namespace), endpoint and address");
  }
  if (!end.domain_name.empty() && !end.address) {
    visit.fail("domainName", "stands beside an address, the one that the name led to");
  }
}

void read_expectation(Reader& visit, Expectation& expectation) {
  visit.field("protocol", expectation.protocol);
  visit.field("port", expectation.port);
  visit.field("sourcePort", expectation.source_port);
  visit.field("icmpType", expectation.icmp_type);
  visit.field("icmpCode", expectation.icmp_code);
  std::string verdict;
  visit.required("verdict", verdict);
  expectation.allow = verdict == "allow";
  if (verdict != "allow" && verdict != "deny") {
    visit.fail("verdict", shown(json::value(verdict)) + ": expected allow or deny");
  }
  if (has_ports(expectation.protocol) && !expectation.port) {
    visit.fail_missing("port", "required with protocol TCP, UDP or SCTP");
  } else if (!has_ports(expectation.protocol) && expectation.port) {
    visit.fail("port", "only with protocol TCP, UDP or SCTP");
  }
  if (expectation.port == 0) {
    visit.fail("port", "0: expected 1 to 65535");
  }
}

void read_test(Reader& visit, PolicyTest& test) {
  visit.required("name", test.name);
  for (const char* name : {"from", "to"}) {
    if (!visit.has(name)) {
      visit.fail_missing(name);
    }
  }
  visit.object("from", [&](Reader& end) { read_end(end, test.from); });
  visit.object("to", [&](Reader& end) { read_end(end, test.to); });
  visit.list("expect", test.expect, read_expectation);
  if (test.expect.empty()) {
    visit.fail("expect", "expected at least one expectation");
  }
}

}  // namespace

Result<std::vector<PolicyTest>> decode_policy_tests(std::string_view text) {
  const auto value = parse_yaml(text, 0);
  if (!value) {
    return fail(value.error());
  }
  ReadState state;
  std::vector<PolicyTest> tests;
  if (const json::object* document = as_object(state, "", *value)) {
    Reader visit(state, "", *document);
    visit.list("tests", tests, read_test);
    visit.finish();
    if (tests.empty()) {
      visit.fail("tests", "expected at least one test");
    }
  }
  if (state.error) {
    return fail(*state.error);
  }
  return tests;
}

}  // namespace margay::api
