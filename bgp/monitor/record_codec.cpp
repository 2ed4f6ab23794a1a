#include "bgp/monitor/record_codec.h"

#include "bgp/monitor/record_json.h"

#include <charconv>

namespace margay::bgp::record {

// What is in a record: every field that decides something.

template <typename V>
void describe(V& visit, LargeCommunity& community) {
  visit("global", community.global);
  visit("local_1", community.local_1);
  visit("local_2", community.local_2);
}
template <typename V>
void describe(V& visit, PrependAsns& prepend) {
  visit("asns", prepend.asns);
}
template <typename V>
void describe(V& visit, SetLocalPref& preference) {
  visit("value", preference.value);
}
template <typename V>
void describe(V& visit, PrefixCondition& condition) {
  visit("net", condition.net);
  visit("match", condition.match);
  visit("min_length", condition.min_length);
  visit("max_length", condition.max_length);
}
template <typename V>
void describe(V& visit, FilterRule& rule) {
  visit("name", rule.name);
  visit("prefix", rule.prefix);
  visit("learnt", rule.learnt);
  visit("external", rule.external);
  visit("community", rule.community);
  visit("large_community", rule.large_community);
  visit("as_path_prefix", rule.as_path_prefix);
  visit("local_pref", rule.local_pref);
  visit("accept", rule.accept);
  visit("operations", rule.operations);
}
template <typename V>
void describe(V& visit, PeerFilters& filters) {
  visit("import_v4", filters.import_v4);
  visit("import_v6", filters.import_v6);
  visit("export_v4", filters.export_v4);
  visit("export_v6", filters.export_v6);
}
template <typename V>
void describe(V& visit, SessionSettings& settings) {
  visit("local_asn", settings.local_asn);
  visit("remote_asn", settings.remote_asn);
  visit("local_id", settings.local_id);
  visit("hold_time_s", settings.hold_time_s);
  visit("ipv4", settings.ipv4);
  visit("ipv6", settings.ipv6);
  visit("extended_message", settings.extended_message);
  visit("open_time_s", settings.open_time);
  visit("extended_next_hop", settings.extended_next_hop);
  visit("add_path_receive", settings.add_path_receive);
  visit("add_path_send", settings.add_path_send);
  visit("role", settings.role);
  visit("strict_role", settings.strict_role);
  visit("enforce_first_as", settings.enforce_first_as);
  visit("graceful_restart_s", settings.graceful_restart_s);
  visit("restarting", settings.restarting);
  visit("long_lived_s", settings.long_lived_s);
  visit("keepalive_percent", settings.keepalive_percent);
}
template <typename V>
void describe(V& visit, PeerSettings& settings) {
  visit("session", settings.session);
  visit("passive", settings.passive);
  visit("connect_retry_s", settings.connect_retry);
  visit("idle_hold_min_ms", settings.idle_hold_min);
  visit("idle_hold_max_ms", settings.idle_hold_max);
  visit("seed", settings.seed);
}
template <typename V>
void describe(V& visit, RibOptions& options) {
  visit("asn", options.asn);
  visit("router_id", options.router_id);
  visit("cluster_id", options.cluster_id);
  visit("max_multipath", options.max_multipath);
}
template <typename V>
void describe(V& visit, RibPeer& peer) {
  visit("id", peer.id);
  visit("address", peer.address);
  visit("reflector_client", peer.reflector_client);
  visit("role", peer.role);
  visit("next_hop", peer.next_hop);
  visit("allowed_local_as", peer.allowed_local_as);
  visit("export_learned", peer.export_learned);
  visit("max_prefixes", peer.max_prefixes);
  visit("filters", peer.filters);
}
template <typename V>
void describe(V& visit, RecordHeader& header) {
  visit("peer", header.peer);
  visit("time", header.time);
  visit("settings", header.settings);
  visit("rib", header.rib);
  visit("table", header.table);
}

namespace {

std::string family_words(const CodecContext& codec, Family family) {
  const FamilyContext& of = codec.of(family);
  if (!of.enabled) {
    return "";
  }
  return fmt::format(" {}{}{}{}",
                     family_name(family),
                     of.add_path_receive ? " add-path-receive" : "",
                     of.add_path_send ? " add-path-send" : "",
                     of.extended_next_hop ? " extended-next-hop" : "");
}

std::string facts_words(const Negotiated& facts) {
  const CodecContext& codec = facts.codec;
  return fmt::format("{} s{}{}{}{}{}{} id {}",
                     facts.hold_time_s,
                     family_words(codec, Family::kIpv4),
                     family_words(codec, Family::kIpv6),
                     codec.internal ? " internal" : "",
                     codec.four_octet_as ? "" : " two-octet-as",
                     codec.extended_send ? " extended" : "",
                     facts.route_refresh ? " refresh" : "",
                     bgp::to_string(facts.peer.id));
}

}  // namespace

json::object header_line(const RecordHeader& header) {
  Writer writer;
  writer.out["format"] = kFormat;
  writer.out["version"] = kVersion;
  RecordHeader copy = header;
  describe(writer, copy);
  return std::move(writer.out);
}

Result<RecordHeader> read_header(const json::object& line) {
  std::string format;
  int version = 0;
  Reader begin{line};
  begin("format", format);
  begin("version", version);
  if (!begin.good || format != kFormat || version != kVersion) {
    return fail(Errc::kInvalid, "line 1: no record of a BGP peer of version {}", kVersion);
  }
  RecordHeader header;
  Reader reader{line};
  describe(reader, header);
  if (!reader.good) {
    return fail(Errc::kInvalid, "line 1: a field of the header is missing or wrong");
  }
  return header;
}

json::value filters_value(const PeerFilters& filters) {
  return Writer::put(filters);
}
bool read_filters(const json::value& value, PeerFilters& into) {
  return Reader::get(value, into);
}

std::string hex(Bytes bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  constexpr unsigned kNibble = 4;
  constexpr unsigned kMask = 15;
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> kNibble];
    text += kDigits[byte & kMask];
  }
  return text;
}

std::optional<std::vector<std::uint8_t>> unhex(std::string_view text) {
  constexpr int kBase = 16;
  std::vector<std::uint8_t> bytes;
  if (text.size() % 2 != 0) {
    return std::nullopt;
  }
  bytes.reserve(text.size() / 2);
  for (std::size_t at = 0; at < text.size(); at += 2) {
    const char* begin = text.data() + at;
    std::uint8_t byte = 0;
    const auto parsed = std::from_chars(begin, begin + 2, byte, kBase);
    if (parsed.ec != std::errc{} || parsed.ptr != begin + 2) {
      return std::nullopt;
    }
    bytes.push_back(byte);
  }
  return bytes;
}

std::string_view to_string(Side side) {
  return side == Side::kOutgoing ? "out" : "in";
}

std::string_view to_string(RecordedPeer::TableCall call) {
  switch (call) {
    case RecordedPeer::TableCall::kUp:
      return "up";
    case RecordedPeer::TableCall::kDown:
      return "down";
    case RecordedPeer::TableCall::kRestarting:
      return "restarting";
  }
  return "";
}

std::string to_string(const Action& action) {
  if (std::holds_alternative<StartConnect>(action)) {
    return "connect";
  }
  if (std::holds_alternative<CancelConnect>(action)) {
    return "cancel connect";
  }
  if (const auto* send = std::get_if<SendBytes>(&action)) {
    return fmt::format("send {} {}", to_string(send->side), hex(send->bytes));
  }
  if (const auto* closing = std::get_if<CloseConnection>(&action)) {
    return fmt::format("close {}", to_string(closing->side));
  }
  if (const auto* up = std::get_if<SessionUp>(&action)) {
    return fmt::format("up {} {}", to_string(up->side), facts_words(up->facts));
  }
  if (const auto* down = std::get_if<SessionDown>(&action)) {
    return fmt::format("down{}: {}", down->was_established ? " established" : "", down->reason);
  }
  if (const auto* update = std::get_if<UpdateReceived>(&action)) {
    return fmt::format("update of {} bytes", update->body.size());
  }
  const RouteRefresh& refresh = std::get<RefreshReceived>(action).refresh;
  return fmt::format(
      "refresh {} {}", bgp::to_string(refresh.family), static_cast<unsigned>(refresh.subtype));
}

std::string to_string(const Result<UpdateReport, Notification>& answer, const PeerCounts& counts) {
  if (!answer) {
    return "ends the session: " + bgp::to_string(answer.error());
  }
  std::string words = fmt::format("announced {}, withdrawn {}, held {}, accepted {}",
                                  answer->announced,
                                  answer->withdrawn,
                                  counts.received(),
                                  counts.accepted());
  if (answer->end_of_rib) {
    words += ", end of " + bgp::to_string(*answer->end_of_rib);
  }
  for (const AttributeNote& note : answer->notes) {
    words += "; " + bgp::to_string(note);
  }
  return words;
}

}  // namespace margay::bgp::record
