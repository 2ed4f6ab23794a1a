#include "felix/render/net_set.h"

#include <iterator>

namespace margay::felix {

namespace {

// The network of the set that holds this one, itself included.
const Prefix* holder(const std::set<Prefix>& outermost, const Prefix& net) {
  const auto after = outermost.upper_bound(net);
  if (after == outermost.begin()) {
    return nullptr;
  }
  const auto before = std::prev(after);
  return before->contains(net) ? &*before : nullptr;
}

}  // namespace

std::vector<Prefix> NetSet::inside(const std::set<Prefix>& nets, const Prefix& net) const {
  std::vector<Prefix> out;
  for (auto at = nets.upper_bound(net); at != nets.end() && net.contains(*at); ++at) {
    out.push_back(*at);
  }
  return out;
}

NetSet::Change NetSet::insert(const Prefix& net) {
  Change change;
  if (!all_.insert(net).second || holder(outermost_, net) != nullptr) {
    return change;
  }
  change.remove = inside(outermost_, net);
  for (const Prefix& covered : change.remove) {
    outermost_.erase(covered);
  }
  outermost_.insert(net);
  change.add.push_back(net);
  return change;
}

NetSet::Change NetSet::erase(const Prefix& net) {
  Change change;
  if (all_.erase(net) == 0 || outermost_.erase(net) == 0) {
    return change;
  }
  change.remove.push_back(net);
  for (const Prefix& uncovered : inside(all_, net)) {
    if (holder(outermost_, uncovered) == nullptr) {
      outermost_.insert(uncovered);
      change.add.push_back(uncovered);
    }
  }
  return change;
}

}  // namespace margay::felix
