#include "cni/fields.h"

#include <boost/json/array.hpp>

#include <utility>

namespace margay::cni {

namespace json = boost::json;

CniError bad_field(std::string_view path, std::string_view expected) {
  return {Code::kBadConfig,
          "network configuration: " + std::string(path) + ": expected " + std::string(expected),
          "mend the network configuration (*.conflist)"};
}

const json::value* Fields::find(std::string_view name) const {
  const json::value* value = object_.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void Fields::complain(std::string_view name, std::string_view expected) {
  if (!error_) {
    error_ = bad_field(path_ + std::string(name), expected);
  }
}

void Fields::text(std::string_view name, std::string& out) {
  if (const json::value* value = find(name)) {
    if (value->is_string()) {
      out = std::string(value->get_string());
    } else {
      complain(name, "a string");
    }
  }
}

void Fields::flag(std::string_view name, bool& out) {
  if (const json::value* value = find(name)) {
    if (value->is_bool()) {
      out = value->get_bool();
    } else {
      complain(name, "true or false");
    }
  }
}

void Fields::number(std::string_view name, std::uint32_t max, std::uint32_t& out) {
  if (const json::value* value = find(name)) {
    if (value->is_int64() && value->get_int64() >= 0 && value->get_int64() <= max) {
      out = static_cast<std::uint32_t>(value->get_int64());
    } else {
      complain(name, "a number from 0 to " + std::to_string(max));
    }
  }
}

void Fields::number(std::string_view name, std::uint64_t& out) {
  if (const json::value* value = find(name)) {
    if (value->is_int64() && value->get_int64() >= 0) {
      out = static_cast<std::uint64_t>(value->get_int64());
    } else if (value->is_uint64()) {
      out = value->get_uint64();
    } else {
      complain(name, "a whole number, 0 or more");
    }
  }
}

void Fields::texts(std::string_view name, std::vector<std::string>& out) {
  for (const json::value& item : list(name)) {
    if (item.is_string()) {
      out.emplace_back(item.get_string());
    } else {
      complain(name, "a list of strings");
    }
  }
}

const json::array& Fields::list(std::string_view name) {
  static const json::array empty;
  const json::value* value = find(name);
  if (value != nullptr && !value->is_array()) {
    complain(name, "a list");
  }
  return value != nullptr && value->is_array() ? value->get_array() : empty;
}

std::optional<Fields> Fields::nested(std::string_view name) {
  const json::value* value = find(name);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (!value->is_object()) {
    complain(name, "an object");
    return std::nullopt;
  }
  return std::optional<Fields>(
      std::in_place, value->get_object(), path_ + std::string(name) + ".", error_);
}

}  // namespace margay::cni
