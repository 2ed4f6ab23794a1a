#include "cli/policy_lint.h"

#include "cli/resources.h"
#include "cli/world.h"
#include "policy/lint.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <ostream>
#include <set>

namespace margay::cli {

namespace json = boost::json;
using policy::Finding;

namespace {

std::set<api::ResourceKey> keys_of(const std::vector<Input>& inputs) {
  std::set<api::ResourceKey> keys;
  for (const Input& input : inputs) {
    for (const api::Document& document : api::decode_documents(input.text)) {
      if (document.resource) {
        keys.insert(document.resource->key());
      }
    }
  }
  return keys;
}

void print(const Finding& finding, std::ostream& out) {
  out << finding.policy.str() << ": " << (finding.path.empty() ? "" : finding.path + ": ")
      << finding.problem << ": " << finding.fix << '\n';
}

json::object to_json(const Finding& finding) {
  return {{"policy", finding.policy.str()},
          {"path", finding.path},
          {"problem", finding.problem},
          {"fix", finding.fix}};
}

}  // namespace

int policy_lint(Context& context, const PolicyLintOptions& options) {
  const auto store = context.store();
  if (!store) {
    return context.report(store.error());
  }
  const auto files = read_inputs(options.files, context.in());
  if (!files) {
    return context.report(files.error());
  }
  auto stored = read_world(**store, *files);
  if (!stored) {
    return context.report(stored.error());
  }
  std::vector<Finding> findings = policy::lint(policy::Evaluator(std::move(stored->world)));
  if (!files->empty()) {
    const std::set<api::ResourceKey> asked = keys_of(*files);
    std::erase_if(findings,
                  [&](const Finding& finding) { return !asked.contains(finding.policy); });
  }
  if (options.json) {
    json::array rows;
    for (const Finding& finding : findings) {
      rows.push_back(to_json(finding));
    }
    context.out() << json::serialize(json::object{{"findings", std::move(rows)}}) << '\n';
  } else {
    for (const Finding& finding : findings) {
      print(finding, context.out());
    }
    if (findings.empty()) {
      context.out() << "nothing found\n";
    }
  }
  return findings.empty() ? kDone : kFailed;
}

}  // namespace margay::cli
