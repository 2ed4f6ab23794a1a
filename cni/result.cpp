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
  if (route.table != 0) {
    out += ",\"table\":" + std::to_string(route.table);
  }
  return out + "}";
}

// Before 1.1.0 a route is one of the main table.
std::vector<AddResult::Route> routes_for(const AddResult& result, bool with_table) {
  std::vector<AddResult::Route> routes;
  for (const AddResult::Route& route : result.routes) {
    if (with_table || route.table == 0) {
      routes.push_back(route);
    }
  }
  return routes;
}

}  // namespace

std::string dns_json(const Dns& dns) {
  std::string out;
  const auto put = [&out](const char* name, const std::string& value) {
    out += (out.empty() ? "" : ",") + quoted(name) + ":" + value;
  };
  const auto put_list = [&put](const char* name, const std::vector<std::string>& items) {
    if (!items.empty()) {
      put(name, json_list(items, [](const std::string& item) { return quoted(item); }));
    }
  };
  put_list("nameservers", dns.nameservers);
  if (!dns.domain.empty()) {
    put("domain", quoted(dns.domain));
  }
  put_list("search", dns.search);
  put_list("options", dns.options);
  return "{" + out + "}";
}

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
  out += ",\"routes\":" + json_list(routes_for(result, version == "1.1.0"), route_json);
  return out + ",\"dns\":" + dns_json(result.dns) + "}\n";
}

}  // namespace margay::cni
