// For margayd-next, an agent that is this one but for the layout of its table: every chain, set and
// counter has another name and every base chain another priority, as if a later version had laid it
// out anew. Linked in place of felix/render/render_delta.cpp.

#include "felix/render/render_delta.h"

#include <utility>

namespace margay::felix {

namespace {

std::string other(const std::string& name) {
  return "next-" + name;
}

nft::Verdict other(nft::Verdict verdict) {
  if (!verdict.chain.empty()) {
    verdict.chain = other(verdict.chain);
  }
  return verdict;
}

nft::Elements other(const nft::Elements& elements) {
  nft::Elements out;
  for (const auto& [key, data] : elements) {
    const auto* verdict = std::get_if<nft::Verdict>(&data);
    out.emplace(key, verdict == nullptr ? data : nft::ElementData(other(*verdict)));
  }
  return out;
}

nft::Set other(const nft::Set& set) {
  return {set.spec, other(set.elements)};
}

nft::Chain other(nft::Chain chain) {
  if (chain.hook) {
    ++chain.hook->priority;
  }
  for (nft::Rule& rule : chain.rules.edit()) {
    for (nft::Statement& statement : rule.statements) {
      if (auto* lookup = std::get_if<nft::Lookup>(&statement)) {
        lookup->set = other(lookup->set);
      } else if (auto* verdicts = std::get_if<nft::VerdictLookup>(&statement)) {
        verdicts->map = other(verdicts->map);
      } else if (auto* marks = std::get_if<nft::SetMarkFromMap>(&statement)) {
        marks->map = other(marks->map);
      } else if (auto* nat = std::get_if<nft::DestinationNatFromMap>(&statement)) {
        nat->map = other(nat->map);
      } else if (auto* counter = std::get_if<nft::CounterRef>(&statement)) {
        counter->name = other(counter->name);
      } else if (auto* verdict = std::get_if<nft::Verdict>(&statement)) {
        *verdict = other(*verdict);
      }
    }
  }
  return chain;
}

std::set<std::string> other(const std::set<std::string>& names) {
  std::set<std::string> out;
  for (const std::string& name : names) {
    out.insert(other(name));
  }
  return out;
}

nft::Delta other(const nft::Delta& delta) {
  nft::Delta out;
  for (const auto& [name, set] : delta.upsert_sets) {
    out.upsert_sets.emplace(other(name), other(set));
  }
  for (const auto& [name, elements] : delta.elements) {
    out.elements.emplace(other(name), nft::ElementDelta{other(elements.add), elements.remove});
  }
  for (const auto& [name, chain] : delta.upsert_chains) {
    out.upsert_chains.emplace(other(name), other(chain));
  }
  out.add_counters = other(delta.add_counters);
  out.remove_sets = other(delta.remove_sets);
  out.remove_chains = other(delta.remove_chains);
  out.remove_counters = other(delta.remove_counters);
  return out;
}

}  // namespace

nft::Delta render_delta(const CalcChanges& changes, Renderer& renderer) {
  renderer.apply(changes);
  return other(renderer.take_delta());
}

}  // namespace margay::felix
