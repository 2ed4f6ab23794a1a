#include "bgp/fsm/session.h"

#include "bgp/wire/header.h"

#include <algorithm>
#include <chrono>

namespace margay::bgp {

namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr seconds kMinSendHoldTime = minutes(8);  // RFC 9687 section 4

bool is_internal(const SessionSettings& settings) {
  return settings.local_asn == settings.remote_asn;
}

std::vector<AfiSafi> families_of(const SessionSettings& settings) {
  std::vector<AfiSafi> families;
  if (settings.ipv4) {
    families.push_back(kIpv4Unicast);
  }
  if (settings.ipv6) {
    families.push_back(kIpv6Unicast);
  }
  return families;
}

AddPathCapability::Mode add_path_mode(const SessionSettings& settings) {
  using enum AddPathCapability::Mode;
  if (settings.add_path_receive && settings.add_path_send) {
    return kBoth;
  }
  return settings.add_path_receive ? kReceive : kSend;
}

// RFC 7911 section 4: one side says that it sends, the other that it receives.
void agree_add_path(const std::vector<Capability>& theirs,
                    AfiSafi family,
                    const SessionSettings& ours,
                    FamilyContext& context) {
  const auto* capability = find_capability<AddPathCapability>(theirs);
  if (capability == nullptr || !context.enabled) {
    return;
  }
  using enum AddPathCapability::Mode;
  for (const AddPathCapability::Entry& entry : capability->entries) {
    if (entry.family == family) {
      context.add_path_receive = ours.add_path_receive && entry.mode != kReceive;
      context.add_path_send = ours.add_path_send && entry.mode != kSend;
      return;  // RFC 7911 section 4: the first one counts
    }
  }
}

bool restarts_after_notification(const std::vector<Capability>& theirs) {
  const auto* restart = find_capability<GracefulRestartCapability>(theirs);
  return restart != nullptr && restart->notification;
}

Open our_open(const SessionSettings& settings, bool over_ipv6) {
  Open open{settings.local_asn, settings.hold_time_s, settings.local_id, {}};
  for (const AfiSafi family : families_of(settings)) {
    open.capabilities.emplace_back(MultiprotocolCapability{family});
  }
  open.capabilities.emplace_back(RouteRefreshCapability{});
  if (settings.extended_next_hop && over_ipv6) {
    open.capabilities.emplace_back(ExtendedNextHopCapability{{{kIpv4Unicast, kAfiIpv6}}});
  }
  if (settings.role && !is_internal(settings)) {
    open.capabilities.emplace_back(RoleCapability{*settings.role});
  }
  if (settings.graceful_restart_s != 0) {
    GracefulRestartCapability restart{.restarting = settings.restarting,
                                      .notification = true,
                                      .restart_time_s = settings.graceful_restart_s};
    LongLivedGracefulRestartCapability long_lived;
    for (const AfiSafi family : families_of(settings)) {
      restart.entries.push_back({family, true});
      if (settings.long_lived_s != 0) {
        long_lived.entries.push_back({family, true, settings.long_lived_s});
      }
    }
    open.capabilities.emplace_back(std::move(restart));
    open.capabilities.emplace_back(std::move(long_lived));
  }
  if (settings.add_path_receive || settings.add_path_send) {
    AddPathCapability add_path;
    for (const AfiSafi family : families_of(settings)) {
      add_path.entries.push_back({family, add_path_mode(settings)});
    }
    open.capabilities.emplace_back(std::move(add_path));
  }
  if (settings.extended_message) {
    open.capabilities.emplace_back(ExtendedMessageCapability{});
  }
  open.capabilities.emplace_back(FourOctetAsCapability{settings.local_asn});
  return open;
}

// RFC 9234 section 4.2: what the peer says fits ours. Different roles at once are none.
bool role_fits(const SessionSettings& settings, const std::vector<Capability>& capabilities) {
  if (!settings.role || is_internal(settings)) {
    return true;
  }
  const auto* said = find_capability<RoleCapability>(capabilities);
  if (said == nullptr) {
    return !settings.strict_role;
  }
  return said->role == counterpart(*settings.role) &&
         std::ranges::all_of(capabilities, [said](const Capability& capability) {
           const auto* role = std::get_if<RoleCapability>(&capability);
           return role == nullptr || *role == *said;
         });
}

bool allows_ipv6_next_hop(const std::vector<Capability>& capabilities) {
  const auto* found = find_capability<ExtendedNextHopCapability>(capabilities);
  return found != nullptr && std::ranges::any_of(found->entries, [](const auto& entry) {
           return entry.family == kIpv4Unicast && entry.next_hop_afi == kAfiIpv6;
         });
}

// RFC 4760 section 8: without any multiprotocol capability the peer speaks IPv4 unicast.
bool offers(const std::vector<Capability>& capabilities, AfiSafi family) {
  if (find_capability<MultiprotocolCapability>(capabilities) == nullptr) {
    return family == kIpv4Unicast;
  }
  return has_multiprotocol(capabilities, family);
}

}  // namespace

std::string_view to_string(SessionState state) {
  switch (state) {
    case SessionState::kIdle:
      return "Idle";
    case SessionState::kConnect:
      return "Connect";
    case SessionState::kActive:
      return "Active";
    case SessionState::kOpenSent:
      return "OpenSent";
    case SessionState::kOpenConfirm:
      return "OpenConfirm";
    case SessionState::kEstablished:
      return "Established";
  }
  return "unknown";
}

Session::Session(const SessionSettings& settings,
                 Side side,
                 const Endpoints& endpoints,
                 TimePoint now,
                 Actions& out)
    : settings_(settings),
      side_(side),
      endpoints_(endpoints),
      hold_deadline_(now + settings.open_time),
      sent_open_(encode_open(our_open(settings_, endpoints.local.is_v6()))) {
  out.emplace_back(SendBytes{side_, sent_open_});
}

std::size_t Session::on_message(Bytes bytes, TimePoint now, Actions& out) {
  if (state_ == SessionState::kIdle) {
    return 0;
  }
  const bool extended = settings_.extended_message && state_ == SessionState::kEstablished;
  const auto frame = next_frame(bytes, extended);
  if (!frame) {
    end(frame.error(), out);
    return 0;
  }
  if (!frame->has_value()) {
    return 0;
  }
  on_frame(**frame, now, out);
  return (*frame)->size;
}

void Session::on_frame(const Frame& frame, TimePoint now, Actions& out) {
  switch (frame.type) {
    case MessageType::kOpen:
      return on_open(frame.body, out);
    case MessageType::kUpdate:
      return on_update(frame.body, now, out);
    case MessageType::kNotification:
      return on_notification(frame.body, out);
    case MessageType::kKeepalive:
      return on_keepalive(now, out);
    case MessageType::kRouteRefresh:
      return on_refresh(frame.body, now, out);
  }
}

void Session::on_open(Bytes body, Actions& out) {
  if (state_ != SessionState::kOpenSent || awaits_confirmation_) {
    return unexpected(out);
  }
  const auto open = decode_open(body);
  if (!open) {
    return end(open.error(), out);
  }
  if (auto agreed = negotiate(*open); !agreed) {
    return end(agreed.error(), out);
  }
  ByteWriter received;
  const std::size_t start = begin_message(received, MessageType::kOpen);
  received.bytes(body);
  end_message(received, start);
  facts_.sent_open = sent_open_;
  facts_.received_open = received.take();
  awaits_confirmation_ = true;
}

Result<void, Notification> Session::negotiate(const Open& open) {
  const bool internal = is_internal(settings_);
  if (settings_.remote_asn == Asn() ? open.asn == settings_.local_asn
                                    : open.asn != settings_.remote_asn) {
    return fail(Notification::open(OpenError::kBadPeerAs));
  }
  if (internal && open.id == settings_.local_id) {  // RFC 6286 section 2.2
    return fail(Notification::open(OpenError::kBadIdentifier));
  }
  const std::vector<Capability>& theirs = open.capabilities;
  if (!role_fits(settings_, theirs)) {
    return fail(Notification::open(OpenError::kRoleMismatch));
  }
  CodecContext codec;
  codec.ipv4.enabled = settings_.ipv4 && offers(theirs, kIpv4Unicast);
  codec.ipv6.enabled = settings_.ipv6 && offers(theirs, kIpv6Unicast);
  if (!codec.ipv4.enabled && !codec.ipv6.enabled) {
    ByteWriter wanted;
    const AfiSafi family = settings_.ipv4 ? kIpv4Unicast : kIpv6Unicast;
    encode_capability(wanted, MultiprotocolCapability{family});
    return fail(Notification::unsupported_capability(wanted.data()));
  }
  codec.ipv4.extended_next_hop =
      settings_.extended_next_hop && endpoints_.local.is_v6() && allows_ipv6_next_hop(theirs);
  agree_add_path(theirs, kIpv4Unicast, settings_, codec.ipv4);
  agree_add_path(theirs, kIpv6Unicast, settings_, codec.ipv6);
  codec.internal = internal;
  codec.four_octet_as = find_capability<FourOctetAsCapability>(theirs) != nullptr;
  codec.extended_receive = settings_.extended_message;
  codec.extended_send =
      settings_.extended_message && find_capability<ExtendedMessageCapability>(theirs) != nullptr;
  codec.enforce_first_as = settings_.enforce_first_as;
  codec.local_asn = settings_.local_asn;
  codec.peer_asn = open.asn;
  codec.link = endpoints_.link;
  (endpoints_.local.is_v4() ? codec.local_ipv4 : codec.local_ipv6) = endpoints_.local;
  facts_ = Negotiated{
      .codec = codec,
      .peer = open,
      .hold_time_s = std::min(settings_.hold_time_s, open.hold_time_s),
      .route_refresh = find_capability<RouteRefreshCapability>(theirs) != nullptr,
      .enhanced_refresh = false,
      .notification_restart =
          settings_.graceful_restart_s != 0 && restarts_after_notification(theirs),
  };
  return {};
}

void Session::confirm(TimePoint now, Actions& out) {
  MARGAY_ASSERT(awaits_confirmation_);
  awaits_confirmation_ = false;
  state_ = SessionState::kOpenConfirm;
  out.emplace_back(SendBytes{side_, encode_keepalive()});
  restart_hold(now);
  if (facts_.hold_time_s != 0) {
    keepalive_deadline_ = now + keepalive_interval();
  }
}

void Session::on_keepalive(TimePoint now, Actions& out) {
  switch (state_) {
    case SessionState::kOpenConfirm:
      state_ = SessionState::kEstablished;
      restart_hold(now);
      out.emplace_back(SessionUp{side_, facts_});
      return;
    case SessionState::kEstablished:
      return restart_hold(now);
    case SessionState::kOpenSent:
      return unexpected(out);
    case SessionState::kIdle:
    case SessionState::kConnect:
    case SessionState::kActive:
      return;
  }
}

void Session::on_update(Bytes body, TimePoint now, Actions& out) {
  if (state_ != SessionState::kEstablished) {
    return unexpected(out);
  }
  restart_hold(now);
  out.emplace_back(UpdateReceived{body});
}

void Session::on_refresh(Bytes body, TimePoint now, Actions& out) {
  if (state_ != SessionState::kEstablished) {
    return unexpected(out);
  }
  const auto refresh = decode_route_refresh(body);
  if (!refresh) {
    return end(refresh.error(), out);
  }
  restart_hold(now);
  out.emplace_back(RefreshReceived{*refresh});
}

void Session::on_notification(Bytes body, Actions& out) {
  Notification received = decode_notification(body);
  SessionDown event{.reason = "peer sent " + to_string(received), .received = received};
  out.emplace_back(CloseConnection{side_});
  down(std::move(event), out);
}

void Session::unexpected(Actions& out) {
  switch (state_) {
    case SessionState::kOpenSent:
      return end(Notification::fsm(FsmError::kInOpenSent), out);
    case SessionState::kOpenConfirm:
      return end(Notification::fsm(FsmError::kInOpenConfirm), out);
    case SessionState::kEstablished:
      return end(Notification::fsm(FsmError::kInEstablished), out);
    case SessionState::kIdle:
    case SessionState::kConnect:
    case SessionState::kActive:
      return;
  }
}

void Session::end(const Notification& notification, Actions& out) {
  if (state_ == SessionState::kIdle) {
    return;
  }
  out.emplace_back(SendBytes{side_, encode_notification(as_sent(notification))});
  out.emplace_back(CloseConnection{side_});
  down(SessionDown{.reason = "we sent " + to_string(notification), .sent = notification}, out);
}

Notification Session::as_sent(const Notification& notification) const {
  const bool restart = state_ == SessionState::kEstablished && facts_.notification_restart;
  return restart && ends_for_good(notification) ? Notification::hard_reset(notification)
                                                : notification;
}

void Session::on_closed(std::string_view why, Actions& out) {
  if (state_ != SessionState::kIdle) {
    down(SessionDown{.reason = std::string(why)}, out);
  }
}

void Session::down(SessionDown event, Actions& out) {
  event.was_established = state_ == SessionState::kEstablished;
  out.emplace_back(std::move(event));
  state_ = SessionState::kIdle;
  awaits_confirmation_ = false;
  hold_deadline_.reset();
  keepalive_deadline_.reset();
  send_hold_deadline_.reset();
}

void Session::restart_hold(TimePoint now) {
  if (facts_.hold_time_s == 0) {
    hold_deadline_.reset();
  } else {
    hold_deadline_ = now + seconds(facts_.hold_time_s);
  }
}

Duration Session::keepalive_interval() const {
  constexpr int kWhole = 100;
  return Duration(seconds(facts_.hold_time_s)) / 3 * settings_.keepalive_percent / kWhole;
}

void Session::probe(TimePoint now, Actions& out) {
  if (state_ != SessionState::kEstablished || (probed_ && now - *probed_ < seconds(1))) {
    return;
  }
  probed_ = now;
  out.emplace_back(SendBytes{side_, encode_keepalive()});
}

void Session::on_send_progress(bool progress, bool waiting, TimePoint now) {
  if (!waiting || state_ != SessionState::kEstablished || facts_.hold_time_s == 0) {
    send_hold_deadline_.reset();
  } else if (progress || !send_hold_deadline_) {
    send_hold_deadline_ = now + std::max(kMinSendHoldTime, 2 * seconds(facts_.hold_time_s));
  }
}

void Session::on_deadline(TimePoint now, Actions& out) {
  if (hold_deadline_ && *hold_deadline_ <= now) {
    return end(Notification::hold_timer_expired(), out);
  }
  if (send_hold_deadline_ && *send_hold_deadline_ <= now) {
    return end(Notification::send_hold_timer_expired(), out);
  }
  if (keepalive_deadline_ && *keepalive_deadline_ <= now) {
    keepalive_deadline_ = now + keepalive_interval();
    out.emplace_back(SendBytes{side_, encode_keepalive()});
  }
}

std::optional<TimePoint> Session::next_deadline() const {
  std::optional<TimePoint> next;
  for (const auto& deadline : {hold_deadline_, keepalive_deadline_, send_hold_deadline_}) {
    if (deadline && (!next || *deadline < *next)) {
      next = deadline;
    }
  }
  return next;
}

}  // namespace margay::bgp
