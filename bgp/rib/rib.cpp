#include "bgp/rib/rib.h"

#include "base/assert.h"
#include "bgp/rib/only_to_customer.h"
#include "bgp/rib/rib_state.h"

#include <algorithm>
#include <utility>

namespace margay::bgp {

namespace {

// Attributes longer than this are read each time they come.
constexpr std::size_t kMaxReceivedKey = 1024;

// The bytes that decide what the attributes are, and what else decides it (bgp/wire/update.h).
void write_key(std::uint32_t session, const UpdateParts& parts, std::vector<std::uint8_t>& key) {
  key.clear();
  const auto number = [&key](std::uint64_t value) {
    constexpr unsigned kByte = 8;
    for (unsigned at = 0; at < sizeof(value); ++at) {
      key.push_back(static_cast<std::uint8_t>(value >> (kByte * at)));
    }
  };
  number(session);
  number(parts.key_shape());
  for (const Bytes piece : parts.key_pieces) {
    number(piece.size());
    key.insert(key.end(), piece.begin(), piece.end());
  }
}

// One set for all prefixes: what the bytes stand for can be remembered.
bool has_one_set(const UpdateParts& parts, const UpdateNlri& nlri) {
  return !parts.truncated && nlri.announced.empty() != nlri.reachable.empty() &&
         parts.attributes.size() <= kMaxReceivedKey;
}

}  // namespace

std::string_view to_string(Rejection rejection) {
  switch (rejection) {
    case Rejection::kNone:
      return "";
    case Rejection::kOwnAs:
      return "our own AS is in the AS path";
    case Rejection::kOriginator:
      return "we are its originator";
    case Rejection::kClusterLoop:
      return "our cluster is in the cluster list";
    case Rejection::kLeak:
      return "a route leak: only for customers, by its ONLY_TO_CUSTOMER";
    case Rejection::kFilter:
      return "rejected by the import filter";
  }
  return "";
}

Rib::Rib(const RibOptions& options) : state_(std::make_unique<State>(options)) {}

Rib::~Rib() = default;

void Rib::peer_up(const RibPeer& config) {
  const std::size_t number = config.id.value();
  MARGAY_ASSERT(number != 0);
  if (state_->peers.size() <= number) {
    state_->peers.resize(number + 1);
  }
  std::unique_ptr<TablePeer>& peer = state_->peers[number];
  MARGAY_ASSERT(!peer || peer->group == nullptr);
  if (!peer) {
    peer = std::make_unique<TablePeer>();
  }
  peer->config = config;
  peer->session = ++state_->sessions;
  peer->told_before.clear();
  peer->full_ipv4 = config.codec.ipv4.enabled;
  peer->full_ipv6 = config.codec.ipv6.enabled;
  peer->end_owed_ipv4 = false;
  peer->end_owed_ipv6 = false;
  state_->join(*peer);
}

void Rib::refresh(PeerId id, Family family) {
  TablePeer& peer = state_->peer(id);
  peer.full(family) = peer.config.codec.of(family).enabled;
}

Result<UpdateReport, Notification> Rib::update(PeerId id, Bytes body) {
  State& state = *state_;
  TablePeer& peer = state.peer(id);
  const CodecContext& codec = peer.config.codec;
  const auto parts = split_update(body);
  if (!parts) {
    return fail(parts.error());
  }
  if (auto read = read_nlri(*parts, codec, state.update_nlri); !read) {
    return fail(read.error());
  }
  UpdateReport report;
  if (const auto end = parts->end_of_rib()) {
    const auto family = unicast_family(*end);
    if (family && codec.of(*family).enabled) {
      report.end_of_rib = end;
    }
  }
  if (!state.apply_known(peer, *parts, report)) {
    auto decoded = decode_update(*parts, state.update_nlri, codec);
    if (!decoded) {
      return fail(decoded.error());
    }
    state.apply(peer, *decoded, has_one_set(*parts, state.update_nlri), report);
  }
  for (const AttributeNote& note : report.notes) {
    report.outcome = std::max(report.outcome.value_or(note.outcome), note.outcome);
  }
  if (peer.received() - peer.stale > peer.config.max_prefixes) {
    return fail(Notification::cease(CeaseError::kMaximumPrefixes));
  }
  if (state.table.full()) {
    return fail(Notification::cease(CeaseError::kOutOfResources));
  }
  return report;
}

bool Rib::State::apply_known(TablePeer& peer, const UpdateParts& parts, UpdateReport& report) {
  const PeerId id = peer.config.id;
  const UpdateNlri& fields = update_nlri;
  AttributePool::Id set = AttributePool::kNone;
  if (parts.has_attributes || !fields.announced.empty()) {
    if (!has_one_set(parts, fields)) {
      return false;
    }
    write_key(peer.session, parts, received_key);
    set = pool.find_received(received_key);
    if (set == AttributePool::kNone) {
      return false;
    }
  }
  withdraw(id, fields.withdrawn, report);
  withdraw(id, fields.unreachable, report);
  if (set == AttributePool::kNone) {
    return true;
  }
  const Rejection loop = loop_of(set, peer.config);
  bool martians = false;
  for (const Nlri& one : fields.announced.empty() ? fields.reachable : fields.announced) {
    if (is_martian(one.prefix)) {
      martians = true;
      continue;
    }
    admit(peer.config, one, set, loop);
    ++report.announced;
  }
  if (martians) {
    report.notes.push_back(kMartianNote);
  }
  pool.release(set);
  return true;
}

void Rib::State::apply(TablePeer& peer, Update& update, bool remember, UpdateReport& report) {
  report.notes = std::move(update.notes);
  withdraw(peer.config.id, update.withdrawn, report);
  for (Announcement& announcement : update.announced) {
    AttributeSet& attributes = announcement.attributes;
    if (!peer.config.codec.internal && attributes.has(kGracefulShutdown)) {
      attributes.local_pref = 0;  // RFC 8326 section 4.2: others first
    }
    if (peer.config.role) {
      mark_received(attributes, *peer.config.role, peer.config.codec.peer_asn);
    }
    const AttributePool::Id set = pool.intern(std::move(attributes));
    if (remember && report.notes.empty()) {
      pool.remember_received(set, received_key);
    }
    const Rejection loop = loop_of(set, peer.config);
    for (const Nlri& one : announcement.prefixes) {
      admit(peer.config, one, set, loop);
    }
    pool.release(set);
    report.announced += static_cast<std::uint32_t>(announcement.prefixes.size());
  }
}

void Rib::State::withdraw(PeerId id, std::span<const Nlri> prefixes, UpdateReport& report) {
  for (const Nlri& one : prefixes) {
    report.withdrawn += remove_path(id, one) ? 1U : 0U;
  }
}

void Rib::originate(const Prefix& prefix, AttributeSet attributes) {
  const AttributePool::Id set = state_->pool.intern(std::move(attributes));
  state_->add_path(kLocalPeer, Nlri{prefix, 0}, {set, set, Rejection::kNone});
  state_->pool.release(set);
}

void Rib::withdraw(const Prefix& prefix) {
  state_->remove_path(kLocalPeer, Nlri{prefix, 0});
}

void Rib::change_filters(PeerId id, PeerFilters filters) {
  TablePeer& peer = state_->peer(id);
  const bool other_import = filters.import_v4 != peer.config.filters.import_v4 ||
                            filters.import_v6 != peer.config.filters.import_v6;
  peer.config.filters = std::move(filters);
  if (other_import) {
    state_->judge_again(peer.config);
  }
  if (peer.group == nullptr || peer.group->target == export_target(peer.config)) {
    return;
  }
  state_->table.for_each([&](std::uint32_t slot) {
    state_->for_each_told(peer, slot, [&](std::uint32_t path_id) {
      peer.told_before.push_back(Nlri{state_->table.prefix(slot), path_id});
    });
  });
  state_->leave(peer);
  state_->join(peer);
  peer.full_ipv4 = peer.config.codec.ipv4.enabled;
  peer.full_ipv6 = peer.config.codec.ipv6.enabled;
}

TablePeer& Rib::State::peer(PeerId id) {
  MARGAY_ASSERT(find_peer(id) != nullptr);
  return *peers[id.value()];
}

const TablePeer* Rib::State::find_peer(PeerId id) const {
  return id.value() < peers.size() ? peers[id.value()].get() : nullptr;
}

}  // namespace margay::bgp
