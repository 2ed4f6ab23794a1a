#include "tests/support/fake_kernel.h"

#include <algorithm>
#include <cerrno>

namespace margay::test {

namespace {

Error errno_error(int number, const char* what) {
  return fail_errno(number, "{}", what).error;
}

bool jumps_to(const nft::Verdict& verdict, const std::string& chain) {
  return (verdict.kind == nft::VerdictKind::kJump || verdict.kind == nft::VerdictKind::kGoto) &&
         verdict.chain == chain;
}

// Sets and chains that a rule needs.
struct References {
  std::vector<std::string> sets;
  std::vector<std::string> chains;
  std::vector<std::string> counters;
};
References references(const nft::Rule& rule) {
  References out;
  for (const nft::Statement& statement : rule.statements) {
    if (const std::string* set = nft::set_of(statement)) {
      out.sets.push_back(*set);
    } else if (const auto* verdict = std::get_if<nft::Verdict>(&statement);
               verdict != nullptr && !verdict->chain.empty()) {
      out.chains.push_back(verdict->chain);
    } else if (const auto* counter = std::get_if<nft::CounterRef>(&statement)) {
      out.counters.push_back(counter->name);
    }
  }
  return out;
}

const nft::DataTypes kMarks{nft::DataType::kMark};

// Whether each statement asks a set for what it holds: nothing, verdicts, marks or addresses. The
// sets exist.
bool asks_what_sets_hold(const nft::Table& table, const nft::Rule& rule) {
  return std::ranges::all_of(rule.statements, [&](const nft::Statement& statement) {
    if (const auto* lookup = std::get_if<nft::Lookup>(&statement)) {
      return !table.sets.at(lookup->set).spec.is_map();
    }
    if (const auto* map = std::get_if<nft::VerdictLookup>(&statement)) {
      return std::holds_alternative<nft::VerdictData>(table.sets.at(map->map).spec.data);
    }
    if (const auto* mark = std::get_if<nft::SetMarkFromMap>(&statement)) {
      return table.sets.at(mark->map).spec.data == decltype(nft::SetSpec::data){kMarks};
    }
    if (const auto* nat = std::get_if<nft::DestinationNatFromMap>(&statement)) {
      const auto* types = std::get_if<nft::DataTypes>(&table.sets.at(nat->map).spec.data);
      return types != nullptr && types->size() == 2;
    }
    return true;
  });
}

bool set_in_use(const nft::Table& table, const std::string& name) {
  return std::ranges::any_of(table.chains, [&](const auto& chain) {
    return std::ranges::any_of(chain.second.rules, [&](const nft::Rule& rule) {
      const auto sets = references(rule).sets;
      return std::ranges::find(sets, name) != sets.end();
    });
  });
}

bool chain_in_use(const nft::Table& table, const std::string& name) {
  const bool by_rule = std::ranges::any_of(table.chains, [&](const auto& chain) {
    return chain.first != name &&
           std::ranges::any_of(chain.second.rules, [&](const nft::Rule& rule) {
             const auto chains = references(rule).chains;
             return std::ranges::find(chains, name) != chains.end();
           });
  });
  const bool by_element = std::ranges::any_of(table.sets, [&](const auto& set) {
    return std::ranges::any_of(set.second.elements, [&](const auto& element) {
      const auto* verdict = std::get_if<nft::Verdict>(&element.second);
      return verdict != nullptr && jumps_to(*verdict, name);
    });
  });
  return by_rule || by_element;
}

}  // namespace

std::optional<Error> FakeNftKernel::apply(const nft::Command& command, State& state) {
  if (std::holds_alternative<nft::AddTable>(command)) {
    state.table = state.table.value_or(nft::Table());
    return std::nullopt;
  }
  if (!state.table) {
    return errno_error(ENOENT, "no table");
  }
  nft::Table& table = *state.table;
  if (std::holds_alternative<nft::DeleteTable>(command)) {
    state.table.reset();
    state.handles.clear();
    return std::nullopt;
  }
  if (const auto* add = std::get_if<nft::AddCounter>(&command)) {
    table.counters.insert(add->name);
    return std::nullopt;
  }
  if (const auto* remove = std::get_if<nft::DeleteCounter>(&command)) {
    return table.counters.erase(remove->name) == 1 ? std::nullopt
                                                   : std::optional(errno_error(ENOENT, "counter"));
  }
  if (const auto* add = std::get_if<nft::AddSet>(&command)) {
    if (table.sets.contains(add->name)) {
      return errno_error(EEXIST, "set");
    }
    table.sets.emplace(add->name, nft::Set{add->spec, {}});
    return std::nullopt;
  }
  if (const auto* remove = std::get_if<nft::DeleteSet>(&command)) {
    if (!table.sets.contains(remove->name)) {
      return errno_error(ENOENT, "set");
    }
    if (set_in_use(table, remove->name)) {
      return errno_error(EBUSY, "set");
    }
    table.sets.erase(remove->name);
    return std::nullopt;
  }
  if (const auto* add = std::get_if<nft::AddElements>(&command)) {
    const auto set = table.sets.find(add->set);
    if (set == table.sets.end()) {
      return errno_error(ENOENT, "set");
    }
    for (const auto& [key, data] : add->elements) {
      const auto* verdict = std::get_if<nft::Verdict>(&data);
      if (verdict != nullptr && !verdict->chain.empty() && !table.chains.contains(verdict->chain)) {
        return errno_error(ENOENT, "chain of a verdict");
      }
      const auto [place, added] = set->second.elements.emplace(key, data);
      if (!added && !(place->second == data)) {
        return errno_error(EEXIST, "element");
      }
    }
    return std::nullopt;
  }
  if (const auto* remove = std::get_if<nft::DeleteElements>(&command)) {
    const auto set = table.sets.find(remove->set);
    if (set == table.sets.end()) {
      return errno_error(ENOENT, "set");
    }
    for (const nft::ElementKey& key : remove->elements) {
      if (set->second.elements.erase(key) == 0) {
        return errno_error(ENOENT, "element");
      }
    }
    return std::nullopt;
  }
  if (const auto* add = std::get_if<nft::AddChain>(&command)) {
    table.chains[add->name].hook = add->hook;
    return std::nullopt;
  }
  if (const auto* remove = std::get_if<nft::DeleteChain>(&command)) {
    if (!table.chains.contains(remove->name)) {
      return errno_error(ENOENT, "chain");
    }
    if (chain_in_use(table, remove->name)) {
      return errno_error(EBUSY, "chain");
    }
    table.chains.erase(remove->name);
    state.handles.erase(remove->name);
    return std::nullopt;
  }
  if (const auto* flush = std::get_if<nft::FlushChain>(&command)) {
    const auto chain = table.chains.find(flush->name);
    if (chain == table.chains.end()) {
      return errno_error(ENOENT, "chain");
    }
    chain->second.rules = {};
    state.handles[flush->name].clear();
    return std::nullopt;
  }
  if (const auto* add = std::get_if<nft::AddRule>(&command)) {
    const auto chain = table.chains.find(add->chain);
    if (chain == table.chains.end()) {
      return errno_error(ENOENT, "chain");
    }
    const References needs = references(*add->rule);
    const bool complete =
        std::ranges::all_of(needs.sets,
                            [&](const auto& name) { return table.sets.contains(name); }) &&
        std::ranges::all_of(needs.chains,
                            [&](const auto& name) { return table.chains.contains(name); }) &&
        std::ranges::all_of(needs.counters,
                            [&](const auto& name) { return table.counters.contains(name); });
    if (!complete) {
      return errno_error(ENOENT, "what a rule refers to");
    }
    if (!asks_what_sets_hold(table, *add->rule)) {
      return errno_error(EINVAL, "a rule asks a set for what it does not hold");
    }
    auto& handles = state.handles[add->chain];
    const auto place = add->before ? std::ranges::find(handles, *add->before) : handles.end();
    if (add->before && place == handles.end()) {
      return errno_error(ENOENT, "rule");
    }
    auto& rules = chain->second.rules.edit();
    rules.insert(rules.begin() + (place - handles.begin()), *add->rule);
    handles.insert(place, nft::RuleHandle(state.next_handle++));
    return std::nullopt;
  }
  const auto& remove = std::get<nft::DeleteRule>(command);
  auto& handles = state.handles[remove.chain];
  const auto place = std::ranges::find(handles, remove.handle);
  if (place == handles.end()) {
    return errno_error(ENOENT, "rule");
  }
  auto& rules = table.chains.at(remove.chain).rules.edit();
  rules.erase(rules.begin() + (place - handles.begin()));
  handles.erase(place);
  return std::nullopt;
}

Result<void, nft::CommitError> FakeNftKernel::commit(const nft::Transaction& transaction) {
  if (failures.hit()) {
    return fail(nft::CommitError{transaction.size(), errno_error(ENOBUFS, "commit")});
  }
  State state{table_, handles_, next_handle_};
  for (std::size_t i = 0; i < transaction.size(); ++i) {
    if (auto error = apply(transaction[i], state)) {
      return fail(nft::CommitError{i, std::move(*error)});
    }
  }
  table_ = std::move(state.table);
  handles_ = std::move(state.handles);
  next_handle_ = state.next_handle;
  committed.push_back(transaction);
  return {};
}

Result<std::optional<nft::Table>> FakeNftKernel::dump() {
  if (failures.hit()) {
    return fail(errno_error(EINTR, "dump"));
  }
  return table_;
}

Result<std::vector<nft::RuleHandle>> FakeNftKernel::rule_handles(const std::string& chain) {
  if (failures.hit()) {
    return fail(errno_error(EINTR, "rule handles"));
  }
  return handles_[chain];
}

nft::Changes FakeNftKernel::take_changes() {
  return std::exchange(pending_, {});
}

void FakeNftKernel::tamper(std::optional<nft::Table> table) {
  table_ = std::move(table);
  handles_.clear();
  if (table_) {
    for (const auto& [name, chain] : table_->chains) {
      for (std::size_t i = 0; i < chain.rules.size(); ++i) {
        handles_[name].emplace_back(next_handle_++);
      }
    }
  }
  pending_.foreign = true;
}

Result<std::vector<LinkState>> FakeLinkKernel::links() {
  if (failures.hit()) {
    return fail(errno_error(EINTR, "links"));
  }
  std::vector<LinkState> out;
  for (const auto& [index, link] : links_) {
    out.push_back(link);
  }
  return out;
}

Result<LinkState> FakeLinkKernel::link(const IfName& name) {
  for (const auto& [index, link] : links_) {
    if (link.name == name.str()) {
      return link;
    }
  }
  return fail(errno_error(ENODEV, "link"));
}

Result<IfIndex> FakeLinkKernel::create_veth(const VethSpec& veth) {
  if (failures.hit()) {
    return fail(errno_error(EEXIST, "create veth"));
  }
  return add_link(veth.host_name.str()).index;
}

Result<void> FakeLinkKernel::set_up(IfIndex link) {
  links_.at(link.value()).up = true;
  return {};
}

Result<void> FakeLinkKernel::remove(std::span<const IfIndex> links) {
  if (failures.hit()) {
    return fail(errno_error(EBUSY, "remove links"));
  }
  for (const IfIndex index : links) {
    links_.erase(index.value());
  }
  return {};
}

Result<void> FakeLinkKernel::configure(IfIndex /*link*/, const DeviceConfig& /*config*/) {
  return {};
}

Result<void> FakeLinkKernel::add_addresses(std::span<const AddressSpec> addresses) {
  addresses_.insert(addresses_.end(), addresses.begin(), addresses.end());
  return {};
}

Result<void> FakeLinkKernel::set_neighbours(std::span<const NeighbourSpec> /*neighbours*/) {
  return {};
}

Result<std::vector<AddressSpec>> FakeLinkKernel::addresses() {
  return addresses_;
}

LinkState FakeLinkKernel::add_link(const std::string& name, const std::string& kind) {
  LinkState link;
  link.index = IfIndex(next_index_++);
  link.name = name;
  link.kind = kind;
  link.up = true;
  link.carrier = true;
  links_.emplace(link.index.value(), link);
  return link;
}

void FakeLinkKernel::remove_link(const std::string& name) {
  std::erase_if(links_, [&name](const auto& entry) { return entry.second.name == name; });
}

std::vector<Result<void>> FakeRouteKernel::apply(std::span<const RouteChange> changes) {
  std::vector<Result<void>> outcomes;
  for (const RouteChange& change : changes) {
    ++writes;
    const auto existing = routes.find(change.route.key);
    if (failures.hit()) {
      outcomes.emplace_back(fail(errno_error(ENETUNREACH, "route")));
    } else if (change.action == RouteAction::kRemove) {
      const bool ours =
          existing != routes.end() && existing->second.protocol == change.route.protocol;
      if (ours) {
        routes.erase(existing);
        outcomes.emplace_back();
      } else {
        outcomes.emplace_back(fail(errno_error(ESRCH, "route")));
      }
    } else if (change.action == RouteAction::kCreate && existing != routes.end()) {
      outcomes.emplace_back(fail(errno_error(EEXIST, "route")));
    } else {
      routes.insert_or_assign(change.route.key, canonical(change.route));
      outcomes.emplace_back();
    }
  }
  return outcomes;
}

Result<std::vector<RouteSpec>> FakeRouteKernel::dump(RouteProtocol protocol) {
  if (failures.hit()) {
    return fail(errno_error(EINTR, "dump routes"));
  }
  std::vector<RouteSpec> out;
  for (const auto& [key, route] : routes) {
    if (route.protocol == protocol) {
      out.push_back(route);
    }
  }
  return out;
}

Result<NextHop> FakeRouteKernel::lookup(const IpAddr& /*destination*/) {
  return fail(errno_error(ENETUNREACH, "lookup"));
}

}  // namespace margay::test
