#include "cni/result.h"

#include "cni/error.h"

namespace margay::cni {

namespace {

// Appends `,` between the items of a list.
template <typename Items, typename Print>
std::string json_list(const Items& items, Print print) {
  std::string out = "[";
  for (const auto& item : items) {
    if (out.size() > 1) {
      out += ',';
    }
    out += print(item);
  }
  return out + "]";
}

std::string interface_json(const AddResult::Interface& interface, bool with_mtu) {
  std::string out = "{\"name\":" + quoted(interface.name);
  if (!interface.mac.empty()) {
    out += ",\"mac\":" + quoted(interface.mac);
  }
  if (with_mtu && interface.mtu != 0) {
    out += ",\"mtu\":" + std::to_string(interface.mtu);
  }
  if (!interface.sandbox.empty()) {
    out += ",\"sandbox\":" + quoted(interface.sandbox);
  }
  return out + "}";
}

std::string ip_json(const AddResult::Ip& ip, bool with_version) {
  std::string out = "{";
  if (with_version) {
    out += ip.address.addr.is_v4() ? "\"version\":\"4\"," : "\"version\":\"6\",";
  }
  out += "\"address\":" + quoted(ip.address.str());
  if (ip.gateway) {
    out += ",\"gateway\":" + quoted(ip.gateway->str());
  }
  if (ip.interface) {
    out += ",\"interface\":" + std::to_string(*ip.interface);
  }
  return out + "}";
}

std::string route_json(const AddResult::Route& route) {
  std::string out = "{\"dst\":" + quoted(route.dst.str());
  if (route.gw) {
    out += ",\"gw\":" + quoted(route.gw->str());
  }
  return out + "}";
}

}  // namespace

std::string result_json(const AddResult& result, std::string_view version) {
  const bool with_version = version.starts_with("0.");
  const bool with_mtu = version == "1.1.0";
  std::string out = "{\"cniVersion\":" + quoted(version);
  if (!result.interfaces.empty()) {
    out += ",\"interfaces\":" +
           json_list(result.interfaces, [with_mtu](const AddResult::Interface& interface) {
             return interface_json(interface, with_mtu);
           });
  }
  out += ",\"ips\":" + json_list(result.ips, [with_version](const AddResult::Ip& ip) {
           return ip_json(ip, with_version);
         });
  out += ",\"routes\":" + json_list(result.routes, route_json);
  return out + ",\"dns\":{}}\n";
}

}  // namespace margay::cni
