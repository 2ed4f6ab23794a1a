#include "felix/calc/member_index.h"

#include <algorithm>
#include <utility>

namespace margay::felix {

using policy::AddressSet;
using policy::ItemId;
using policy::MatchChange;
using policy::Member;
using policy::SelectorId;

namespace {

bool by_selector(const AddressSet& set) {
  return set.kind == AddressSet::Kind::kSelector || set.kind == AddressSet::Kind::kNamedPort ||
         set.kind == AddressSet::Kind::kNodes;
}

bool holds_name(const AddressSet& set, const std::string& name) {
  return std::ranges::any_of(set.names, [&name](const std::string& pattern) {
    return policy::domain_matches(pattern, name);
  });
}

std::vector<Member> members_of(const MemberSource& source, const AddressSet& set) {
  std::vector<Member> out;
  for (const Prefix& net : source.nets) {
    if (!set.with_ports()) {
      out.push_back({net});
      continue;
    }
    for (const api::EndpointPort& port : source.ports) {
      if ((set.protocol == api::Protocol{0} || port.protocol == set.protocol) &&
          std::ranges::find(set.names, port.name) != set.names.end()) {
        out.push_back({net, port.protocol, port.port});
      }
    }
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace

void MemberIndex::set_source(const api::ResourceKey& key, MemberSource source) {
  const auto existing = sources_.find(key);
  if (existing != sources_.end()) {
    const MemberSource& old = existing->second.value;
    if (old == source) {
      return;
    }
    if (old.nets != source.nets || old.ports != source.ports) {
      remove_source(key);  // what it brought leaves first
    }
  }
  Source& entry = sources_[key];
  if (entry.item == ItemId()) {
    entry.item = ItemId(next_item_++);
    sources_by_item_.emplace(entry.item, &entry);
  }
  entry.value = std::move(source);
  index_of(key).set_item(entry.item, entry.value.labels, entry.value.parents);
  drain();
}

void MemberIndex::remove_source(const api::ResourceKey& key) {
  const auto found = sources_.find(key);
  if (found == sources_.end()) {
    return;
  }
  index_of(key).remove_item(found->second.item);
  drain();
  sources_by_item_.erase(found->second.item);
  sources_.erase(found);
}

void MemberIndex::set_parent(const std::string& name, const api::Labels& labels) {
  labels_.set_parent(name, labels);
  drain();
}

void MemberIndex::remove_parent(const std::string& name) {
  labels_.remove_parent(name);
  drain();
}

void MemberIndex::set_service(const std::string& service, ServiceMembers members) {
  if (members == ServiceMembers()) {
    services_.erase(service);
  } else {
    services_.insert_or_assign(service, std::move(members));
  }
  for (const auto kind : {AddressSet::Kind::kService, AddressSet::Kind::kServiceAddresses}) {
    AddressSet set;
    set.kind = kind;
    set.service = service;
    if (const auto used = used_.find(set); used != used_.end()) {
      replace_service(set, used->second);
    }
  }
}

void MemberIndex::use(const AddressSet& set) {
  Used& used = used_[set];
  if (++used.users == 1) {
    start(set, used);
  }
}

void MemberIndex::start(const AddressSet& set, Used& used) {
  removed_.erase(set);
  dirty_[set];
  if (set.kind == AddressSet::Kind::kDomains) {
    start_domains(set, used);
    return;
  }
  if (!by_selector(set)) {
    replace_service(set, used);
    return;
  }
  used.selector = SelectorId(next_selector_++);
  sets_.emplace(used.selector, set);
  const auto parsed = policy::Selector::parse(set.selector);
  MARGAY_ASSERT(parsed.has_value());  // canonical text of a compiled selector
  index_of(set).set_selector(used.selector, *parsed);
  drain();
}

void MemberIndex::start_domains(const AddressSet& set, Used& used) {
  domain_sets_.insert(set);
  for (const auto& [name, addresses] : domains_) {
    if (holds_name(set, name)) {
      for (const IpAddr& address : addresses) {
        count(set, used, {Prefix::host(address)}, true);
      }
    }
  }
}

bool MemberIndex::wants_domain(const std::string& name) const {
  return std::ranges::any_of(domain_sets_,
                             [&name](const AddressSet& set) { return holds_name(set, name); });
}

void MemberIndex::set_domain(const std::string& name, std::set<IpAddr> addresses) {
  std::set<IpAddr>& known = domains_[name];
  std::vector<IpAddr> gone;
  std::vector<IpAddr> fresh;
  std::ranges::set_difference(known, addresses, std::back_inserter(gone));
  std::ranges::set_difference(addresses, known, std::back_inserter(fresh));
  for (const AddressSet& set : domain_sets_) {
    if (!holds_name(set, name)) {
      continue;
    }
    Used& used = used_.at(set);
    for (const IpAddr& address : gone) {
      count(set, used, {Prefix::host(address)}, false);
    }
    for (const IpAddr& address : fresh) {
      count(set, used, {Prefix::host(address)}, true);
    }
  }
  known = std::move(addresses);
  if (known.empty()) {
    domains_.erase(name);
  }
}

void MemberIndex::release(const AddressSet& set) {
  const auto found = used_.find(set);
  if (--found->second.users > 0) {
    return;
  }
  if (by_selector(set)) {
    sets_.erase(found->second.selector);
    index_of(set).remove_selector(found->second.selector);
    (void)index_of(set).take_changes();
  }
  domain_sets_.erase(set);
  // Should it be used again before this is told, what left it meanwhile must not stay.
  for (const auto& [member, sources] : found->second.members) {
    dirty_[set][member] = false;
  }
  used_.erase(found);
  removed_.insert(set);
}

void MemberIndex::drain() {
  drain(labels_);
  drain(nodes_);
}

void MemberIndex::drain(policy::LabelIndex& index) {
  for (const MatchChange& change : index.take_changes()) {
    const auto set = sets_.find(change.selector);
    if (set == sets_.end()) {
      continue;
    }
    Used& used = used_.at(set->second);
    for (const Member& member : members_of(sources_by_item_.at(change.item)->value, set->second)) {
      count(set->second, used, member, change.matches);
    }
  }
}

void MemberIndex::count(const AddressSet& set, Used& used, const Member& member, bool add) {
  unsigned& sources = used.members[member];
  sources = add ? sources + 1 : sources - 1;
  if (add && sources == 1) {
    dirty_[set][member] = true;
  }
  if (!add && sources == 0) {
    used.members.erase(member);
    dirty_[set][member] = false;
  }
}

void MemberIndex::replace_service(const AddressSet& set, Used& used) {
  const auto found = services_.find(set.service);
  static const std::set<Member> none;
  const std::set<Member>& wanted =
      found == services_.end() ? none
                               : (set.with_ports() ? found->second.ports : found->second.addresses);
  std::vector<Member> gone;
  for (const auto& [member, sources] : used.members) {
    if (!wanted.contains(member)) {
      gone.push_back(member);
    }
  }
  for (const Member& member : gone) {
    count(set, used, member, false);
  }
  for (const Member& member : wanted) {
    if (!used.members.contains(member)) {
      count(set, used, member, true);
    }
  }
}

MemberIndex::Changes MemberIndex::take_changes() {
  Changes changes;
  for (const auto& [set, members] : std::exchange(dirty_, {})) {
    MemberDelta& delta = changes.members[set];
    for (const auto& [member, present] : members) {
      (present ? delta.add : delta.remove).push_back(member);
    }
  }
  changes.removed.assign(removed_.begin(), removed_.end());
  removed_.clear();
  return changes;
}

}  // namespace margay::felix
