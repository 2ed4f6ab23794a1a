#include "bgp/bird/sessions.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <optional>
#include <sstream>
#include <utility>

namespace margay::bgp::bird {

namespace {

constexpr unsigned kProtocolLine = 1002;
constexpr unsigned kBfdLine = 1020;

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string> words_of(std::string_view text) {
  std::istringstream stream{std::string(text)};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) {
    words.push_back(std::move(word));
  }
  return words;
}

std::uint32_t number_at(std::string_view text) {
  std::uint32_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

PeerState state_of(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, PeerState>, 7> kStates{
      {{"Connect", PeerState::kConnect},
       {"Active", PeerState::kActive},
       {"Passive", PeerState::kActive},
       {"OpenSent", PeerState::kOpenSent},
       {"OpenConfirm", PeerState::kOpenConfirm},
       {"Established", PeerState::kEstablished},
       {"Idle", PeerState::kIdle}}};
  const auto found = std::ranges::find(kStates, text, [](const auto& row) { return row.first; });
  return found == kStates.end() ? PeerState::kIdle : found->second;
}

std::optional<RouterId> router_id_of(std::string_view text) {
  const auto address = IpAddr::parse(text);
  return address && address->is_v4() ? std::optional(RouterId(address->v4_value())) : std::nullopt;
}

std::string lower_first_words(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : (c == ' ' ? '-' : c);
  });
  return out;
}

// "AF announced: ipv4 ipv6" -> " ipv4-unicast ipv6-unicast"
std::string families_of(std::string_view list) {
  std::string out;
  for (const std::string& family : words_of(list)) {
    out += " " + family + "-unicast";
  }
  return out;
}

// The lines of one protocol below its first one, which are pairs of a name and a value, indented by
// what they belong to.
class SessionReader {
 public:
  explicit SessionReader(Session& session) : session_(session) {}

  void line(std::string_view text) {
    const std::size_t indent = std::min(text.size(), text.find_first_not_of(' '));
    const std::string_view rest = trimmed(text);
    if (rest == "Neighbor capabilities" || rest == "Local capabilities") {
      theirs_ = rest.starts_with('N');
      in_capabilities_ = true;
      capability_indent_ = 0;
      header_indent_ = indent;
      return;
    }
    if (in_capabilities_ && indent > header_indent_) {
      if (theirs_) {
        capability(rest, indent);
      }
      return;
    }
    in_capabilities_ = false;
    if (rest == "Channel ipv4" || rest == "Channel ipv6") {
      counts_ = rest.ends_with('4') ? &session_.counts.ipv4 : &session_.counts.ipv6;
      return;
    }
    const auto colon = rest.find(':');
    if (colon != std::string_view::npos) {
      value(rest.substr(0, colon), trimmed(rest.substr(colon + 1)));
    }
  }

 private:
  void capability(std::string_view rest, std::size_t indent) {
    if (capability_indent_ == 0) {
      capability_indent_ = indent;
    }
    auto& all = session_.capabilities;
    if (indent == capability_indent_) {
      all.push_back(lower_first_words(rest));
      return;
    }
    if (all.empty()) {
      return;
    }
    const auto colon = rest.find(':');
    const std::string_view key = rest.substr(0, colon);
    const std::string_view rest_value =
        colon == std::string_view::npos ? std::string_view() : trimmed(rest.substr(colon + 1));
    if (key == "AF announced" || key == "AF supported") {
      all.back() += families_of(rest_value);
    } else if (key == "Restart time") {
      all.back() += fmt::format(" {} s", rest_value);
    } else if (key == "Restart recovery") {
      all.back() += " restarting";
    }
  }

  void value(std::string_view key, std::string_view text) {
    if (key == "BGP state") {
      session_.state = state_of(text);
    } else if (key == "Neighbor ID") {
      session_.router_id = router_id_of(text).value_or(RouterId());
    } else if (key == "Source address") {
      session_.local_address = std::string(text);
    } else if (key == "Hold timer") {
      const auto slash = text.find('/');
      session_.hold_time = std::chrono::seconds(
          slash == std::string_view::npos ? 0 : number_at(text.substr(slash + 1)));
    } else if (key == "Last error") {
      session_.last_error = std::string(text);
    } else if (key == "Routes") {
      routes(text);
    }
  }

  // "3 imported, 1 filtered, 2 exported, 3 preferred"
  void routes(std::string_view text) {
    const std::vector<std::string> words = words_of(text);
    for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
      const std::uint32_t count = number_at(words[i]);
      const std::string_view what = words[i + 1];
      if (what.starts_with("imported")) {
        counts_->accepted += count;
        counts_->received += count;
      } else if (what.starts_with("filtered")) {
        counts_->received += count;
      } else if (what.starts_with("exported")) {
        counts_->advertised += count;
      }
    }
  }

  Session& session_;
  FamilyCounts* counts_ = &session_.counts.ipv4;  // of the channel at hand
  bool theirs_ = false;
  bool in_capabilities_ = false;
  std::size_t header_indent_ = 0;
  std::size_t capability_indent_ = 0;  // of the names
};

// "peer-node2 BGP  ---  start  2026-11-22 03:20:01.655  Active  Socket: Connection refused"
Session session_of(const std::vector<std::string>& words) {
  Session session;
  session.protocol = words[0];
  if (words.size() > 5) {
    session.since = read_time(words[4] + " " + words[5]);
  }
  std::string info;
  for (std::size_t i = 6; i < words.size(); ++i) {
    info += (info.empty() ? "" : " ") + words[i];
  }
  session.no_listener = info.find("No listening socket") != std::string::npos;
  return session;
}

// What tells that routes came or went, of any protocol.
bool is_about_routes(std::string_view text) {
  const std::string_view rest = trimmed(text);
  return rest.starts_with("Import updates:") || rest.starts_with("Import withdraws:") ||
         rest.starts_with("Routes:") || rest.starts_with("GR recovery:");
}

}  // namespace

Protocols read_protocols(const Reply& reply) {
  Protocols out;
  std::optional<SessionReader> reader;
  bool in_session = false;
  for (const ReplyLine& line : reply.lines) {
    const std::vector<std::string> words =
        line.code == kProtocolLine ? words_of(line.text) : std::vector<std::string>();
    if (words.size() >= 4) {
      reader.reset();
      out.fingerprint += line.text + "\n";
      if (words[1] == "BGP") {
        out.sessions.push_back(session_of(words));
      }
      in_session = words[1] == "BGP";
      continue;
    }
    if (is_about_routes(line.text)) {
      out.fingerprint += line.text + "\n";
    }
    if (in_session) {
      if (!reader) {
        reader.emplace(out.sessions.back());
      }
      reader->line(line.text);
    }
  }
  return out;
}

std::map<std::string, std::string> read_bfd(const Reply& reply) {
  std::map<std::string, std::string> out;
  for (const ReplyLine& line : reply.lines) {
    const std::vector<std::string> words = words_of(line.text);
    if (line.code == kBfdLine && words.size() >= 3 && IpAddr::parse(words[0])) {
      out.emplace(words[0], words[2]);
    }
  }
  return out;
}

DaemonState read_status(const Reply& reply) {
  DaemonState out;
  for (const ReplyLine& line : reply.lines) {
    const std::string_view text = trimmed(line.text);
    if (text.starts_with("BIRD ")) {
      out.version = words_of(text)[1];
    } else if (text.starts_with("Graceful restart recovery in progress")) {
      out.recovering = true;
    } else if (text.starts_with("Reconfiguration in progress")) {
      out.reconfiguring = true;
    }
  }
  return out;
}

std::chrono::system_clock::time_point read_time(std::string_view text) {
  std::tm parts{};
  unsigned fraction = 0;
  const std::string copy(text);
  const int got = std::sscanf(copy.c_str(),  // NOLINT(cert-err34-c): what it cannot read stays 0
                              "%d-%d-%d %d:%d:%d.%3u",
                              &parts.tm_year,
                              &parts.tm_mon,
                              &parts.tm_mday,
                              &parts.tm_hour,
                              &parts.tm_min,
                              &parts.tm_sec,
                              &fraction);
  constexpr int kFields = 6;
  if (got < kFields) {
    return {};
  }
  constexpr int kFirstYear = 1900;
  parts.tm_year -= kFirstYear;
  parts.tm_mon -= 1;
  return std::chrono::system_clock::from_time_t(::timegm(&parts)) +
         std::chrono::milliseconds(fraction);
}

}  // namespace margay::bgp::bird
