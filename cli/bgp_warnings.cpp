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

bool matters(api::Kind kind) {
  return std::ranges::find(kKinds, kind) != std::end(kKinds);
}

using Objects = std::map<api::ResourceKey, std::shared_ptr<const api::Resource>>;

struct Sessions {
  std::set<std::pair<std::string, IpAddr>> ends;  // node and peer, however it came to it
  std::set<std::string> origins;                  // BGPPeers that led to one, "mesh"
  // What they name and is not there, as said to people, and who names it.
  std::set<std::pair<std::string, std::string>> missing;
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

void note_missing(const felix::BgpPeerInput& peer, Sessions& sessions) {
  const std::string who = peer.origin == "mesh" ? "the mesh" : "BGPPeer " + peer.origin;
  for (const felix::BgpFilterInput& filter : peer.filters) {
    if (!filter.filter) {
      sessions.missing.emplace(
          fmt::format("{}: there is no BGPFilter {}: nothing passes either way", who, filter.name),
          peer.origin);
    }
  }
  if (!peer.missing_password.empty()) {
    sessions.missing.emplace(
        fmt::format(
            "{}: the password is missing, its sessions stay down: {}", who, peer.missing_password),
        peer.origin);
  }
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
      note_missing(peer, sessions);
    }
  }
  return sessions;
}

// Whether the edits have the object that led to a session: what is wrong with it is said again.
bool says(const std::vector<datastore::PlannedEdit>& edits, const std::string& origin) {
  return std::ranges::any_of(edits, [&origin](const datastore::PlannedEdit& edit) {
    return edit.after &&
           (origin == "mesh" ? edit.key.kind == api::Kind::kBGPConfiguration
                             : edit.key.kind == api::Kind::kBGPPeer && edit.key.name == origin);
  });
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
  if (std::ranges::none_of(edits, [](const auto& edit) { return matters(edit.key.kind); })) {
    return warnings;
  }
  const auto before = read_objects(store);
  if (!before) {
    return fail(before.error());
  }
  Objects after = *before;
  for (const datastore::PlannedEdit& edit : edits) {
    if (!matters(edit.key.kind)) {
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
  for (const auto& [line, origin] : has.missing) {
    if (!had.missing.contains({line, origin}) || says(edits, origin)) {
      warnings.push_back(line);
    }
  }
  const auto lost = static_cast<std::size_t>(std::ranges::count_if(
      had.ends, [&has](const auto& session) { return !has.ends.contains(session); }));
  if (lost * 2 > had.ends.size()) {
    warnings.push_back(fmt::format("this ends {} of {} BGP sessions", lost, had.ends.size()));
  }
  return warnings;
}

std::size_t print_bgp_warnings(Context& context,
                               datastore::Store& store,
                               const std::vector<datastore::PlannedEdit>& edits) {
  const auto warnings = bgp_warnings(store, edits);
  if (!warnings) {
    return 0;
  }
  for (const std::string& warning : *warnings) {
    context.err() << "margayctl: warning: " << warning << '\n';
  }
  return warnings->size();
}

}  // namespace margay::cli
