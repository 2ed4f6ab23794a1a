#include "bgp/bird/peer_book.h"

#include <algorithm>

namespace margay::bgp::bird {

void PeerBook::configure(const SpeakerConfig& config, const Rendered& rendered) {
  peers_ = config.peers;
  std::ranges::sort(peers_, {}, &PeerConfig::name);
  protocols_ = rendered.protocols;
  refused_ = rendered.refused;
  std::erase_if(known_, [this](const auto& entry) {
    return std::ranges::find(peers_, entry.first, &PeerConfig::name) == peers_.end();
  });
}

std::vector<SpeakerEvent> PeerBook::on_sessions(const std::vector<Session>& sessions,
                                                bool recovering) {
  recovering_ = recovering;
  std::vector<SpeakerEvent> events;
  for (const Session& session : sessions) {
    const auto name = protocols_.find(session.protocol);
    if (name != protocols_.end()) {
      take(name->second, session, events);
    }
  }
  return events;
}

void PeerBook::take(const std::string& peer,
                    const Session& session,
                    std::vector<SpeakerEvent>& events) {
  Known& known = known_[peer];
  const bool was_up = known.session.state == PeerState::kEstablished;
  const bool is_up = session.state == PeerState::kEstablished;
  const bool another = was_up && is_up && session.since != known.session.since;
  if (!session.last_error.empty()) {
    known.last_error = session.last_error;
  }
  if (was_up && (!is_up || another)) {
    ++known.flaps;
    events.emplace_back(PeerDown{peer, session.last_error});
  }
  if (is_up && (!was_up || another)) {
    events.emplace_back(PeerUp{peer});
  }
  known.session = session;
}

std::vector<SpeakerEvent> PeerBook::on_end(std::chrono::system_clock::time_point now) {
  std::vector<SpeakerEvent> events;
  for (auto& [peer, known] : known_) {
    if (known.session.state == PeerState::kEstablished) {
      ++known.flaps;
      known.last_error = "BIRD ended";
      events.emplace_back(PeerDown{peer, known.last_error});
    }
    if (known.session.state != PeerState::kIdle) {
      known.session = Session{};
      known.session.since = now;
    }
  }
  bfd_.clear();
  return events;
}

const PeerConfig* PeerBook::find(const std::string& text) const {
  const auto found = std::ranges::find_if(peers_, [&text](const PeerConfig& peer) {
    return peer.name == text || peer.address.str() == text;
  });
  return found == peers_.end() ? nullptr : &*found;
}

PeerStatus PeerBook::status(const PeerConfig& peer) const {
  PeerStatus out;
  out.config = peer;
  if (const auto known = known_.find(peer.name); known != known_.end()) {
    const Session& session = known->second.session;
    out.state = session.state;
    out.since = session.since;
    out.flaps = known->second.flaps;
    out.last_error = known->second.last_error;
    out.counts = session.counts;
    out.hold_time = session.hold_time;
    out.capabilities = session.capabilities;
    out.router_id = session.router_id;
    out.local_address = session.local_address;
    out.end_of_rib = session.state == PeerState::kEstablished && !recovering_;
  }
  const auto refused = refused_.find(peer.name);
  if (!peer.held.empty() || refused != refused_.end()) {
    out.state = PeerState::kIdle;
    out.counts = {};
    out.last_error = peer.held.empty() ? refused->second : peer.held;
  }
  if (peer.bfd) {
    const auto bfd = bfd_.find(peer.address.str());
    out.bfd = bfd == bfd_.end() ? "Down" : bfd->second;
  }
  return out;
}

std::vector<PeerStatus> PeerBook::statuses() const {
  std::vector<PeerStatus> out;
  for (const PeerConfig& peer : peers_) {
    out.push_back(status(peer));
  }
  return out;
}

PathSources PeerBook::sources() const {
  PathSources out;
  for (const PeerConfig& peer : peers_) {
    const auto known = known_.find(peer.name);
    out.emplace(protocol_name(peer.name),
                PathSource{id_of(peer),
                           peer.asn != peer.local_asn,
                           known == known_.end() ? RouterId() : known->second.session.router_id,
                           peer.address});
  }
  return out;
}

std::vector<std::pair<PeerId, std::string>> PeerBook::names() const {
  std::vector<std::pair<PeerId, std::string>> out;
  for (const PeerConfig& peer : peers_) {
    out.emplace_back(id_of(peer), peer.name);
  }
  return out;
}

bool PeerBook::any_bfd() const {
  return std::ranges::any_of(peers_, [](const PeerConfig& peer) { return peer.bfd.has_value(); });
}

bool PeerBook::bfd_by_networks() const {
  return std::ranges::any_of(
      peers_, [](const PeerConfig& peer) { return peer.bfd && !peer.bfd->multihop; });
}

PeerId PeerBook::id_of(const PeerConfig& peer) const {
  const auto place = std::ranges::find(peers_, peer.name, &PeerConfig::name);
  return PeerId(static_cast<std::uint16_t>(place - peers_.begin() + 1));
}

}  // namespace margay::bgp::bird
