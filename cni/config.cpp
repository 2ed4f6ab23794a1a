#include "cni/config.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <cctype>
#include <utility>

namespace margay::cni {

namespace json = boost::json;

namespace {

CniError bad_field(std::string_view path, std::string_view expected) {
  return {Code::kBadConfig,
          "network configuration: " + std::string(path) + ": expected " + std::string(expected),
          "mend the network configuration (*.conflist)"};
}

// Reads fields of one object; keeps the first error, so that a caller checks once at the end.
class Fields {
 public:
  Fields(const json::object& object, std::string path, std::optional<CniError>& error)
      : object_(object), path_(std::move(path)), error_(error) {}

  // Null when absent or JSON null.
  [[nodiscard]] const json::value* find(std::string_view name) const {
    const json::value* value = object_.if_contains(name);
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  void complain(std::string_view name, std::string_view expected) {
    if (!error_) {
      error_ = bad_field(path_ + std::string(name), expected);
    }
  }
  void text(std::string_view name, std::string& out) {
    if (const json::value* value = find(name)) {
      if (value->is_string()) {
        out = std::string(value->get_string());
      } else {
        complain(name, "a string");
      }
    }
  }
  void flag(std::string_view name, bool& out) {
    if (const json::value* value = find(name)) {
      if (value->is_bool()) {
        out = value->get_bool();
      } else {
        complain(name, "true or false");
      }
    }
  }
  void number(std::string_view name, std::uint32_t max, std::uint32_t& out) {
    if (const json::value* value = find(name)) {
      if (value->is_int64() && value->get_int64() >= 0 && value->get_int64() <= max) {
        out = static_cast<std::uint32_t>(value->get_int64());
      } else {
        complain(name, "a number from 0 to " + std::to_string(max));
      }
    }
  }
  void texts(std::string_view name, std::vector<std::string>& out) {
    for (const json::value& item : list(name)) {
      if (item.is_string()) {
        out.emplace_back(item.get_string());
      } else {
        complain(name, "a list of strings");
      }
    }
  }
  // An empty list when absent or wrong.
  const json::array& list(std::string_view name) {
    static const json::array empty;
    const json::value* value = find(name);
    if (value != nullptr && !value->is_array()) {
      complain(name, "a list");
    }
    return value != nullptr && value->is_array() ? value->get_array() : empty;
  }
  // The fields of a nested object; nothing when absent or wrong.
  std::optional<Fields> nested(std::string_view name) {
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
  [[nodiscard]] const json::object& object() const { return object_; }
  [[nodiscard]] std::optional<CniError>& error() { return error_; }

 private:
  const json::object& object_;
  std::string path_;
  std::optional<CniError>& error_;
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(
      out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

void read_labels(Fields& config, std::map<std::string, std::string>& labels) {
  if (auto own = config.nested("labels")) {
    for (const auto& entry : own->object()) {
      std::string value;
      own->text(entry.key(), value);
      labels[std::string(entry.key())] = std::move(value);
    }
  }
  auto args = config.nested("args");
  auto conventions = args ? args->nested("cni") : std::nullopt;
  if (!conventions) {
    return;
  }
  for (const json::value& item : conventions->list("labels")) {
    if (!item.is_object()) {
      conventions->complain("labels", "a list of objects with key and value");
      return;
    }
    Fields label(item.get_object(), "args.cni.labels.", conventions->error());
    std::string key;
    std::string value;
    label.text("key", key);
    label.text("value", value);
    if (key.empty()) {
      label.complain("key", "the name of a label");
    }
    labels[key] = std::move(value);
  }
}

void read_ipam(Fields& config, NetworkConfig& out) {
  auto ipam = config.nested("ipam");
  if (!ipam) {
    return;
  }
  ipam->text("type", out.ipam.type);
  ipam->flag("assign_ipv4", out.ipam.assign_ipv4);
  ipam->flag("assign_ipv6", out.ipam.assign_ipv6);
  ipam->texts("ipv4_pools", out.ipam.ipv4_pools);
  ipam->texts("ipv6_pools", out.ipam.ipv6_pools);
  // Under another plugin there is no place for these but here.
  ipam->text("run_dir", out.run_dir);
  ipam->number("timeout_s", kMaxTimeoutS, out.timeout_s);
}

// Runtimes written in Go send any capitalisation, as their decoders do not care.
json::object with_lower_keys(const json::object& object) {
  json::object out;
  for (const auto& entry : object) {
    out[lower(entry.key())] = entry.value();
  }
  return out;
}

void read_addresses(Fields& runtime, std::vector<IpAddr>& out) {
  std::vector<std::string> texts;
  runtime.texts("ips", texts);
  for (const std::string& text : texts) {
    const auto addr = InterfaceAddr::parse(text);
    const auto alone = addr ? Result<IpAddr>(addr->addr) : IpAddr::parse(text);
    if (alone) {
      // podman names an address twice when it reloads a network.
      if (std::ranges::find(out, *alone) == out.end()) {
        out.push_back(*alone);
      }
    } else {
      runtime.complain("ips", "addresses, not \"" + text + "\"");
    }
  }
}

void read_mac(Fields& runtime, std::optional<MacAddr>& out) {
  std::string text;
  runtime.text("mac", text);
  if (text.empty()) {
    return;
  }
  if (const auto mac = MacAddr::parse(text)) {
    out = *mac;
  } else {
    runtime.complain("mac", "six bytes such as 02:00:00:00:00:01, not \"" + text + "\"");
  }
}

void read_port(Fields mapping, api::EndpointPort& port) {
  const auto number = [&mapping](std::string_view name, std::uint16_t& out) {
    constexpr std::uint32_t kMaxPort = 65535;
    std::uint32_t value = 0;
    mapping.number(name, kMaxPort, value);
    if (value == 0) {
      mapping.complain(name, "a port from 1 to 65535");
    }
    out = static_cast<std::uint16_t>(value);
  };
  number("hostport", port.host_port);
  number("containerport", port.port);
  std::string protocol = "tcp";
  mapping.text("protocol", protocol);
  const std::string name = lower(protocol);
  if (name == "tcp" || name == "udp" || name == "sctp") {
    port.protocol = name == "tcp" ? api::kTcp : name == "udp" ? api::kUdp : api::kSctp;
  } else {
    mapping.complain("protocol", "tcp, udp or sctp, not \"" + protocol + "\"");
  }
  std::string addr;
  mapping.text("hostip", addr);
  if (const auto parsed = addr.empty() ? fail(Errc::kNotFound, "none") : IpAddr::parse(addr)) {
    port.host_ip = *parsed;
  } else if (!addr.empty()) {
    mapping.complain("hostip", "an address, not \"" + addr + "\"");
  }
}

void read_runtime_config(Fields& config, NetworkConfig& out) {
  const json::value* section = config.find("runtimeConfig");
  if (section == nullptr || !section->is_object()) {
    (void)config.nested("runtimeConfig");  // complains where it is something else
    return;
  }
  const json::object object = with_lower_keys(section->get_object());
  Fields runtime(object, "runtimeConfig.", config.error());
  read_addresses(runtime, out.addresses);
  read_mac(runtime, out.mac);
  if (auto annotations = runtime.nested("io.kubernetes.cri.pod-annotations")) {
    for (const auto& entry : annotations->object()) {
      annotations->text(entry.key(), out.annotations[std::string(entry.key())]);
    }
  }
  for (const json::value& item : runtime.list("portmappings")) {
    if (!item.is_object()) {
      runtime.complain("portmappings", "a list of objects");
      return;
    }
    const json::object mapping = with_lower_keys(item.get_object());
    read_port(Fields(mapping, "runtimeConfig.portmappings.", config.error()),
              out.ports.emplace_back());
  }
}

void read_previous(Fields& config, NetworkConfig& out) {
  auto previous = config.nested("prevResult");
  if (!previous) {
    return;
  }
  PreviousResult result;
  for (const json::value& item : previous->list("interfaces")) {
    if (item.is_object()) {
      Fields fields(item.get_object(), "prevResult.interfaces.", config.error());
      PreviousResult::Interface interface;
      fields.text("name", interface.name);
      fields.text("sandbox", interface.sandbox);
      result.interfaces.push_back(std::move(interface));
    }
  }
  for (const json::value& item : previous->list("ips")) {
    if (!item.is_object()) {
      continue;
    }
    Fields fields(item.get_object(), "prevResult.ips.", config.error());
    std::string text;
    fields.text("address", text);
    if (const auto addr = InterfaceAddr::parse(text)) {
      result.addresses.push_back(addr->addr);
    } else {
      fields.complain("address", "an address with a prefix length, not \"" + text + "\"");
    }
  }
  out.previous = std::move(result);
}

void read_attachments(Fields& config, NetworkConfig& out) {
  const std::string_view name = config.find("cni.dev/valid-attachments") != nullptr
                                    ? "cni.dev/valid-attachments"
                                    : "cni.dev/attachments";
  if (config.find(name) == nullptr) {
    return;
  }
  std::vector<Attachment> attachments;
  for (const json::value& item : config.list(name)) {
    if (!item.is_object()) {
      config.complain(name, "a list of objects");
      return;
    }
    Fields fields(item.get_object(), std::string(name) + ".", config.error());
    Attachment attachment;
    fields.text("containerID", attachment.container_id);
    fields.text("ifname", attachment.ifname);
    attachments.push_back(std::move(attachment));
  }
  out.attachments = std::move(attachments);
}

std::optional<CniError> check(const NetworkConfig& config) {
  if (!is_supported(config.cni_version)) {
    return CniError{Code::kIncompatibleVersion,
                    "cniVersion \"" + config.cni_version + "\" is not supported",
                    "use one of " + version_list()};
  }
  const auto is_name = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '-';
  };
  if (config.name.empty() || std::isalnum(static_cast<unsigned char>(config.name.front())) == 0 ||
      !std::ranges::all_of(config.name, is_name)) {
    return bad_field(
        "name",
        "letters, digits, '_', '.' and '-', a letter or digit first, not \"" + config.name + "\"");
  }
  if (config.run_dir.empty() || config.run_dir.front() != '/') {
    return bad_field("run_dir", "an absolute path, not \"" + config.run_dir + "\"");
  }
  if (config.timeout_s == 0) {
    return bad_field("timeout_s", "a number from 1 to " + std::to_string(kMaxTimeoutS));
  }
  return std::nullopt;
}

}  // namespace

Result<NetworkConfig, CniError> parse_config(std::string_view text) {
  constexpr std::size_t kMaxDepth = 32;
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::error_code errc;
  const json::value root = json::parse(text, errc, {}, options);
  if (errc) {
    return fail(CniError{Code::kDecode,
                         "network configuration: not valid json: " + errc.message(),
                         "the runtime must write one json object to standard input"});
  }
  if (!root.is_object()) {
    return fail(CniError{Code::kDecode, "network configuration: not a json object", {}});
  }
  NetworkConfig out;
  std::optional<CniError> error;
  Fields config(root.get_object(), "", error);
  config.text("cniVersion", out.cni_version);
  config.text("name", out.name);
  config.text("type", out.type);
  config.text("run_dir", out.run_dir);
  constexpr std::uint32_t kMaxMtu = 65535;
  config.number("mtu", kMaxMtu, out.mtu);
  config.number("timeout_s", kMaxTimeoutS, out.timeout_s);
  read_labels(config, out.labels);
  read_ipam(config, out);
  read_runtime_config(config, out);
  read_previous(config, out);
  read_attachments(config, out);
  if (!error) {
    error = check(out);
  }
  if (error) {
    return fail(std::move(*error));
  }
  return out;
}

}  // namespace margay::cni
