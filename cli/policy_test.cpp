#include "cli/policy_test.h"

#include "api/policy_tests.h"
#include "cli/explain.h"
#include "cli/resources.h"
#include "cli/world.h"
#include "policy/expectations.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <ostream>

namespace margay::cli {

namespace json = boost::json;
using policy::Mismatch;
using policy::TestResult;

namespace {

std::string describe_flow(const policy::Flow& flow) {
  std::string text = api::to_string(flow.protocol);
  if (flow.destination_port != 0) {
    text += fmt::format(" {}", flow.destination_port);
  }
  return text;
}

void print(const TestResult& result, std::ostream& out) {
  if (result.passed()) {
    out << fmt::format("ok    {} ({} checked)\n", result.name, result.checked);
    return;
  }
  out << fmt::format("FAIL  {}", result.name);
  if (!result.error.empty()) {
    out << ": " << result.error << '\n';
    return;
  }
  out << fmt::format(" ({} of {})\n", result.failed, result.checked);
  for (const Mismatch& mismatch : result.mismatches) {
    out << fmt::format("      {} -> {} {}: expected {}, is {} ({})\n",
                       mismatch.from,
                       mismatch.to,
                       describe_flow(mismatch.flow),
                       mismatch.verdict.allowed ? "deny" : "allow",
                       mismatch.verdict.allowed ? "allow" : "deny",
                       reason(mismatch.verdict));
  }
  if (result.failed > result.mismatches.size()) {
    out << fmt::format("      and {} more\n", result.failed - result.mismatches.size());
  }
}

json::object to_json(const TestResult& result) {
  json::array mismatches;
  for (const Mismatch& mismatch : result.mismatches) {
    mismatches.push_back(json::object{{"from", mismatch.from},
                                      {"to", mismatch.to},
                                      {"protocol", api::to_string(mismatch.flow.protocol)},
                                      {"port", mismatch.flow.destination_port},
                                      {"verdict", mismatch.verdict.allowed ? "allow" : "deny"},
                                      {"reason", reason(mismatch.verdict)}});
  }
  return {{"name", result.name},
          {"passed", result.passed()},
          {"checked", result.checked},
          {"failed", result.failed},
          {"error", result.error},
          {"mismatches", std::move(mismatches)}};
}

Result<std::vector<api::PolicyTest>> read_tests(Context& context,
                                                const std::vector<std::string>& files) {
  const auto inputs = read_inputs(files, context.in());
  if (!inputs) {
    return fail(inputs.error());
  }
  std::vector<api::PolicyTest> tests;
  for (const Input& input : *inputs) {
    auto decoded = api::decode_policy_tests(input.text);
    if (!decoded) {
      return fail(decoded.error(), "{}", input.name);
    }
    std::ranges::move(*decoded, std::back_inserter(tests));
  }
  return tests;
}

}  // namespace

int policy_test(Context& context, const PolicyTestOptions& options) {
  const auto tests = read_tests(context, options.tests);
  if (!tests) {
    return context.report(tests.error());
  }
  const auto store = context.store();
  if (!store) {
    return context.report(store.error());
  }
  const auto with = read_inputs(options.with, context.in());
  if (!with) {
    return context.report(with.error());
  }
  auto stored = read_world(**store, *with);
  if (!stored) {
    return context.report(stored.error());
  }
  for (const std::string& skipped : stored->skipped) {
    context.err() << "margayctl: not counted, stored but invalid: " << skipped << '\n';
  }
  if (options.staged && stored->staged) {
    stored->world = std::move(*stored->staged);
  }
  const policy::Evaluator evaluator(std::move(stored->world));
  std::size_t failed = 0;
  json::array rows;
  for (const api::PolicyTest& test : *tests) {
    const TestResult result = policy::run_test(test, evaluator);
    failed += result.passed() ? 0U : 1U;
    if (options.json) {
      rows.push_back(to_json(result));
    } else {
      print(result, context.out());
    }
  }
  if (options.json) {
    context.out() << json::serialize(json::object{{"passed", tests->size() - failed},
                                                  {"failed", failed},
                                                  {"tests", std::move(rows)}})
                  << '\n';
  } else {
    context.out() << fmt::format("{} passed, {} failed\n", tests->size() - failed, failed);
  }
  return failed == 0 ? kDone : kFailed;
}

}  // namespace margay::cli
