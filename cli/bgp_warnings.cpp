#include "cli/bgp_warnings.h"

#include "felix/calc/bgp_inputs.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

namespace margay::cli {

namespace {

// A mesh has a session for each pair of nodes: of more nodes the first ones by name stand for all.
constexpr std::size_t kMostNodes = 300;

constexpr api::Kind kKinds[] = {api::Kind::kNode,
                                api::Kind::kBGPPeer,
                                api::Kind::kBGPConfiguration,
                                api::Kind::kBGPFilter,
                                api::Kind::kSecret};

// Those of kKinds that decide which sessions there are.
bool decides_sessions(api::Kind kind) {
  return kind == api::Kind::kNode || kind == api::Kind::kBGPPeer ||
         kind == api::Kind::kBGPConfiguration;
}

using Objects = std::map<api::ResourceKey, std::shared_ptr<const api::Resource>>;

struct Sessions {
  std::set<std::pair<std::string, IpAddr>> ends;  // node and peer, however it came to it
  std::set<std::string> origins;                  // BGPPeers that led to one, "mesh"
};

Result<Objects> read_objects(datastore::Store& store) {
  Objects objects;
  for (const api::Kind kind : kKinds) {
    const auto listing = store.list({.kind = kind, .ns = {}});
    if (!listing) {
      return fail(listing.error());
    }
    for (const datastore::Object& object : listing->objects) {
      if (object.resource) {
        objects.insert_or_assign(object.key, object.resource);
      }
    }
  }
  return objects;
}

Sessions sessions_of(const Objects& objects) {
  felix::BgpState state;
  std::vector<NodeName> nodes;
  for (const auto& [key, resource] : objects) {
    state.set(*resource);
    const auto name = NodeName::parse(key.name);
    if (key.kind == api::Kind::kNode && name && nodes.size() < kMostNodes) {
      nodes.push_back(*name);
    }
  }
  Sessions sessions;
  for (const NodeName& node : nodes) {
    for (const felix::BgpPeerInput& peer : state.compute(node, {}).peers) {
      sessions.ends.emplace(node.str(), peer.address);
      sessions.origins.insert(peer.origin);
    }
  }
  return sessions;
}

std::string no_session(const std::string& peer) {
  return fmt::format(
      "BGPPeer {} leads to no session: its node, nodeSelector or peerSelector matches no node",
      peer);
}

}  // namespace

Result<std::vector<std::string>> bgp_warnings(datastore::Store& store,
                                              const std::vector<datastore::PlannedEdit>& edits) {
  std::vector<std::string> warnings;
  if (std::ranges::none_of(edits,
                           [](const auto& edit) { return decides_sessions(edit.key.kind); })) {
    return warnings;
  }
  const auto before = read_objects(store);
  if (!before) {
    return fail(before.error());
  }
  Objects after = *before;
  for (const datastore::PlannedEdit& edit : edits) {
    if (std::ranges::find(kKinds, edit.key.kind) == std::end(kKinds)) {
      continue;
    }
    if (edit.after) {
      after.insert_or_assign(edit.key, edit.after);
    } else {
      after.erase(edit.key);
    }
  }
  if (std::ranges::none_of(
          after, [](const auto& entry) { return entry.first.kind == api::Kind::kNode; })) {
    return warnings;
  }
  const Sessions had = sessions_of(*before);
  const Sessions has = sessions_of(after);
  for (const datastore::PlannedEdit& edit : edits) {
    if (edit.key.kind == api::Kind::kBGPPeer && edit.after &&
        !has.origins.contains(edit.key.name)) {
      warnings.push_back(no_session(edit.key.name));
    }
  }
  const auto lost = static_cast<std::size_t>(std::ranges::count_if(
      had.ends, [&has](const auto& session) { return !has.ends.contains(session); }));
  if (lost * 2 > had.ends.size()) {
    warnings.push_back(fmt::format("this ends {} of {} BGP sessions", lost, had.ends.size()));
  }
  return warnings;
}

}  // namespace margay::cli
