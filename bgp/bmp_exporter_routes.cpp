// What a collector is told of sessions and their routes: as they come, and by walks over the table.

#include "bgp/bmp_exporter.h"
#include "bgp/wire/message.h"

#include <boost/asio/post.hpp>

#include <map>
#include <utility>
#include <vector>

namespace margay::bgp {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kWalkPause = 1U << 20U;  // the dump waits while more is not read
constexpr std::uint32_t kPlacesPerTurn = 1024;

std::chrono::microseconds wall_clock() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now().time_since_epoch());
}

}  // namespace

bmp::PeerHeader BmpExporter::header(const MonitoredSession& session,
                                    bool post_policy,
                                    bool now) const {
  return {.address = session.address,
          .asn = session.asn,
          .router_id = session.facts.peer.id,
          .post_policy = post_policy,
          .two_octet_as = !session.facts.codec.four_octet_as,
          .time = now ? wall_clock() : std::chrono::microseconds(0)};
}

void BmpExporter::write_peer_up(const MonitoredSession& session) {
  bmp::PeerHeader peer = header(session, false, true);
  peer.time =
      std::chrono::duration_cast<std::chrono::microseconds>(session.since.time_since_epoch());
  bmp::write_peer_up(pending_,
                     peer,
                     {.local = session.local_address,
                      .local_port = session.local_port,
                      .remote_port = session.remote_port,
                      .sent_open = session.facts.sent_open,
                      .received_open = session.facts.received_open});
  ++messages_;
}

void BmpExporter::on_up(const MonitoredSession& session) {
  if (connection_) {
    write_peer_up(session);
    schedule_flush();
  }
}

void BmpExporter::on_down(const MonitoredSession& session, const bmp::PeerDownReason& reason) {
  if (!connection_) {
    return;
  }
  for (Walk& walk : walks_) {
    walk.peers.erase(session.id);
  }
  bmp::write_peer_down(pending_, header(session, false, true), reason);
  ++messages_;
  schedule_flush();
}

void BmpExporter::on_update(const MonitoredSession& session, Bytes body) {
  if (connection_) {
    bmp::write_route_monitoring(pending_, header(session, false, true), body);
    ++messages_;
    schedule_flush();
  }
}

void BmpExporter::on_updated(const MonitoredSession& session, const UpdateSubject& subject) {
  if (!connection_ || !settings_.post_policy) {
    return;
  }
  std::vector<ToldPath> paths;
  for (const Nlri& nlri : subject.prefixes) {
    ToldPath told{nlri, nullptr};
    monitored_.rib->visit(session.id, nlri, [&told](const StoredPath& path) {
      told.attributes = path.accepted ? path.used : nullptr;
    });
    paths.push_back(told);
  }
  tell(session, true, retell(session.facts.codec, paths), true);
  if (subject.end_of_rib) {
    UpdatePacker packer(session.facts.codec);
    packer.end_of_rib(*subject.end_of_rib);
    tell(session, true, packer.take(), true);
  }
}

void BmpExporter::on_refiltered(const MonitoredSession& session) {
  if (connection_ && settings_.post_policy) {
    walks_.push_back(Walk{.at = 0, .peers = {session.id}, .first = false});
    schedule_walk();
  }
}

void BmpExporter::on_new_table() {
  for (Walk& walk : walks_) {
    walk.peers.clear();
  }
}

// Whole UPDATEs, one after the other.
void BmpExporter::tell(const MonitoredSession& session, bool post_policy, Bytes updates, bool now) {
  const bmp::PeerHeader peer = header(session, post_policy, now);
  while (!updates.empty()) {
    const auto frame = next_frame(updates, true);
    MARGAY_ASSERT(frame && frame->has_value());
    bmp::write_route_monitoring(pending_, peer, (*frame)->body);
    ++messages_;
    updates = updates.subspan((*frame)->size);
  }
  schedule_flush();
}

// NOLINTBEGIN(misc-no-recursion): the loop calls back later, never from within this call
void BmpExporter::schedule_walk() {
  if (walks_.empty() || !connection_ || std::exchange(walk_scheduled_, true)) {
    return;
  }
  asio::post(loop_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->walk_scheduled_ = false;
      self->walk_slice();
    }
  });
}

void BmpExporter::walk_slice() {
  // More than this unread: on_drained goes on.
  if (!connection_ || walks_.empty() || connection_->queued() > kWalkPause) {
    return;
  }
  Walk& walk = walks_.front();
  std::map<PeerId, std::vector<ToldPath>> received;
  std::map<PeerId, std::vector<ToldPath>> used;
  const auto next = monitored_.rib->walk(walk.at, kPlacesPerTurn, [&](const StoredPath& path) {
    if (path.stale || !walk.peers.contains(path.peer)) {
      return;
    }
    if (walk.first) {
      received[path.peer].push_back({path.nlri, path.received});
    }
    if (settings_.post_policy && (path.accepted || !walk.first)) {
      used[path.peer].push_back({path.nlri, path.accepted ? path.used : nullptr});
    }
  });
  for (const auto& [paths_of, post_policy] : {std::pair(&received, false), {&used, true}}) {
    for (const auto& [id, paths] : *paths_of) {
      const MonitoredSession& session = monitored_.sessions.at(id);
      tell(session, post_policy, retell(session.facts.codec, paths), false);
    }
  }
  if (!connection_) {  // given up on the way, and the walks with it
    return;
  }
  if (next) {
    walk.at = *next;
  } else {
    const Walk ended = std::move(walk);
    walks_.pop_front();
    end_walk(ended);
  }
  flush();
  schedule_walk();
}
// NOLINTEND(misc-no-recursion)

void BmpExporter::end_walk(const Walk& walk) {
  if (!walk.first) {
    return;
  }
  pause_ = kFirstPause;
  last_error_.clear();
  for (const PeerId id : walk.peers) {
    const MonitoredSession& session = monitored_.sessions.at(id);
    tell(session, false, ends_of_rib(session.facts.codec), false);
    if (settings_.post_policy) {
      tell(session, true, ends_of_rib(session.facts.codec), false);
    }
  }
}
void BmpExporter::report_statistics() {
  for (const auto& [id, session] : monitored_.sessions) {
    bmp::write_statistics(pending_,
                          header(session, false, true),
                          {.adj_rib_in = monitored_.rib->received_counts(id).received(),
                           .loc_rib = monitored_.rib->prefix_count(),
                           .updates_as_withdraw = session.updates_as_withdraw,
                           .prefixes_as_withdraw = session.prefixes_as_withdraw});
    ++messages_;
  }
  schedule_flush();
}

}  // namespace margay::bgp
