#include "api/codec.h"

#include "base/edit_distance.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <cmath>

namespace margay::api {

namespace {

constexpr std::size_t kShownBytes = 80;

template <typename T>
void read_parsed(ReadState& state,
                 const std::string& path,
                 const json::value& in,
                 T& out,
                 std::string_view expected) {
  std::string text;
  read_value(state, path, in, text);
  if (state.error) {
    return;
  }
  auto parsed = T::parse(text);
  if (!parsed) {
    // The parser's own words say what is wrong where they are about more than syntax.
    const std::string& why = parsed.error().text;
    state.fail_at(path,
                  why.find("host bits") != std::string::npos
                      ? why
                      : shown(in) + ": expected " + std::string(expected));
    return;
  }
  out = std::move(*parsed);
}

std::string dotted_quad(std::uint32_t value) {
  return IpAddr::v4(value).str();
}

}  // namespace

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

void ReadState::fail_at(const std::string& path, const std::string& what) {
  if (!error) {
    error = Error{Errc::kInvalid, path.empty() ? what : path + ": " + what, 0};
  }
}

void ReadState::fail_missing(const std::string& path, const std::string& what) {
  is_missing = is_missing || !error;
  fail_at(path, what);
}

void ReadState::fail_unknown(const std::string& path, const std::string& what) {
  if (std::exchange(is_missing, false)) {
    error.reset();
  }
  fail_at(path, what);
}

std::string shown(const json::value& value) {
  std::string text = json::serialize(value);
  if (text.size() > kShownBytes) {
    text.resize(kShownBytes);
    text += "...";
  }
  return text;
}

std::int64_t parse_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, errc] = std::from_chars(text.data(), text.data() + text.size(), number);
  return errc == std::errc{} && end == text.data() + text.size() && number >= 0 ? number : -1;
}

const json::object* as_object(ReadState& state, const std::string& path, const json::value& in) {
  if (!in.is_object()) {
    state.fail_at(path, shown(in) + ": expected a mapping");
    return nullptr;
  }
  return &in.get_object();
}

const json::array* as_array(ReadState& state, const std::string& path, const json::value& in) {
  if (!in.is_array()) {
    state.fail_at(path, shown(in) + ": expected a list");
    return nullptr;
  }
  return &in.get_array();
}

void read_value(ReadState& state,
                const std::string& path,
                const json::value& in,
                std::string& out) {
  if (!in.is_string()) {
    state.fail_at(path,
                  shown(in) + ": expected a string" +
                      (in.is_primitive() && !in.is_null() ? " (put it in quotes)" : ""));
    return;
  }
  out = in.get_string();
}

void read_value(ReadState& state, const std::string& path, const json::value& in, bool& out) {
  if (!in.is_bool()) {
    state.fail_at(path, shown(in) + ": expected true or false");
    return;
  }
  out = in.get_bool();
}

void read_value(ReadState& state, const std::string& path, const json::value& in, double& out) {
  boost::system::error_code errc;
  const auto number = in.to_number<double>(errc);
  if (errc || !std::isfinite(number)) {
    state.fail_at(path, shown(in) + ": expected a number");
    return;
  }
  out = number;
}

std::optional<std::int64_t> read_integer(ReadState& state,
                                         const std::string& path,
                                         const json::value& in,
                                         std::int64_t low,
                                         std::int64_t high) {
  boost::system::error_code errc;
  const auto number = in.to_number<std::int64_t>(errc);
  if (errc || number < low || number > high) {
    state.fail_at(path,
                  fmt::format("{}: expected a whole number from {} to {}", shown(in), low, high));
    return std::nullopt;
  }
  return number;
}

void read_value(ReadState& state, const std::string& path, const json::value& in, IpAddr& out) {
  read_parsed(state, path, in, out, "an IPv4 or IPv6 address");
}
void read_value(ReadState& state, const std::string& path, const json::value& in, Prefix& out) {
  read_parsed(state, path, in, out, "a CIDR such as 10.0.0.0/8 or fd00::/64");
}
void read_value(ReadState& state,
                const std::string& path,
                const json::value& in,
                InterfaceAddr& out) {
  read_parsed(state, path, in, out, "an address with its network's length, such as 192.0.2.1/24");
}
void read_value(ReadState& state, const std::string& path, const json::value& in, NodeName& out) {
  read_parsed(state, path, in, out, "the name of a node: lower-case letters, digits, '-' and '.'");
}
void read_value(ReadState& state, const std::string& path, const json::value& in, IfName& out) {
  read_parsed(state,
              path,
              in,
              out,
              "the name of an interface: 1 to 15 bytes without '/', ':' or white space");
}

// 64512, "64512", or "1.10" (RFC 5396 asdot).
void read_value(ReadState& state, const std::string& path, const json::value& in, Asn& out) {
  constexpr std::int64_t kHighest = 0xffffffff;
  constexpr std::int64_t kHighestHalf = 0xffff;
  std::int64_t number = -1;
  if (in.is_string()) {
    const std::string_view text = in.get_string();
    const std::size_t dot = text.find('.');
    number = parse_number(text.substr(0, dot));
    if (dot != std::string_view::npos) {
      const std::int64_t low = parse_number(text.substr(dot + 1));
      const bool halves = number >= 0 && number <= kHighestHalf && low >= 0 && low <= kHighestHalf;
      number = halves ? number * (kHighestHalf + 1) + low : -1;
    }
  } else if (in.is_int64() || in.is_uint64()) {
    boost::system::error_code errc;
    number = in.to_number<std::int64_t>(errc);
  }
  if (number < 1 || number > kHighest) {
    state.fail_at(path, shown(in) + ": expected an AS number from 1 to 4294967295");
    return;
  }
  out = Asn(static_cast<std::uint32_t>(number));
}

void read_value(ReadState& state, const std::string& path, const json::value& in, RouterId& out) {
  const auto addr = IpAddr::parse(in.is_string() ? std::string_view(in.get_string()) : "");
  if (addr && addr->is_v4()) {
    out = RouterId(addr->v4_value());
  } else {
    state.fail_at(path, shown(in) + ": expected four numbers with dots, such as 10.0.0.1");
  }
}

json::value write_value(const std::string& in) {
  return json::value(in);
}
json::value write_value(bool in) {
  return json::value(in);
}
json::value write_value(double in) {
  // Whole numbers as such: order 1000, not 1e3.
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (std::floor(in) == in && std::fabs(in) < kExact) {
    return json::value(static_cast<std::int64_t>(in));
  }
  return json::value(in);
}
json::value write_value(const IpAddr& in) {
  return json::value(in.str());
}
json::value write_value(const Prefix& in) {
  return json::value(in.str());
}
json::value write_value(const InterfaceAddr& in) {
  return json::value(in.str());
}
json::value write_value(const Asn& in) {
  return json::value(in.value());
}
json::value write_value(const RouterId& in) {
  return json::value(dotted_quad(in.value()));
}
json::value write_value(const NodeName& in) {
  return json::value(in.str());
}
json::value write_value(const IfName& in) {
  return json::value(in.str());
}

const json::value* Reader::find(std::string_view name) {
  known_.push_back(name);
  const json::value* value = object_.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void Reader::unsupported(std::string_view name, std::string_view why) {
  if (find(name) != nullptr) {
    state_.fail_at(path_of(name), std::string(why));
  }
}

bool Reader::is_known(std::string_view name) const {
  return std::ranges::find(known_, name) != known_.end();
}

std::string_view Reader::nearest_known(std::string_view name) const {
  return nearest_name(name, known_);
}

const json::key_value_pair* Reader::take_unknown() {
  for (const json::key_value_pair& field : object_) {
    if (!is_known(field.key()) && nearest_known(field.key()).empty()) {
      known_.push_back(field.key());
      return &field;
    }
  }
  return nullptr;
}

void Reader::finish() {
  if (skips_unknown_) {
    return;
  }
  for (const auto& [name, value] : object_) {
    if (is_known(name)) {
      continue;
    }
    const std::string_view nearest = nearest_known(name);
    state_.fail_unknown(path_of(name),
                        nearest.empty()
                            ? "unknown field"
                            : "unknown field, did you mean " + std::string(nearest) + "?");
    return;
  }
}

void Reader::finish_mistyped() {
  while (take_unknown() != nullptr) {
  }
  finish();
}

}  // namespace margay::api
