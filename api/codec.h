#pragma once
// How a struct is read from and written to a document: described once, in a function that both
// directions visit.
//
//   template <typename Visitor>
//   void describe(Visitor& visit, Tier& tier) {
//     visit.field("order", tier.order);
//     visit.field("defaultAction", tier.default_action);
//   }
//
// Reader checks strictly: each field of the document must be described, each value of the right
// type and range. The first error is kept with its path; reading goes on harmlessly. Writer leaves
// out what is absent or empty. A describe() that other files use is declared in a header and
// instantiated for Reader and Writer where it is defined. Internal to api/.

#include "api/metadata.h"
#include "base/ip_addr.h"
#include "base/strong.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace margay::api {

namespace json = boost::json;

// Where in the document we are, and the first thing that was wrong there.
struct ReadState {
  std::optional<Error> error;
  bool is_missing = false;  // the error is that a field is not there

  void fail_at(const std::string& path, const std::string& what);
  void fail_missing(const std::string& path, const std::string& what);
  // A field that nobody knows may be the mistyped name of the one that is missing, so this says
  // more.
  void fail_unknown(const std::string& path, const std::string& what);
};

// The value as an error shows it: strings in quotes, long ones cut.
[[nodiscard]] std::string shown(const json::value& value);

template <typename E>
struct EnumName {
  std::string_view name;
  E value;
};
// Specialised per enumeration: static constexpr std::array rows of EnumName, and kAnyCase = true
// where the case of letters does not matter.
template <typename E>
struct EnumNames;
[[nodiscard]] bool same_word(std::string_view a, std::string_view b);  // in any case

class Reader;
class Writer;

// ---- values: one overload per type that is not a described struct.
void read_value(ReadState& state, const std::string& path, const json::value& in, std::string& out);
void read_value(ReadState& state, const std::string& path, const json::value& in, bool& out);
void read_value(ReadState& state, const std::string& path, const json::value& in, double& out);
void read_value(ReadState& state, const std::string& path, const json::value& in, IpAddr& out);
void read_value(ReadState& state, const std::string& path, const json::value& in, Prefix& out);
void read_value(ReadState& state,
                const std::string& path,
                const json::value& in,
                InterfaceAddr& out);
void read_value(ReadState& state, const std::string& path, const json::value& in, Asn& out);
void read_value(ReadState& state, const std::string& path, const json::value& in, RouterId& out);
void read_value(ReadState& state, const std::string& path, const json::value& in, NodeName& out);
void read_value(ReadState& state, const std::string& path, const json::value& in, IfName& out);
// A number within [low, high].
std::optional<std::int64_t> read_integer(ReadState& state,
                                         const std::string& path,
                                         const json::value& in,
                                         std::int64_t low,
                                         std::int64_t high);
template <std::integral T>
requires(!std::same_as<T, bool>) void read_value(ReadState& state,
                                                 const std::string& path,
                                                 const json::value& in,
                                                 T& out) {
  constexpr auto kHigh = static_cast<std::int64_t>(std::min<std::uint64_t>(
      static_cast<std::uint64_t>(std::numeric_limits<T>::max()), std::uint64_t{1} << 62U));
  if (const auto number = read_integer(state, path, in, std::is_signed_v<T> ? -kHigh : 0, kHigh)) {
    out = static_cast<T>(*number);
  }
}
template <typename T>
requires std::is_enum_v<T>
void read_value(ReadState& state, const std::string& path, const json::value& in, T& out);
template <typename T>
void read_value(ReadState& state,
                const std::string& path,
                const json::value& in,
                std::optional<T>& out);
template <typename T>
void read_value(ReadState& state,
                const std::string& path,
                const json::value& in,
                std::vector<T>& out);
template <typename K, typename V>
void read_value(ReadState& state,
                const std::string& path,
                const json::value& in,
                std::map<K, V>& out);

template <typename T>
requires std::is_enum_v<T> json::value write_value(T in);
template <typename T>
json::value write_value(const std::optional<T>& in);
template <typename T>
json::value write_value(const std::vector<T>& in);
template <typename K, typename V>
json::value write_value(const std::map<K, V>& in);
json::value write_value(const std::string& in);
json::value write_value(bool in);
json::value write_value(double in);
json::value write_value(const IpAddr& in);
json::value write_value(const Prefix& in);
json::value write_value(const InterfaceAddr& in);
json::value write_value(const Asn& in);
json::value write_value(const RouterId& in);
json::value write_value(const NodeName& in);
json::value write_value(const IfName& in);
template <std::integral T>
requires(!std::same_as<T, bool>) json::value write_value(T in) {
  return json::value(in);
}

[[nodiscard]] const json::object* as_object(ReadState& state,
                                            const std::string& path,
                                            const json::value& in);
[[nodiscard]] const json::array* as_array(ReadState& state,
                                          const std::string& path,
                                          const json::value& in);

// ---- Reader: visits the fields of one object.
class Reader {
 public:
  Reader(ReadState& state, std::string path, const json::object& object)
      : state_(state), path_(std::move(path)), object_(object) {}

  static constexpr bool kReads = true;

  // Optional: the member keeps its value when the field is absent or null.
  template <typename T>
  void field(std::string_view name, T& member) {
    if (const json::value* value = find(name)) {
      read_value(state_, path_of(name), *value, member);
    }
  }
  template <typename T>
  void required(std::string_view name, T& member) {
    if (const json::value* value = find(name)) {
      read_value(state_, path_of(name), *value, member);
    } else {
      state_.fail_missing(path_of(name), "required");
    }
  }
  // Optional when read, always written.
  template <typename T>
  void required_or_default(std::string_view name, T& member) {
    field(name, member);
  }
  // A whole number within [low, high], optional.
  template <typename T>
  void number(std::string_view name, T& member, std::int64_t low, std::int64_t high) {
    if (const json::value* value = find(name)) {
      if (const auto read = read_integer(state_, path_of(name), *value, low, high)) {
        assign(member, *read);
      }
    }
  }
  // A field with its own reading and writing.
  template <typename Read, typename Write>
  void custom(std::string_view name, Read read, Write /*write*/) {
    if (const json::value* value = find(name)) {
      read(state_, path_of(name), *value);
    }
  }
  // An object that is no struct of its own; `describe_fields` takes the visitor.
  template <typename Describe>
  void object(std::string_view name, Describe describe_fields) {
    if (const json::value* value = find(name)) {
      read_object(path_of(name), *value, describe_fields);
    }
  }
  // A list of objects whose description needs more than their type; `describe_one` takes the
  // visitor and the member.
  template <typename T, typename Describe>
  void list(std::string_view name, std::vector<T>& members, Describe describe_one) {
    const json::value* value = find(name);
    const json::array* array = value == nullptr ? nullptr : as_array(state_, path_of(name), *value);
    for (std::size_t i = 0; array != nullptr && i < array->size() && !state_.error; ++i) {
      read_object(path_of(name) + "[" + std::to_string(i) + "]", (*array)[i], [&](Reader& reader) {
        describe_one(reader, members.emplace_back());
      });
    }
  }
  // A field of Calico that means nothing here.
  void ignored(std::string_view name) { (void)find(name); }
  // A field of Calico that this version does not enforce: refused, never silently dropped.
  void unsupported(std::string_view name, std::string_view why = "not supported by Margay yet");

  [[nodiscard]] bool has(std::string_view name) const {
    return object_.if_contains(name) != nullptr;
  }
  [[nodiscard]] std::string path_of(std::string_view name) const {
    return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
  }
  // A rule over several fields was broken.
  void fail(std::string_view name, const std::string& what) { state_.fail_at(path_of(name), what); }
  // A field that other fields ask for is not there.
  void fail_missing(std::string_view name, const std::string& what = "required") {
    state_.fail_missing(path_of(name), what);
  }
  // The first field that nobody described, now taken as described. One that reads like a described
  // one, mistyped, is left to finish().
  [[nodiscard]] const json::key_value_pair* take_unknown();
  // Fields that nobody described are no error.
  void skip_unknown() { skips_unknown_ = true; }
  // Reports the first field that nobody described.
  void finish();
  // Reports the first of them that reads like a described one, mistyped.
  void finish_mistyped();

 private:
  template <std::integral T>
  static void assign(T& member, std::int64_t value) {
    member = static_cast<T>(value);
  }
  template <std::integral T>
  static void assign(std::optional<T>& member, std::int64_t value) {
    member = static_cast<T>(value);
  }
  const json::value* find(std::string_view name);
  template <typename Describe>
  void read_object(const std::string& path, const json::value& in, Describe describe_fields) {
    if (const json::object* object = as_object(state_, path, in)) {
      Reader reader(state_, path, *object);
      describe_fields(reader);
      reader.finish();
    }
  }
  [[nodiscard]] bool is_known(std::string_view name) const;
  [[nodiscard]] std::string_view nearest_known(std::string_view name) const;  // empty: none is near

  ReadState& state_;
  std::string path_;
  const json::object& object_;
  std::vector<std::string_view> known_;
  bool skips_unknown_ = false;
};

// ---- Writer: fills one object.
class Writer {
 public:
  static constexpr bool kReads = false;

  template <typename T>
  void field(std::string_view name, const T& member);
  template <typename T>
  void required(std::string_view name, const T& member);
  template <typename T>
  void required_or_default(std::string_view name, const T& member) {
    required(name, member);
  }
  // Written but where an optional member is absent.
  template <typename T>
  void number(std::string_view name, const T& member, std::int64_t /*low*/, std::int64_t /*high*/) {
    json::value value = write_value(member);
    if (!value.is_null()) {
      object_.insert_or_assign(name, std::move(value));
    }
  }
  template <typename Read, typename Write>
  void custom(std::string_view name, Read /*read*/, Write write) {
    json::value value = write();
    if (!value.is_null()) {
      object_.insert_or_assign(name, std::move(value));
    }
  }
  template <typename Describe>
  void object(std::string_view name, Describe describe_fields) {
    Writer writer;
    describe_fields(writer);
    if (!writer.object_.empty()) {
      object_.insert_or_assign(name, writer.take());
    }
  }
  template <typename T, typename Describe>
  void list(std::string_view name, std::vector<T>& members, Describe describe_one) {
    json::array out;
    for (T& member : members) {
      Writer writer;
      describe_one(writer, member);
      out.push_back(writer.take());
    }
    if (!out.empty()) {
      object_.insert_or_assign(name, std::move(out));
    }
  }
  void ignored(std::string_view /*name*/) {}
  void unsupported(std::string_view /*name*/, std::string_view /*why*/ = {}) {}
  [[nodiscard]] bool has(std::string_view /*name*/) const { return true; }
  void fail(std::string_view /*name*/, const std::string& /*what*/) {}
  void fail_missing(std::string_view /*name*/, const std::string& /*what*/ = {}) {}
  void skip_unknown() {}

  [[nodiscard]] json::object take() { return std::move(object_); }

 private:
  json::object object_;
};

// ---- structs with a describe() function.
template <typename T>
concept Described = std::is_class_v<T> && requires(Reader& reader, Writer& writer, T& value) {
  describe(reader, value);
  describe(writer, value);
};

template <Described T>
void read_value(ReadState& state, const std::string& path, const json::value& in, T& out) {
  if (const json::object* object = as_object(state, path, in)) {
    Reader reader(state, path, *object);
    describe(reader, out);
    reader.finish();
  }
}
template <Described T>
json::value write_value(const T& in) {
  Writer writer;
  T copy = in;  // describe() takes what it may fill
  describe(writer, copy);
  return writer.take();
}

template <typename T>
requires std::is_enum_v<T>
void read_value(ReadState& state, const std::string& path, const json::value& in, T& out) {
  std::string names;
  for (const auto& row : EnumNames<T>::rows) {
    if (in.is_string() && in.as_string() == row.name) {
      out = row.value;
      return;
    }
    if constexpr (requires { EnumNames<T>::kAnyCase; }) {
      if (in.is_string() && same_word(in.get_string(), row.name)) {
        out = row.value;
        return;
      }
    }
    names += names.empty() ? "" : &row == &EnumNames<T>::rows.back() ? " or " : ", ";
    names += row.name;
  }
  state.fail_at(path, shown(in) + ": expected " + names);
}
template <typename T>
requires std::is_enum_v<T> json::value write_value(T in) {
  for (const auto& row : EnumNames<T>::rows) {
    if (row.value == in) {
      return json::value(row.name);
    }
  }
  return nullptr;
}

template <typename T>
void read_value(ReadState& state,
                const std::string& path,
                const json::value& in,
                std::optional<T>& out) {
  if (in.is_null()) {
    return;
  }
  T value{};
  read_value(state, path, in, value);
  out = std::move(value);
}
template <typename T>
json::value write_value(const std::optional<T>& in) {
  return in ? json::value(write_value(*in)) : json::value(nullptr);
}

// Lists of numbers are long (a block has one for each address): the path of an element is spelt out
// only for one that is not as it should be. False: read_value() has to look.
template <typename T>
bool read_plain(const json::value& /*in*/, T& /*out*/) {
  return false;
}
template <std::integral T>
requires(!std::same_as<T, bool>) bool read_plain(const json::value& in, T& out) {
  const std::int64_t* number = in.if_int64();
  if (number == nullptr || *number < 0 || !std::in_range<T>(*number)) {
    return false;
  }
  out = static_cast<T>(*number);
  return true;
}
template <typename T>
bool read_plain(const json::value& in, std::optional<T>& out) {
  return in.is_null() || read_plain(in, out.emplace());
}

template <typename T>
void read_value(ReadState& state,
                const std::string& path,
                const json::value& in,
                std::vector<T>& out) {
  const json::array* array = as_array(state, path, in);
  if (array == nullptr) {
    return;
  }
  out.clear();
  out.reserve(array->size());
  for (std::size_t i = 0; i < array->size() && !state.error; ++i) {
    T value{};
    if (!read_plain((*array)[i], value)) {
      value = T{};
      read_value(state, path + "[" + std::to_string(i) + "]", (*array)[i], value);
    }
    out.push_back(std::move(value));
  }
}
template <typename T>
json::value write_value(const std::vector<T>& in) {
  json::array out;
  for (const T& value : in) {
    out.push_back(write_value(value));
  }
  return out;
}

// -1 when it is no decimal number.
[[nodiscard]] std::int64_t parse_number(std::string_view text);

// Keys of maps are texts of their type.
template <typename K>
std::optional<K> read_key(ReadState& state, const std::string& path, std::string_view text) {
  K key{};
  if constexpr (std::integral<K>) {
    read_value(state, path, json::value(parse_number(text)), key);
  } else {
    read_value(state, path, json::value(text), key);
  }
  return state.error ? std::nullopt : std::optional(std::move(key));
}
template <typename K>
std::string write_key(const K& key) {
  const json::value value = write_value(key);
  return value.is_string() ? std::string(value.as_string()) : json::serialize(value);
}
template <typename K, typename V>
void read_value(ReadState& state,
                const std::string& path,
                const json::value& in,
                std::map<K, V>& out) {
  const json::object* object = as_object(state, path, in);
  if (object == nullptr) {
    return;
  }
  out.clear();
  for (const auto& [name, value] : *object) {
    const std::string at = path + "." + std::string(name);
    auto key = read_key<K>(state, at, name);
    if (!key) {
      return;
    }
    V member{};
    read_value(state, at, value, member);
    out.emplace(std::move(*key), std::move(member));
  }
}
template <typename K, typename V>
json::value write_value(const std::map<K, V>& in) {
  json::object out;
  for (const auto& [key, value] : in) {
    out.insert_or_assign(write_key(key), write_value(value));
  }
  return out;
}

// Absent and empty values are left out; false and zero are shown only where a field is required.
template <typename T>
[[nodiscard]] bool is_absent(const T& member) {
  if constexpr (requires { member.has_value(); }) {
    return !member.has_value();
  } else if constexpr (std::same_as<T, bool>) {
    return !member;
  } else if constexpr (requires { member.empty(); }) {
    return member.empty();
  } else if constexpr (requires { member.str(); }) {
    return member.str().empty();
  } else {
    return false;
  }
}

template <typename T>
void Writer::field(std::string_view name, const T& member) {
  if (is_absent(member)) {
    return;
  }
  json::value value = write_value(member);
  if (value.is_null() ||
      (value.is_object() && value.as_object().empty() && !requires { member.has_value(); })) {
    return;
  }
  object_.insert_or_assign(name, std::move(value));
}
template <typename T>
void Writer::required(std::string_view name, const T& member) {
  object_.insert_or_assign(name, write_value(member));
}

}  // namespace margay::api
