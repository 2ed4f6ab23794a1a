#include "cni/config.h"

#include "cni/fields.h"

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
  std::vector<std::string> gateways;
  ipam->texts("gateways", gateways);
  for (const std::string& text : gateways) {
    if (const auto addr = IpAddr::parse(text)) {
      out.ipam.gateways.push_back(*addr);
    } else {
      ipam->complain("gateways", "addresses, not \"" + text + "\"");
    }
  }
  // Under another plugin there is no place for these but here.
  ipam->text("run_dir", out.run_dir);
  ipam->number("timeout_s", kMaxTimeoutS, out.timeout_s);
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

std::string asked_version(std::string_view text) {
  json::error_code errc;
  const json::value root = json::parse(text, errc);
  const json::value* version =
      !errc && root.is_object() ? root.get_object().if_contains("cniVersion") : nullptr;
  if (version == nullptr || !version->is_string() || !is_supported(version->get_string())) {
    return std::string(kVersions.back());
  }
  return std::string(version->get_string());
}

}  // namespace margay::cni
