#pragma once
// Reading fields of one JSON object of a network configuration; keeps the first error, so that a
// caller checks once at the end. For .cpp files of this folder only.

#include "cni/config.h"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace margay::cni {

[[nodiscard]] CniError bad_field(std::string_view path, std::string_view expected);

class Fields {
 public:
  Fields(const boost::json::object& object, std::string path, std::optional<CniError>& error)
      : object_(object), path_(std::move(path)), error_(error) {}

  // Null when absent or JSON null.
  [[nodiscard]] const boost::json::value* find(std::string_view name) const;
  void complain(std::string_view name, std::string_view expected);
  void text(std::string_view name, std::string& out);
  void flag(std::string_view name, bool& out);
  // From 0 to max.
  void number(std::string_view name, std::uint32_t max, std::uint32_t& out);
  void number(std::string_view name, std::uint64_t& out);
  void texts(std::string_view name, std::vector<std::string>& out);
  // An empty list when absent or wrong.
  const boost::json::array& list(std::string_view name);
  // The fields of a nested object; nothing when absent or wrong.
  std::optional<Fields> nested(std::string_view name);
  [[nodiscard]] const boost::json::object& object() const { return object_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::optional<CniError>& error() { return error_; }

 private:
  const boost::json::object& object_;
  std::string path_;
  std::optional<CniError>& error_;
};

// What the runtime gave for the capabilities, and the same of the configuration: addresses, MAC,
// ports, bandwidth, DNS.
void read_runtime_config(Fields& config, NetworkConfig& out);

}  // namespace margay::cni
