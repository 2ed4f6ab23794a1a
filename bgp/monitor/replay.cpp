#include "bgp/monitor/replay.h"

#include "bgp/monitor/record.h"
#include "bgp/monitor/record_codec.h"

#include <deque>
#include <map>
#include <optional>
#include <utility>

namespace margay::bgp {

namespace json = boost::json;

namespace {

Notification notification_of(Bytes message) {
  constexpr std::size_t kLeast = kHeaderSize + 2;
  return message.size() < kLeast ? Notification()
                                 : decode_notification(message.subspan(kHeaderSize));
}

class Replay {
 public:
  explicit Replay(const RecordHeader& header)
      : header_(header), machine_(header.settings), rib_(header.rib) {
    report.peer = header.peer;
    report.time = header.time;
  }

  // False when the line says something else than what was decided, or is not to be understood.
  bool take(const json::object& line) {
    if (line.contains("in")) {
      ++report.inputs;
      return input(line);
    }
    if (line.contains("out")) {
      return decisions(line);
    }
    if (line.contains("table")) {
      return table(line);
    }
    report.complete = line.contains("end");
    carry_over();
    if (report.complete && !decided_.empty()) {
      return differs(record::to_string(decided_.front()), "nothing");
    }
    return report.complete || unknown();
  }

  ReplayReport report;

 private:
  bool unknown() {
    report.difference = "not to be understood";
    return false;
  }
  bool differs(const std::string& decided, const std::string& recorded) {
    report.difference = fmt::format("decided \"{}\", recorded is \"{}\"", decided, recorded);
    return false;
  }
  static std::string text(const json::object& line, std::string_view field) {
    const json::value* value = line.if_contains(field);
    return value != nullptr && value->is_string() ? std::string(value->get_string())
                                                  : std::string();
  }
  static bool flag(const json::object& line, std::string_view field) {
    const json::value* value = line.if_contains(field);
    return value != nullptr && value->is_bool() && value->get_bool();
  }
  static std::int64_t number(const json::object& line, std::string_view field) {
    const json::value* value = line.if_contains(field);
    boost::system::error_code error;
    return value == nullptr ? 0 : value->to_number<std::int64_t>(error);
  }
  static std::vector<std::uint8_t> bytes(const json::object& line) {
    return record::unhex(text(line, "hex")).value_or(std::vector<std::uint8_t>());
  }

  using Input = bool (Replay::*)(const json::object&, Side, TimePoint);
  bool input(const json::object& line) {
    static const std::map<std::string, Input, std::less<>> inputs{
        {"start", &Replay::start},
        {"stop", &Replay::stop},
        {"connected", &Replay::connected},
        {"connect failed", &Replay::connect_failed},
        {"closed", &Replay::closed},
        {"bytes", &Replay::bytes_in},
        {"update error", &Replay::update_error},
        {"sent", &Replay::sent},
        {"deadline", &Replay::deadline},
        {"probe", &Replay::probe},
        {"give up silent", &Replay::give_up_silent},
        {"restarting", &Replay::restarting},
        {"request refresh", &Replay::request_refresh},
    };
    const auto found = inputs.find(text(line, "in"));
    const Side side = text(line, "side") == "in" ? Side::kIncoming : Side::kOutgoing;
    const TimePoint now = kBegin + std::chrono::nanoseconds(number(line, "t"));
    carry_over();
    return found == inputs.end() ? unknown() : (this->*found->second)(line, side, now);
  }
  bool start(const json::object& /*line*/, Side /*side*/, TimePoint now) {
    machine_.start(now);
    return true;
  }
  bool stop(const json::object& line, Side /*side*/, TimePoint /*now*/) {
    machine_.stop(notification_of(bytes(line)));
    return true;
  }
  bool connected(const json::object& line, Side side, TimePoint now) {
    const auto local = IpAddr::parse(text(line, "local"));
    const auto remote = IpAddr::parse(text(line, "remote"));
    if (!local || !remote) {
      return unknown();
    }
    machine_.on_connected(side, {*local, *remote}, now);
    return true;
  }
  bool connect_failed(const json::object& /*line*/, Side /*side*/, TimePoint now) {
    machine_.on_connect_failed(now);
    return true;
  }
  bool closed(const json::object& line, Side side, TimePoint now) {
    machine_.on_closed(side, text(line, "why"), now);
    return true;
  }
  bool bytes_in(const json::object& line, Side side, TimePoint now) {
    bytes_ = bytes(line);
    const std::size_t used = machine_.on_bytes(side, bytes_, now);
    const auto recorded = static_cast<std::size_t>(number(line, "used"));
    return used == recorded ||
           differs(fmt::format("used {} bytes", used), fmt::format("used {} bytes", recorded));
  }
  bool update_error(const json::object& line, Side /*side*/, TimePoint now) {
    machine_.on_update_error(notification_of(bytes(line)), now);
    return true;
  }
  bool sent(const json::object& line, Side side, TimePoint now) {
    machine_.on_send_progress(side, flag(line, "progress"), flag(line, "waiting"), now);
    return true;
  }
  bool deadline(const json::object& /*line*/, Side /*side*/, TimePoint now) {
    machine_.on_deadline(now);
    return true;
  }
  bool give_up_silent(const json::object& /*line*/, Side /*side*/, TimePoint now) {
    machine_.give_up_silent(now);
    return true;
  }
  bool probe(const json::object& /*line*/, Side /*side*/, TimePoint now) {
    machine_.probe(now);
    return true;
  }
  bool restarting(const json::object& line, Side /*side*/, TimePoint /*now*/) {
    machine_.set_restarting(flag(line, "value"));
    return true;
  }
  bool request_refresh(const json::object& line, Side /*side*/, TimePoint /*now*/) {
    (void)machine_.request_refresh({static_cast<std::uint16_t>(number(line, "afi")),
                                    static_cast<std::uint8_t>(number(line, "safi"))});
    return true;
  }

  // Decisions that were not taken before the next input are taken with those of that.
  void carry_over() {
    for (Action& action : machine_.take_actions()) {
      decided_.push_back(std::move(action));
    }
  }

  bool decisions(const json::object& line) {
    carry_over();
    const Actions actions = std::exchange(decided_, {});
    const json::value* out = line.if_contains("out");
    const json::array recorded = out->is_array() ? out->get_array() : json::array();
    updates_.clear();
    for (std::size_t i = 0; i < std::max(actions.size(), recorded.size()); ++i) {
      const std::string was = i < recorded.size() && recorded[i].is_string()
                                  ? std::string(recorded[i].get_string())
                                  : "nothing";
      const std::string is = i < actions.size() ? record::to_string(actions[i]) : "nothing";
      if (is != was) {
        return differs(is, was);
      }
      ++report.decisions;
      if (const auto* up = std::get_if<SessionUp>(&actions[i])) {
        facts_ = up->facts;
      } else if (const auto* update = std::get_if<UpdateReceived>(&actions[i])) {
        updates_.push_back(update->body);
      }
    }
    const auto next = machine_.next_deadline();
    const std::string is =
        next ? std::to_string(std::chrono::nanoseconds(*next - kBegin).count()) : "null";
    const json::value* was = line.if_contains("next");
    const std::string then = was == nullptr ? "null" : json::serialize(*was);
    return is == then || differs("next deadline " + is, "next deadline " + then);
  }

  bool table(const json::object& line) {
    const PeerId id = header_.table.id;
    const std::string call = text(line, "table");
    if (call == "filters") {
      return filters(line);
    }
    if (call == "update") {
      return update(line);
    }
    if (call == "up") {
      return up();
    }
    if (!known_) {
      return unknown();
    }
    if (call == "down") {
      rib_.peer_down(id);
      known_ = false;
      return true;
    }
    if (call == "restarting" && !away_) {
      rib_.peer_restarting(id);
      away_ = true;
      return true;
    }
    if (call == "long-lived") {
      rib_.peer_long_lived(id, flag(line, "ipv6") ? Family::kIpv6 : Family::kIpv4);
      return true;
    }
    if (call == "drop stale") {
      rib_.drop_stale(id, flag(line, "ipv6") ? Family::kIpv6 : Family::kIpv4);
      return true;
    }
    return unknown();
  }
  bool up() {
    RibPeer peer = header_.table;
    if (peer.id == kLocalPeer || (known_ && !away_)) {
      return unknown();
    }
    peer.codec = facts_.codec;
    peer.router_id = facts_.peer.id;
    peer.role = facts_.codec.internal ? std::nullopt : header_.table.role;
    rib_.peer_up(peer);
    known_ = true;
    away_ = false;
    return true;
  }
  bool filters(const json::object& line) {
    const json::value* value = line.if_contains("filters");
    if (value == nullptr || !record::read_filters(*value, header_.table.filters)) {
      return unknown();
    }
    if (known_) {
      rib_.change_filters(header_.table.id, header_.table.filters);
    }
    return true;
  }
  bool update(const json::object& line) {
    if (updates_.empty() || !known_ || away_) {
      return differs("no update", text(line, "answer"));
    }
    const Bytes body = updates_.front();
    updates_.pop_front();
    const auto answer = rib_.update(header_.table.id, body);
    const std::string is = record::to_string(answer, rib_.received_counts(header_.table.id));
    // What is to be told to others is not what is compared; it must not pile up.
    (void)rib_.take_output();
    (void)rib_.take_fib_changes();
    ++report.decisions;
    return is == text(line, "answer") || differs(is, text(line, "answer"));
  }

  static constexpr TimePoint kBegin{std::chrono::hours(1)};

  RecordHeader header_;
  Peer machine_;
  Rib rib_;
  bool known_ = false;  // the table knows the peer
  bool away_ = false;   // but it has no session: it restarts
  Negotiated facts_;
  std::vector<std::uint8_t> bytes_;  // of the last input, where updates_ point to
  std::deque<Bytes> updates_;
  Actions decided_;
};

// Lines one by one; a last one without its end is no line.
bool next_line(std::string_view& text, std::string_view& line) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) {
    return false;
  }
  line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return true;
}

std::optional<json::object> object_of(std::string_view line) {
  boost::system::error_code error;
  json::value value = json::parse(json::string_view(line.data(), line.size()), error);
  return error || !value.is_object() ? std::nullopt : std::optional(std::move(value.get_object()));
}

}  // namespace

Result<ReplayReport> replay_record(std::string_view text) {
  std::string_view line;
  const auto first = next_line(text, line) ? object_of(line) : std::nullopt;
  if (!first) {
    return fail(Errc::kInvalid, "line 1: not a line of JSON");
  }
  const auto header = record::read_header(*first);
  if (!header) {
    return fail(header.error());
  }
  Replay replay(*header);
  for (std::size_t number = 2; next_line(text, line); ++number) {
    const auto object = object_of(line);
    if (!object) {
      return fail(Errc::kInvalid, "line {}: not a line of JSON", number);
    }
    if (!replay.take(*object)) {
      replay.report.difference = fmt::format("line {}: {}", number, replay.report.difference);
      break;
    }
  }
  return replay.report;
}

}  // namespace margay::bgp
