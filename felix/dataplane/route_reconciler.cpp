#include "felix/dataplane/route_reconciler.h"

#include <algorithm>
#include <utility>

namespace margay::felix {

namespace {

// The interface is not named: left to the gateway, or known by its number alone.
bool needs_gateway(const RouteSpec& route) {
  return std::ranges::any_of(route.next_hops,
                             [](const NextHop& hop) { return hop.gateway && hop.name.empty(); });
}

}  // namespace

RouteReconciler::RouteReconciler(RouteKernel& routes, LinkKernel& links, Options options)
    : routes_(routes), links_(links), options_(std::move(options)) {}

void RouteReconciler::set_desired(const RouteSpec& route) {
  remove_desired(route.key);
  withdrawn_.erase(route.key);
  const RouteSpec& wanted = wanted_.insert_or_assign(route.key, route).first->second;
  for (const NextHop& hop : route.next_hops) {
    if (!hop.name.empty()) {
      keys_by_link_[hop.name].insert(route.key);
    }
  }
  keys_by_gateway_ += needs_gateway(route) ? 1U : 0U;
  refresh(route.key, &wanted);
}

void RouteReconciler::remove_desired(const RouteKey& key) {
  const auto wanted = wanted_.find(key);
  if (wanted == wanted_.end()) {
    return;
  }
  if (!in_sync_) {
    withdrawn_.insert(key);
  }
  for (const NextHop& hop : wanted->second.next_hops) {
    const auto keys = keys_by_link_.find(hop.name);
    if (keys != keys_by_link_.end()) {
      keys->second.erase(key);
      if (keys->second.empty()) {
        keys_by_link_.erase(keys);
      }
    }
  }
  keys_by_gateway_ -= needs_gateway(wanted->second) ? 1U : 0U;
  wanted_.erase(wanted);
  retries_.erase(key);
  tracker_.remove_desired(key);
  set_waiting(key, false);
}

void RouteReconciler::set_waiting(const RouteKey& key, bool waits) {
  const bool changed = waits ? waiting_.insert(key).second : waiting_.erase(key) == 1;
  waiting_version_ += changed ? 1U : 0U;
}

bool RouteReconciler::owns(const RouteSpec& route) const {
  return std::ranges::find(options_.protocols, route.protocol) != options_.protocols.end();
}

std::optional<RouteSpec> RouteReconciler::resolve(const RouteSpec& route) const {
  RouteSpec resolved = route;
  for (NextHop& hop : resolved.next_hops) {
    if (hop.name.empty()) {
      continue;
    }
    const auto link = links_by_name_.find(hop.name);
    if (link == links_by_name_.end() || !link->second.up) {
      return std::nullopt;
    }
    hop.ifindex = link->second.index;
    hop.name.clear();
  }
  return canonical(std::move(resolved));
}

void RouteReconciler::refresh(const RouteKey& key) {
  const auto wanted = wanted_.find(key);
  refresh(key, wanted == wanted_.end() ? nullptr : &wanted->second);
}

void RouteReconciler::refresh(const RouteKey& key, const RouteSpec* wanted) {
  auto resolved = wanted == nullptr ? std::nullopt : resolve(*wanted);
  const bool waits = wanted != nullptr && !resolved;
  if (resolved) {
    tracker_.set_desired(key, std::move(*resolved));
  } else {
    tracker_.remove_desired(key);
  }
  set_waiting(key, waits);
}

// The kernel names the interface of every next hop. Where the wish leaves it to the gateway, so
// does our view of it.
RouteSpec RouteReconciler::as_wished(RouteSpec observed) const {
  observed = canonical(std::move(observed));
  const auto wanted = wanted_.find(observed.key);
  if (wanted == wanted_.end()) {
    return observed;
  }
  for (NextHop& hop : observed.next_hops) {
    const bool free = std::ranges::any_of(wanted->second.next_hops, [&hop](const NextHop& wish) {
      return wish.gateway && wish.gateway == hop.gateway && wish.name.empty() &&
             wish.ifindex.value() == 0;
    });
    if (free) {
      hop.ifindex = IfIndex();
    }
  }
  return canonical(std::move(observed));
}

Result<void> RouteReconciler::read_back() {
  const auto links = links_.links();
  if (!links) {
    return fail(links.error(), "list links");
  }
  links_by_name_.clear();
  for (const LinkState& link : *links) {
    links_by_name_.insert_or_assign(link.name, link);
  }
  std::map<RouteKey, RouteSpec> observed;
  for (const RouteProtocol protocol : options_.protocols) {
    auto routes = routes_.dump(protocol);
    if (!routes) {
      return fail(routes.error(), "list routes of protocol {}", protocol.value());
    }
    for (RouteSpec& route : *routes) {
      RouteSpec seen = as_wished(std::move(route));
      observed.insert_or_assign(seen.key, seen);
    }
  }
  tracker_.replace_observed(std::move(observed));
  for (const auto& [key, route] : wanted_) {
    refresh(key, &route);
  }
  observed_valid_ = true;
  return {};
}

// Whether the kernel may have dropped routes of ours with the link. Those that only name a gateway
// can be on any link but that of an endpoint.
bool RouteReconciler::may_carry(const std::string& link) const {
  if (keys_by_link_.contains(link)) {
    return true;
  }
  const bool endpoint =
      !options_.endpoint_prefix.empty() && link.starts_with(options_.endpoint_prefix);
  return !endpoint && keys_by_gateway_ != 0;
}

// What failed for want of a way may work now.
bool RouteReconciler::retry_now() {
  return std::erase_if(retries_, [](const auto& entry) { return !entry.second.conflict; }) != 0;
}

// A renamed link leaves its old name, and the routes of that name leave the link: policy knows
// interfaces by name, and what lies behind another name has none.
bool RouteReconciler::leave_old_name(const LinkState& link) {
  const auto old = std::ranges::find_if(links_by_name_, [&link](const auto& entry) {
    return entry.second.index == link.index && entry.first != link.name;
  });
  if (old == links_by_name_.end()) {
    return false;
  }
  const std::string name = old->first;
  links_by_name_.erase(old);
  const auto keys = keys_by_link_.find(name);
  if (keys == keys_by_link_.end()) {
    return false;
  }
  for (const RouteKey& key : keys->second) {
    refresh(key);
  }
  return true;
}

bool RouteReconciler::on_link(const LinkState& link) {
  const bool renamed = leave_old_name(link);
  return take_link(link) || renamed;
}

// Its state under the name that it has; true when there is work.
bool RouteReconciler::take_link(const LinkState& link) {
  const auto before = links_by_name_.find(link.name);
  const bool was_there = before != links_by_name_.end() && before->second.index == link.index;
  const bool was_up = was_there && before->second.up;
  links_by_name_.insert_or_assign(link.name, link);
  if (was_there && was_up == link.up) {
    return false;
  }
  if (!link.up) {
    if (!was_up || !may_carry(link.name)) {
      return false;
    }
    observed_valid_ = false;  // the kernel dropped the link's routes, IPv4 ones without telling
    return true;
  }
  const bool retried = retry_now();
  const auto keys = keys_by_link_.find(link.name);
  if (keys == keys_by_link_.end()) {
    return retried;
  }
  for (const RouteKey& key : keys->second) {
    retries_.erase(key);
    refresh(key);
  }
  return true;
}

bool RouteReconciler::on_link_removed(const LinkRemoved& link) {
  std::erase_if(links_by_name_,
                [&link](const auto& entry) { return entry.second.index == link.index; });
  if (!may_carry(link.name)) {
    return false;
  }
  observed_valid_ = false;
  return true;
}

bool RouteReconciler::on_address(const AddressChanged& event) {
  if (!event.removed) {
    return retry_now();
  }
  const auto link = std::ranges::find_if(links_by_name_, [&event](const auto& entry) {
    return entry.second.index == event.address.link;
  });
  if (link != links_by_name_.end() && !may_carry(link->first)) {
    return false;
  }
  observed_valid_ = false;  // routes with it as their source went silently
  return true;
}

bool RouteReconciler::on_event(const KernelEvent& event) {
  if (!observed_valid_) {
    return true;  // everything will be read anyway
  }
  if (const auto* link = std::get_if<LinkChanged>(&event)) {
    return on_link(link->link);
  }
  if (const auto* removed = std::get_if<LinkRemoved>(&event)) {
    return on_link_removed(*removed);
  }
  if (const auto* address = std::get_if<AddressChanged>(&event)) {
    return on_address(*address);
  }
  if (const auto* changed = std::get_if<RouteChanged>(&event)) {
    const RouteSpec route = as_wished(changed->route);
    const RouteSpec* known = tracker_.find_observed(route.key);
    if (owns(route) ? known != nullptr && *known == route
                    : known == nullptr || !changed->replaced) {
      return false;  // an echo of our own change, or none of our business
    }
  } else if (const auto* gone = std::get_if<RouteRemoved>(&event)) {
    const RouteSpec* known = tracker_.find_observed(gone->route.key);
    const bool ours = owns(gone->route) && known != nullptr;
    // A foreign route that left may have been in the way of ours.
    const auto retry = retries_.find(gone->route.key);
    if (!ours && retry != retries_.end()) {
      retries_.erase(retry);
      return true;
    }
    if (!ours) {
      return false;
    }
  }
  // What contradicts our view, next hop objects, lost events: read the kernel again. Events of our
  // own changes may still be queued behind newer ones, so single events are never trusted against
  // the view.
  observed_valid_ = false;
  return true;
}

std::vector<RouteChange> RouteReconciler::plan(TimePoint now) const {
  std::vector<RouteChange> changes;
  for (const RouteKey& key : tracker_.to_delete()) {
    const auto retry = retries_.find(key);
    const bool due = retry == retries_.end() || retry->second.at <= now;
    if (due && (in_sync_ || withdrawn_.contains(key))) {
      changes.push_back({RouteAction::kRemove, *tracker_.find_observed(key)});
    }
  }
  for (auto& [key, route] : tracker_.to_set()) {
    const auto retry = retries_.find(key);
    if (retry == retries_.end() || retry->second.at <= now) {
      const bool exists = tracker_.find_observed(key) != nullptr;
      changes.push_back({exists ? RouteAction::kReplace : RouteAction::kCreate, std::move(route)});
    }
  }
  return changes;
}

void RouteReconciler::take_outcome(const RouteChange& change,
                                   const Result<void>& outcome,
                                   TimePoint now,
                                   ApplyReport& report) {
  const RouteKey& key = change.route.key;
  const bool remove = change.action == RouteAction::kRemove;
  if (outcome || (remove && outcome.error().code == Errc::kNotFound)) {
    if (remove) {
      tracker_.remove_observed(key);
    } else {
      tracker_.set_observed(key, change.route);
    }
    retries_.erase(key);
    report.changes += outcome ? 1U : 0U;
    return;
  }
  Retry& retry = retries_[key];
  retry.conflict = outcome.error().code == Errc::kExists;
  retry.at = now + retry.backoff.next();
  std::string what = (remove ? "remove route " : "route ") + change.route.str();
  if (retry.conflict) {
    what += ": a route of another owner is in the way";
  }
  report.failures.push_back({std::move(what), outcome.error()});
}

// Takes away what is in the way and gives way, and tries those routes again. The removal names the
// protocol, so the kernel leaves routes of others alone.
void RouteReconciler::overrule(std::span<const RouteChange> changes,
                               std::vector<Result<void>>& outcomes) {
  for (std::size_t i = 0; i < changes.size() && !options_.overrules.empty(); ++i) {
    if (outcomes[i] || outcomes[i].error().code != Errc::kExists) {
      continue;
    }
    std::vector<RouteChange> again;
    again.reserve(options_.overrules.size() + 1);
    for (const RouteProtocol protocol : options_.overrules) {
      again.push_back({RouteAction::kRemove, {.key = changes[i].route.key, .protocol = protocol}});
    }
    again.push_back(changes[i]);
    outcomes[i] = std::move(routes_.apply(again).back());
  }
}

ApplyReport RouteReconciler::apply(TimePoint now) {
  ApplyReport report;
  if (!observed_valid_) {
    if (auto read = read_back(); !read) {
      report.failures.push_back({"read routes", read.error()});
      report.retry_after = std::chrono::milliseconds(100);
      return report;
    }
  }
  // What failed and is as desired by now is no work any more.
  std::erase_if(retries_,
                [this](const auto& entry) { return !tracker_.pending().contains(entry.first); });
  const std::vector<RouteChange> changes = plan(now);
  for (std::size_t first = 0; first < changes.size(); first += options_.batch) {
    const auto batch =
        std::span(changes).subspan(first, std::min(options_.batch, changes.size() - first));
    auto outcomes = routes_.apply(batch);
    overrule(batch, outcomes);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      take_outcome(batch[i], outcomes[i], now, report);
    }
  }
  for (const auto& [key, retry] : retries_) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(std::max(retry.at - now, Duration::zero()));
    report.retry_after = std::min(report.retry_after.value_or(left), left);
  }
  return report;
}

std::vector<RouteKey> RouteReconciler::conflicts() const {
  std::vector<RouteKey> keys;
  for (const auto& [key, retry] : retries_) {
    if (retry.conflict) {
      keys.push_back(key);
    }
  }
  return keys;
}

std::vector<RouteSpec> RouteReconciler::waiting() const {
  std::vector<RouteSpec> out;
  out.reserve(waiting_.size());
  for (const RouteKey& key : waiting_) {
    out.push_back(wanted_.at(key));
  }
  return out;
}

std::vector<RouteKey> RouteReconciler::missing() const {
  std::vector<RouteKey> keys(waiting_.begin(), waiting_.end());
  for (const RouteKey& key : tracker_.pending()) {
    if (tracker_.find_desired(key) != nullptr) {
      keys.push_back(key);
    }
  }
  return keys;
}

bool RouteReconciler::is_installed(const RouteKey& key) const {
  const RouteSpec* want = tracker_.find_desired(key);
  const RouteSpec* have = tracker_.find_observed(key);
  return want != nullptr && have != nullptr && *want == *have;
}

}  // namespace margay::felix
