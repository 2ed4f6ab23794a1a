#include "cni/fields.h"

#include <boost/json/array.hpp>

#include <algorithm>
#include <cctype>
#include <utility>

namespace margay::cni {

namespace json = boost::json;

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(
      out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
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

// Rates and bursts count bits, as in the conventions.
void read_bandwidth(Fields bandwidth, Bandwidth& out) {
  constexpr std::uint64_t kBits = 8;
  const auto limit = [&bandwidth](const char* rate, const char* burst, RateLimit& into) {
    std::uint64_t value = into.bytes_per_s * kBits;
    bandwidth.number(rate, value);
    into.bytes_per_s = value / kBits;
    if (value != 0 && into.bytes_per_s == 0) {
      bandwidth.complain(rate, "at least 8 bits a second");
    }
    value = into.burst_bytes * kBits;
    bandwidth.number(burst, value);
    into.burst_bytes = value / kBits;
  };
  limit("ingressrate", "ingressburst", out.to_container);
  limit("egressrate", "egressburst", out.from_container);
}

// The capability's names, then those of a configuration.
void read_dns(Fields dns, Dns& out) {
  const auto replace = [&dns](const char* name, std::vector<std::string>& list) {
    std::vector<std::string> texts;
    dns.texts(name, texts);
    if (!texts.empty()) {
      list = std::move(texts);
    }
  };
  replace("servers", out.nameservers);
  replace("nameservers", out.nameservers);
  replace("searches", out.search);
  replace("search", out.search);
  replace("options", out.options);
  dns.text("domain", out.domain);
}

void read_pod_annotations(Fields& runtime, std::map<std::string, std::string>& out) {
  if (auto annotations = runtime.nested("io.kubernetes.cri.pod-annotations")) {
    for (const auto& entry : annotations->object()) {
      annotations->text(entry.key(), out[std::string(entry.key())]);
    }
  }
}

template <typename Read>
void read_object(Fields& fields, const char* name, Read read) {
  if (auto nested = fields.nested(name)) {
    const json::object lower_case = with_lower_keys(nested->object());
    read(Fields(lower_case, nested->path(), fields.error()));
  }
}

// The same keys in the configuration and in what the runtime gives; the latter comes second and
// wins.
void read_both(Fields& fields, NetworkConfig& out) {
  read_object(
      fields, "bandwidth", [&out](Fields it) { read_bandwidth(std::move(it), out.bandwidth); });
  read_object(fields, "dns", [&out](Fields it) { read_dns(std::move(it), out.dns); });
}

}  // namespace

void read_runtime_config(Fields& config, NetworkConfig& out) {
  read_both(config, out);
  const json::value* section = config.find("runtimeConfig");
  if (section == nullptr || !section->is_object()) {
    (void)config.nested("runtimeConfig");  // complains where it is something else
    return;
  }
  const json::object object = with_lower_keys(section->get_object());
  Fields runtime(object, "runtimeConfig.", config.error());
  read_addresses(runtime, out.addresses);
  read_mac(runtime, out.mac);
  read_both(runtime, out);
  read_pod_annotations(runtime, out.annotations);
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

}  // namespace margay::cni
