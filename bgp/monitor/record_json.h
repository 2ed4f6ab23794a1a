#pragma once
// Values to JSON and back. A structure lists its fields once, in a function describe(visitor,
// structure) of this namespace, for both ways. Internal to bgp/monitor.

#include "base/ip_addr.h"
#include "base/strong.h"

#include <boost/json.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace margay::bgp::record {

namespace json = boost::json;

template <typename T>
concept Number = std::integral<T> && !std::same_as<T, bool>;

template <typename T>
struct IsStrong : std::false_type {};
template <typename Tag, Number Rep>
struct IsStrong<Strong<Tag, Rep>> : std::true_type {};

struct Writer {
  json::object out;
  template <typename T>
  void operator()(const char* name, const T& value) {
    out[name] = put(value);
  }

  static json::value put(bool value) { return value; }
  static json::value put(Number auto value) { return json::value_from(value); }
  static json::value put(const std::string& value) { return json::string(value); }
  static json::value put(const IpAddr& value) { return json::string(value.str()); }
  static json::value put(const Prefix& value) { return json::string(value.str()); }
  template <typename Rep, typename Period>
  static json::value put(const std::chrono::duration<Rep, Period>& value) {
    return static_cast<std::int64_t>(value.count());
  }
  template <typename T>
  requires IsStrong<T>::value static json::value put(const T& value) { return put(value.value()); }
  template <typename T>
  requires std::is_enum_v<T>
  static json::value put(T value) { return put(static_cast<unsigned>(value)); }
  template <typename T>
  static json::value put(const std::optional<T>& value) {
    return value ? put(*value) : json::value(nullptr);
  }
  template <typename T>
  static json::value put(const std::vector<T>& values) {
    json::array array;
    for (const T& value : values) {
      array.push_back(put(value));
    }
    return array;
  }
  // One of several: its place and its value.
  template <typename... T>
  static json::value put(const std::variant<T...>& value) {
    json::object object;
    object["kind"] = value.index();
    object["value"] = std::visit([](const auto& one) { return put(one); }, value);
    return object;
  }
  template <typename T>
  requires std::is_aggregate_v<T>
  static json::value put(const T& value) {
    Writer writer;
    T copy = value;
    describe(writer, copy);
    return std::move(writer.out);
  }
};

// get() is false when the JSON is something else.
struct Reader {
  const json::object& in;
  bool good = true;
  template <typename T>
  void operator()(const char* name, T& value) {
    const json::value* found = in.if_contains(name);
    good = good && found != nullptr && get(*found, value);
  }

  static bool get(const json::value& in, bool& value) {
    value = in.is_bool() && in.get_bool();
    return in.is_bool();
  }
  template <Number T>
  static bool get(const json::value& in, T& value) {
    boost::system::error_code error;
    value = in.to_number<T>(error);
    return !error;
  }
  static bool get(const json::value& in, std::string& value) {
    if (in.is_string()) {
      value = std::string(in.get_string());
    }
    return in.is_string();
  }
  template <typename T>
  static bool parsed(const json::value& in, T& value) {
    const auto result = T::parse(in.is_string() ? std::string_view(in.get_string()) : "");
    if (result) {
      value = *result;
    }
    return result.has_value();
  }
  static bool get(const json::value& in, IpAddr& value) { return parsed(in, value); }
  static bool get(const json::value& in, Prefix& value) { return parsed(in, value); }
  template <typename Rep, typename Period>
  static bool get(const json::value& in, std::chrono::duration<Rep, Period>& value) {
    std::int64_t count = 0;
    const bool good = get(in, count);
    value = std::chrono::duration<Rep, Period>(count);
    return good;
  }
  template <typename Tag, Number Rep>
  static bool get(const json::value& in, Strong<Tag, Rep>& value) {
    Rep number{};
    const bool good = get(in, number);
    value = Strong<Tag, Rep>(number);
    return good;
  }
  template <typename T>
  requires std::is_enum_v<T>
  static bool get(const json::value& in, T& value) {
    std::underlying_type_t<T> number{};
    const bool good = get(in, number);
    value = static_cast<T>(number);
    return good;
  }
  template <typename T>
  static bool get(const json::value& in, std::optional<T>& value) {
    value.reset();
    return in.is_null() || get(in, value.emplace());
  }
  template <typename T>
  static bool get(const json::value& in, std::vector<T>& values) {
    values.clear();
    return in.is_array() && std::ranges::all_of(in.get_array(), [&values](const auto& one) {
             return get(one, values.emplace_back());
           });
  }
  template <typename... T>
  static bool get(const json::value& in, std::variant<T...>& value) {
    const json::object* object = in.if_object();
    std::size_t kind = sizeof...(T);
    if (object == nullptr || !object->contains("kind") || !object->contains("value") ||
        !get(object->at("kind"), kind)) {
      return false;
    }
    std::size_t place = 0;
    const auto take = [&](auto one) {
      const bool chosen = place++ == kind && get(object->at("value"), one);
      if (chosen) {
        value = std::move(one);
      }
      return chosen;
    };
    return (... || take(T()));
  }
  template <typename T>
  requires std::is_aggregate_v<T>
  static bool get(const json::value& in, T& value) {
    const json::object* object = in.if_object();
    if (object == nullptr) {
      return false;
    }
    Reader reader{*object};
    describe(reader, value);
    return reader.good;
  }
};

}  // namespace margay::bgp::record
