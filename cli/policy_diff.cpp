#include "cli/policy_diff.h"

#include "cli/explain.h"
#include "cli/resources.h"
#include "cli/world.h"
#include "policy/diff.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <ostream>

namespace margay::cli {

namespace json = boost::json;
using policy::Change;
using policy::FlowClass;

namespace {

constexpr std::uint16_t kLastPort = 65535;

std::string title(const FlowClass& flow_class) {
  if (flow_class.members.size() == 1) {
    return flow_class.example;
  }
  if (!flow_class.members.empty()) {
    return fmt::format("{} (and {} alike)", flow_class.example, flow_class.members.size() - 1);
  }
  if (flow_class.ranges.empty()) {
    return flow_class.example + " (name)";
  }
  const auto& [first, last] = flow_class.ranges.front();
  const std::string more = flow_class.ranges.size() == 1
                               ? std::string()
                               : fmt::format(" and {} more", flow_class.ranges.size() - 1);
  return fmt::format("{}-{}{} (outside)", first.str(), last.str(), more);
}

std::string ports_of(const api::PortRange& ports) {
  return ports.first == ports.last ? std::to_string(ports.first)
                                   : fmt::format("{}-{}", ports.first, ports.last);
}
bool is_part(const api::PortRange& ports) {
  return ports.first != 1 || ports.last != kLastPort;
}

std::string traffic(const Change& change) {
  std::string text = change.protocol ? api::to_string(*change.protocol) : "other protocols";
  if (is_part(change.ports)) {
    text += " " + ports_of(change.ports);
  }
  if (is_part(change.source_ports)) {
    text += " from port " + ports_of(change.source_ports);
  }
  if (change.icmp) {
    text += fmt::format(" type {}", *change.icmp->type);
    if (change.icmp->code) {
      text += fmt::format(" code {}", *change.icmp->code);
    }
  }
  return text;
}

json::object to_json(const Change& change) {
  const auto end = [](const FlowClass& flow_class) {
    json::array members(flow_class.members.begin(), flow_class.members.end());
    json::array ranges;
    for (const auto& [first, last] : flow_class.ranges) {
      ranges.push_back(json::value(first.str() + "-" + last.str()));
    }
    json::object out{{"endpoints", std::move(members)}, {"addresses", std::move(ranges)}};
    if (flow_class.members.empty() && flow_class.ranges.empty()) {
      out["domainName"] = flow_class.example;
    }
    return out;
  };
  return {{"from", end(change.from)},
          {"to", end(change.to)},
          {"protocol", change.protocol ? api::to_string(*change.protocol) : "other"},
          {"ports", ports_of(change.ports)},
          {"sourcePorts", ports_of(change.source_ports)},
          {"before", verdict_word(change.allowed_before)},
          {"after", verdict_word(change.allowed_after)},
          {"reason", reason(change.after)}};
}

Result<std::vector<Change>> changes_of(Context& context, const PolicyDiffOptions& options) {
  const auto store = context.store();
  if (!store) {
    return fail(store.error());
  }
  const auto files = read_inputs(options.files, context.in());
  if (!files) {
    return fail(files.error());
  }
  const auto removed = read_inputs(options.removed, context.in());
  if (!removed) {
    return fail(removed.error());
  }
  auto before = read_world(**store, {}, {});
  if (!before) {
    return fail(before.error());
  }
  auto after = read_world(**store, *files, *removed);
  if (!after) {
    return fail(after.error());
  }
  if (options.staged && after->staged) {
    after->world = std::move(*after->staged);
  }
  return policy::diff(policy::Evaluator(std::move(before->world)),
                      policy::Evaluator(std::move(after->world)));
}

}  // namespace

int policy_diff(Context& context, const PolicyDiffOptions& options) {
  const auto changes = changes_of(context, options);
  if (!changes) {
    return context.report(changes.error());
  }
  json::array rows;
  for (const Change& change : *changes) {
    if (options.json) {
      rows.push_back(to_json(change));
      continue;
    }
    context.out() << fmt::format("{} -> {}  {}: {} -> {}  ({})\n",
                                 title(change.from),
                                 title(change.to),
                                 traffic(change),
                                 verdict_word(change.allowed_before),
                                 verdict_word(change.allowed_after),
                                 reason(change.after));
  }
  if (options.json) {
    context.out() << json::serialize(json::object{{"changes", std::move(rows)}}) << '\n';
  } else {
    context.out() << (changes->empty()
                          ? "no verdict changes\n"
                          : fmt::format(
                                "{} change{}\n", changes->size(), changes->size() == 1 ? "" : "s"));
  }
  return kDone;
}

}  // namespace margay::cli
