#include "bgp/bfd/session.h"

#include <algorithm>

namespace margay::bfd {

using std::chrono::microseconds;

Session::Session(const SessionSettings& settings, TimePoint now)
    : settings_(settings), random_(settings.seed) {
  send(false);
  arm_transmit(now);
}

microseconds Session::desired_min_tx() const {
  return state_ == State::kUp ? settings_.interval
                              : std::max<microseconds>(settings_.interval, kSlowInterval);
}

microseconds Session::detection_time() const {
  return remote_multiplier_ * std::max(settings_.interval, remote_min_tx_);
}

void Session::send(bool final) {
  packets_.push_back({.diagnostic = diagnostic_,
                      .state = state_,
                      .poll = polling_ && !final,
                      .final = final,
                      .demand = false,
                      .detect_multiplier = settings_.multiplier,
                      .my_discriminator = settings_.discriminator,
                      .your_discriminator = remote_discriminator_,
                      .desired_min_tx = desired_min_tx(),
                      .required_min_rx = settings_.interval});
}

// RFC 5880 section 6.8.7: reduced by up to a quarter, so that sessions do not fall into step; by a
// tenth at least where a single packet decides.
void Session::arm_transmit(TimePoint now) {
  if (remote_min_rx_.count() == 0) {
    timers_.stop(Timer::kTransmit);
    return;
  }
  constexpr unsigned kLeastPercent = 75;
  constexpr unsigned kMostPercent = 100;
  constexpr unsigned kMostPercentOfOne = 90;
  const unsigned most = settings_.multiplier == 1 ? kMostPercentOfOne : kMostPercent;
  const unsigned percent = std::uniform_int_distribution<unsigned>(kLeastPercent, most)(random_);
  const microseconds interval = std::max(desired_min_tx(), remote_min_rx_);
  timers_.start(Timer::kTransmit, now + interval * percent / kMostPercent);
}

void Session::enter(State state, Diagnostic diagnostic, bool administrative) {
  state_ = state;
  diagnostic_ = diagnostic;
  polling_ = state == State::kUp;  // from slow to what is configured
  change_ = Change{state, diagnostic, administrative};
}

// RFC 5880 section 6.8.6, from "If bfd.SessionState is AdminDown" on.
void Session::answer_state(const ControlPacket& packet) {
  if (packet.state == State::kAdminDown) {
    if (state_ != State::kDown) {
      enter(State::kDown, Diagnostic::kNeighborSignaledDown, true);
    }
    return;
  }
  switch (state_) {
    case State::kAdminDown:
      return;
    case State::kDown:
      if (packet.state == State::kDown) {
        enter(State::kInit, Diagnostic::kNone, false);
      } else if (packet.state == State::kInit) {
        enter(State::kUp, Diagnostic::kNone, false);
      }
      return;
    case State::kInit:
      if (packet.state == State::kInit || packet.state == State::kUp) {
        enter(State::kUp, Diagnostic::kNone, false);
      }
      return;
    case State::kUp:
      if (packet.state == State::kDown) {
        enter(State::kDown, Diagnostic::kNeighborSignaledDown, false);
      }
      return;
  }
}

void Session::on_packet(const ControlPacket& packet, TimePoint now) {
  if (state_ == State::kAdminDown) {
    return;
  }
  const bool was_silent = remote_min_rx_.count() == 0;
  const microseconds pace_before = remote_min_rx_;
  remote_discriminator_ = packet.my_discriminator;
  remote_min_rx_ = packet.required_min_rx;
  remote_min_tx_ = packet.desired_min_tx;
  remote_multiplier_ = packet.detect_multiplier;
  polling_ = polling_ && !packet.final;
  const State before = state_;
  answer_state(packet);
  timers_.start(Timer::kDetect, now + detection_time());
  if (packet.poll) {
    send(true);
  }
  if (state_ != before) {
    send(false);  // the peer learns it at once
  }
  // RFC 5880 section 6.8.3: a peer that takes more from now on counts on it at once (FRR asks for
  // one a second until it is Up).
  const bool faster = remote_min_rx_ < pace_before;
  if (state_ != before || was_silent || faster) {
    arm_transmit(now);
  }
}

void Session::on_deadline(TimePoint now) {
  while (const auto timer = timers_.pop_due(now)) {
    if (*timer == Timer::kTransmit) {
      send(false);
      arm_transmit(now);
      continue;
    }
    remote_discriminator_ = 0;
    remote_min_rx_ = microseconds(1);
    if (state_ == State::kInit || state_ == State::kUp) {
      enter(State::kDown, Diagnostic::kDetectionTimeExpired, false);
      send(false);
    }
    arm_transmit(now);
  }
}

void Session::shut_down() {
  state_ = State::kAdminDown;
  diagnostic_ = Diagnostic::kAdministrativelyDown;
  polling_ = false;
  timers_.stop_all();
  send(false);
}

}  // namespace margay::bfd
