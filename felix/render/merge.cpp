#include "felix/render/merge.h"

#include <boost/container_hash/hash.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

namespace margay::felix {

namespace {

// What the rules of a group may differ in.
enum class Value : std::uint8_t { kPorts, kSourceNets, kDestinationNets };
constexpr std::array kValues{Value::kPorts, Value::kSourceNets, Value::kDestinationNets};

// Without the value, so that rules of one group are equal; nothing: the rule does not ask for it.
std::optional<policy::Rule> without(policy::Rule rule, Value value) {
  rule.written_index = 0;
  bool asked = false;
  if (value == Value::kPorts) {
    asked = !std::exchange(rule.destination.ports, {}).empty();
  } else {
    auto& nets = value == Value::kSourceNets ? rule.source.nets : rule.destination.nets;
    asked = !std::exchange(nets, {}).empty();
  }
  const bool log = rule.action == api::Action::kLog;
  return asked && !log && rule.unsupported.empty() ? std::optional(std::move(rule)) : std::nullopt;
}

// Few fields suffice: equality decides.
std::size_t fingerprint(const policy::Rule& rule) {
  std::size_t seed = rule.protocol ? rule.protocol->number : 0;
  for (const policy::EntityMatch* side : {&rule.source, &rule.destination}) {
    boost::hash_combine(seed, side->selector ? side->selector->text() : std::string());
    for (const Prefix& net : side->nets) {
      boost::hash_combine(seed, net.str());
    }
    for (const api::PortRange& range : side->ports) {
      boost::hash_combine(seed, range.first);
      boost::hash_combine(seed, range.last);
    }
  }
  return seed;
}

void add_value(const policy::Rule& from, Value value, policy::Rule& to) {
  if (value == Value::kPorts) {
    auto& ports = to.destination.ports;
    ports.insert(ports.end(), from.destination.ports.begin(), from.destination.ports.end());
    return;
  }
  const bool source = value == Value::kSourceNets;
  const auto& added = source ? from.source.nets : from.destination.nets;
  auto& nets = source ? to.source.nets : to.destination.nets;
  nets.insert(nets.end(), added.begin(), added.end());
}

void settle(policy::Rule& rule) {
  rule.destination.ports = policy::merged_ranges(std::move(rule.destination.ports));
  for (auto* nets : {&rule.source.nets, &rule.destination.nets}) {
    std::ranges::sort(*nets);
    nets->erase(std::unique(nets->begin(), nets->end()), nets->end());
  }
}

std::size_t smallest_group(std::size_t merge_from) {
  return std::max<std::size_t>(merge_from, 2);
}

// The positions of rules that are equal but for the value, by the first of them.
std::vector<std::vector<std::size_t>> groups(const std::vector<MergedRule>& run, Value value) {
  std::vector<std::vector<std::size_t>> out;
  std::vector<policy::Rule> common;  // of each group
  std::unordered_multimap<std::size_t, std::size_t> by_fingerprint;
  for (std::size_t i = 0; i < run.size(); ++i) {
    auto rest = without(run[i].rule, value);
    std::size_t group = out.size();
    if (rest) {
      const std::size_t print = fingerprint(*rest);
      const auto [first, last] = by_fingerprint.equal_range(print);
      const auto same = std::find_if(
          first, last, [&](const auto& entry) { return common[entry.second] == *rest; });
      if (same != last) {
        group = same->second;
      } else {
        by_fingerprint.emplace(print, group);
      }
    }
    if (group == out.size()) {
      out.emplace_back();
      common.push_back(rest ? *rest : run[i].rule);
    }
    out[group].push_back(i);
  }
  return out;
}

std::vector<MergedRule> merge_by(std::vector<MergedRule> run, Value value, std::size_t merge_from) {
  std::vector<std::pair<std::size_t, MergedRule>> placed;
  for (const std::vector<std::size_t>& group : groups(run, value)) {
    if (group.size() < smallest_group(merge_from)) {
      for (const std::size_t i : group) {
        placed.emplace_back(i, std::move(run[i]));
      }
      continue;
    }
    MergedRule merged = run[group.front()];
    for (auto i = std::next(group.begin()); i != group.end(); ++i) {
      add_value(run[*i].rule, value, merged.rule);
      merged.written.insert(merged.written.end(), run[*i].written.begin(), run[*i].written.end());
    }
    settle(merged.rule);
    std::ranges::sort(merged.written);
    merged.written.erase(std::unique(merged.written.begin(), merged.written.end()),
                         merged.written.end());
    placed.emplace_back(group.front(), std::move(merged));
  }
  std::ranges::sort(placed, {}, [](const auto& entry) { return entry.first; });
  std::vector<MergedRule> out;
  out.reserve(placed.size());
  for (auto& [place, rule] : placed) {
    out.push_back(std::move(rule));
  }
  return out;
}

}  // namespace

std::vector<MergedRule> merge_rules(const std::vector<policy::Rule>& rules,
                                    std::size_t merge_from) {
  std::vector<MergedRule> out;
  for (std::size_t begin = 0; begin < rules.size();) {
    std::vector<MergedRule> run;
    std::size_t end = begin;
    for (; end < rules.size() && rules[end].action == rules[begin].action; ++end) {
      run.push_back({rules[end], {rules[end].written_index}});
    }
    begin = end;
    for (const Value value : kValues) {
      if (run.size() >= smallest_group(merge_from)) {
        run = merge_by(std::move(run), value, merge_from);
      }
    }
    std::ranges::move(run, std::back_inserter(out));
  }
  return out;
}

std::string rule_numbers(const std::vector<unsigned>& written) {
  std::string text = written.size() == 1 ? "rule " : "rules ";
  for (std::size_t i = 0; i < written.size();) {
    std::size_t last = i;
    while (last + 1 < written.size() && written[last + 1] == written[last] + 1) {
      ++last;
    }
    text += fmt::format("{}{}", i == 0 ? "" : ", ", written[i] + 1);
    if (last != i) {
      text += fmt::format("{}{}", last == i + 1 ? ", " : " to ", written[last] + 1);
    }
    i = last + 1;
  }
  return text;
}

}  // namespace margay::felix
