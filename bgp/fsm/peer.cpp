#include "bgp/fsm/peer.h"

#include <algorithm>
#include <utility>

namespace margay::bgp {

namespace {

Side other(Side side) {
  return side == Side::kOutgoing ? Side::kIncoming : Side::kOutgoing;
}

// A session that lasted that long was of use.
constexpr std::chrono::seconds kOfUse{60};

bool is_refusal(const Notification& notification) {
  return notification.code == ErrorCode::kUpdate;
}
bool is_limit(const Notification& notification) {
  return notification.code == ErrorCode::kCease &&
         (notification.subcode == static_cast<std::uint8_t>(CeaseError::kMaximumPrefixes) ||
          notification.subcode == static_cast<std::uint8_t>(CeaseError::kOutOfResources));
}

SessionState state_of(const std::optional<Session>& session) {
  return session ? session->state() : SessionState::kIdle;
}

}  // namespace

Peer::Peer(const PeerSettings& settings) : settings_(settings), random_(settings.seed) {}

// 75 to 100 percent (RFC 4271 section 10), so that nodes started together do not stay in step.
Duration Peer::jittered(Duration full) {
  return full * static_cast<int>(75U + random_() % 26U) / 100;
}

std::optional<Session>& Peer::session(Side side) {
  return side == Side::kOutgoing ? outgoing_ : incoming_;
}
const std::optional<Session>& Peer::session(Side side) const {
  return side == Side::kOutgoing ? outgoing_ : incoming_;
}

void Peer::start(TimePoint now) {
  if (!started_) {
    started_ = true;
    failures_ = 0;
    refused_ = false;
    over_limit_ = false;
    established_at_.reset();
    connect_or_wait(now);
  }
}

void Peer::stop(const Notification& reason) {
  started_ = false;
  cancel_connecting();
  timers_.stop_all();
  for (const Side side : {Side::kOutgoing, Side::kIncoming}) {
    if (auto& one = session(side)) {
      one->end(reason, actions_);
      one.reset();
    }
  }
}

// Idle hold is over, or there was none.
void Peer::connect_or_wait(TimePoint now) {
  timers_.stop(Timer::kIdleHold);
  if (settings_.passive || connecting_ || has_session()) {
    return;
  }
  connecting_ = true;
  timers_.start(Timer::kConnectRetry, now + jittered(settings_.connect_retry));
  actions_.emplace_back(StartConnect{});
}

void Peer::cancel_connecting() {
  if (connecting_) {
    connecting_ = false;
    actions_.emplace_back(CancelConnect{});
  }
  timers_.stop(Timer::kConnectRetry);
}

void Peer::on_connected(Side side, const Endpoints& endpoints, TimePoint now) {
  const bool expected = side == Side::kOutgoing ? connecting_ : accepts_incoming();
  if (!expected) {
    actions_.emplace_back(CloseConnection{side});
    return;
  }
  if (side == Side::kOutgoing) {
    connecting_ = false;
    timers_.stop(Timer::kConnectRetry);
  }
  timers_.stop(Timer::kIdleHold);
  SessionSettings settings = settings_.session;
  settings.keepalive_percent = static_cast<std::uint8_t>(75U + random_() % 26U);
  session(side).emplace(settings, side, endpoints, now, actions_);
}

void Peer::on_connect_failed(TimePoint now) {
  if (!connecting_) {
    return;
  }
  connecting_ = false;
  if (!timers_.running(Timer::kConnectRetry)) {
    timers_.start(Timer::kConnectRetry, now + jittered(settings_.connect_retry));
  }
}

void Peer::on_closed(Side side, std::string_view why, TimePoint now) {
  if (auto& one = session(side)) {
    one->on_closed(why, actions_);
    sweep(now);
  }
}

std::size_t Peer::on_bytes(Side side, Bytes bytes, TimePoint now) {
  std::size_t used = 0;
  while (auto& one = session(side)) {
    const std::size_t size = one->on_message(bytes.subspan(used), now, actions_);
    if (size == 0) {
      break;
    }
    used += size;
    if (one->awaits_confirmation()) {
      resolve_collision(side, now);
    }
  }
  sweep(now);
  return used;
}

// RFC 4271 section 6.8, on the OPEN of one connection. The one that stays was opened by the side
// with the higher identifier; equal ones are told apart by the AS number (RFC 6286 section 2.3).
void Peer::resolve_collision(Side opened, TimePoint now) {
  const std::optional<Session>& rival = session(other(opened));
  const Notification lost = Notification::cease(CeaseError::kCollisionResolution);
  switch (state_of(rival)) {
    case SessionState::kEstablished:
      return end(opened, lost, now);
    case SessionState::kOpenConfirm: {
      const SessionSettings& ours = settings_.session;
      const Open& theirs = session(opened)->facts().peer;
      const bool we_are_higher =
          ours.local_id != theirs.id ? ours.local_id > theirs.id : ours.local_asn > theirs.asn;
      const Side stays = we_are_higher ? Side::kOutgoing : Side::kIncoming;
      if (opened != stays) {
        return end(opened, lost, now);
      }
      end(other(opened), lost, now);
      break;
    }
    case SessionState::kIdle:
    case SessionState::kConnect:
    case SessionState::kActive:
    case SessionState::kOpenSent:
      break;
  }
  session(opened)->confirm(now, actions_);
}

void Peer::on_update_error(const Notification& notification, TimePoint now) {
  if (const auto side = established_side()) {
    if (now - established_at_.value_or(now) >= kOfUse) {
      failures_ = 0;
    }
    over_limit_ = is_limit(notification);
    refused_ = over_limit_ || is_refusal(notification);
    established_at_.reset();
    end(*side, notification, now);
  }
}

void Peer::on_send_progress(Side side, bool progress, bool waiting, TimePoint now) {
  if (auto& one = session(side)) {
    one->on_send_progress(progress, waiting, now);
  }
}

void Peer::end(Side side, const Notification& notification, TimePoint now) {
  session(side)->end(notification, actions_);
  sweep(now);
}

void Peer::sweep(TimePoint now) {
  if (established_side()) {
    established_at_ = established_at_.value_or(now);
    failures_ = refused_ ? failures_ : 0;
    cancel_connecting();
    timers_.stop(Timer::kIdleHold);
  }
  bool ended = false;
  for (auto* one : {&outgoing_, &incoming_}) {
    if (*one && (*one)->state() == SessionState::kIdle) {
      one->reset();
      ended = true;
    }
  }
  if (ended && established_at_ && !established_side()) {
    const bool was_of_use = now - *std::exchange(established_at_, std::nullopt) >= kOfUse;
    refused_ = refused_ && !was_of_use;
    over_limit_ = false;
  }
  if (!ended || has_session() || connecting_ || !started_) {
    return;
  }
  // Idle hold: 1, 2, 4 ... times the minimum.
  constexpr unsigned kMaxDoublings = 16;
  const Duration full = over_limit_
                            ? Duration(settings_.idle_hold_max)
                            : settings_.idle_hold_min * (1U << std::min(failures_, kMaxDoublings));
  ++failures_;
  timers_.start(Timer::kIdleHold,
                now + jittered(std::min<Duration>(full, settings_.idle_hold_max)));
}

void Peer::on_deadline(TimePoint now) {
  for (auto* one : {&outgoing_, &incoming_}) {
    if (*one) {
      (*one)->on_deadline(now, actions_);
    }
  }
  sweep(now);
  while (const auto timer = timers_.pop_due(now)) {
    switch (*timer) {
      case Timer::kConnectRetry:
        cancel_connecting();
        connect_or_wait(now);
        break;
      case Timer::kIdleHold:
        connect_or_wait(now);
        break;
    }
  }
}

Actions Peer::take_actions() {
  Actions taken;
  taken.swap(actions_);
  return taken;
}

std::optional<TimePoint> Peer::next_deadline() const {
  std::optional<TimePoint> next = timers_.next_deadline();
  for (const auto* one : {&outgoing_, &incoming_}) {
    const auto deadline = *one ? (*one)->next_deadline() : std::nullopt;
    if (deadline && (!next || *deadline < *next)) {
      next = deadline;
    }
  }
  return next;
}

bool Peer::accepts_incoming() const {
  return started_ && !incoming_ && !established_side() && !holds_off();
}

std::vector<std::uint8_t> Peer::connection_rejected() {
  return encode_notification(Notification::cease(CeaseError::kConnectionRejected));
}

void Peer::give_up_silent(TimePoint now) {
  if (state_of(incoming_) == SessionState::kOpenSent && !incoming_->awaits_confirmation()) {
    end(Side::kIncoming, Notification::cease(CeaseError::kCollisionResolution), now);
  }
}

void Peer::probe(TimePoint now) {
  if (const auto side = established_side()) {
    session(*side)->probe(now, actions_);
  }
}

SessionState Peer::state() const {
  if (has_session()) {
    return std::max(state_of(outgoing_), state_of(incoming_));
  }
  if (connecting_) {
    return SessionState::kConnect;
  }
  const bool waits = started_ && !timers_.running(Timer::kIdleHold);
  return waits ? SessionState::kActive : SessionState::kIdle;
}

const Negotiated* Peer::facts() const {
  const auto side = established_side();
  return side ? &session(*side)->facts() : nullptr;
}

std::optional<Side> Peer::established_side() const {
  for (const Side side : {Side::kOutgoing, Side::kIncoming}) {
    if (state_of(session(side)) == SessionState::kEstablished) {
      return side;
    }
  }
  return std::nullopt;
}

bool Peer::request_refresh(AfiSafi family) {
  const Negotiated* agreed = facts();
  if (agreed == nullptr || !agreed->route_refresh) {
    return false;
  }
  actions_.emplace_back(SendBytes{*established_side(), encode_route_refresh({family})});
  return true;
}

}  // namespace margay::bgp
