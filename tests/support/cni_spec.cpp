#include "tests/support/cni_spec.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <map>
#include <set>
#include <span>

namespace margay::test {

namespace json = boost::json;

namespace {

using Complaints = std::vector<std::string>;

// 0 when it is no address.
int family_of(const std::string& address) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return ::inet_pton(AF_INET, address.c_str(), bytes.data()) == 1    ? AF_INET
         : ::inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1 ? AF_INET6
                                                                     : 0;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.size() <= 3 &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c) != 0; });
}

// 0 when it is no "address/length".
int family_of_cidr(const std::string& cidr) {
  const auto slash = cidr.find('/');
  if (slash == std::string::npos || !is_number(cidr.substr(slash + 1))) {
    return 0;
  }
  const int family = family_of(cidr.substr(0, slash));
  const int most = family == AF_INET ? 32 : 128;
  return std::stoi(cidr.substr(slash + 1)) <= most ? family : 0;
}

bool is_mac(const std::string& text) {
  constexpr std::size_t kLength = 17;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (i % 3 == 2 ? byte != ':' : std::isxdigit(byte) == 0) {
      return false;
    }
  }
  return text.size() == kLength;
}

bool is_natural(const json::value& value) {
  return value.is_uint64() || (value.is_int64() && value.get_int64() >= 0);
}
bool is_text(const json::value& value) {
  return value.is_string();
}
std::string text_in(const json::value& value) {
  return value.is_string() ? std::string(value.get_string()) : std::string();
}
bool is_list_of(const json::value& value, bool (*is_right)(const json::value&)) {
  return value.is_array() && std::ranges::all_of(value.get_array(), is_right);
}

struct Kind {
  const char* name;
  bool (*is_right)(const json::value&);
};
constexpr Kind kText{"a text that is not empty",
                     [](const json::value& value) { return !text_in(value).empty(); }};
constexpr Kind kAnyText{"a text", is_text};
constexpr Kind kMac{"a hardware address",
                    [](const json::value& value) { return is_mac(text_in(value)); }};
constexpr Kind kCidr{"an address with a length",
                     [](const json::value& value) { return family_of_cidr(text_in(value)) != 0; }};
constexpr Kind kAddress{"an address",
                        [](const json::value& value) { return family_of(text_in(value)) != 0; }};
constexpr Kind kNatural{"a number, 0 or more", is_natural};
constexpr Kind kPositive{"a number above 0", [](const json::value& value) {
                           return is_natural(value) && value.to_number<std::uint64_t>() > 0;
                         }};
constexpr Kind kFamily{"\"4\" or \"6\"", [](const json::value& value) {
                         return text_in(value) == "4" || text_in(value) == "6";
                       }};
constexpr Kind kTexts{"a list of texts",
                      [](const json::value& value) { return is_list_of(value, is_text); }};
constexpr Kind kAddresses{"a list of addresses", [](const json::value& value) {
                            return is_list_of(value, kAddress.is_right);
                          }};
constexpr Kind kObjects{"a list of objects", [](const json::value& value) {
                          return is_list_of(
                              value, [](const json::value& item) { return item.is_object(); });
                        }};
constexpr Kind kObject{"an object", [](const json::value& value) { return value.is_object(); }};

// A field that an object may have in versions from `since` up to but not with `until`.
struct Field {
  const char* name;
  const Kind* kind;
  bool required = false;
  const char* since = "0.3.1";
  const char* until = "9";
};
using Shape = std::span<const Field>;

constexpr auto kResult = std::to_array<Field>({{"cniVersion", &kText, true},
                                               {"interfaces", &kObjects},
                                               {"ips", &kObjects},
                                               {"routes", &kObjects},
                                               {"dns", &kObject}});
constexpr auto kInterface = std::to_array<Field>({{"name", &kText, true},
                                                  {"mac", &kMac},
                                                  {"sandbox", &kAnyText},
                                                  {"mtu", &kPositive, false, "1.1.0"},
                                                  {"socketPath", &kText, false, "1.1.0"},
                                                  {"pciID", &kText, false, "1.1.0"}});
constexpr auto kIp = std::to_array<Field>({{"version", &kFamily, true, "0.3.1", "1.0.0"},
                                           {"address", &kCidr, true},
                                           {"gateway", &kAddress},
                                           {"interface", &kNatural}});
constexpr auto kRoute = std::to_array<Field>({{"dst", &kCidr, true},
                                              {"gw", &kAddress},
                                              {"mtu", &kNatural, false, "1.1.0"},
                                              {"advmss", &kNatural, false, "1.1.0"},
                                              {"priority", &kNatural, false, "1.1.0"},
                                              {"table", &kNatural, false, "1.1.0"},
                                              {"scope", &kNatural, false, "1.1.0"}});
constexpr auto kDns = std::to_array<Field>(
    {{"nameservers", &kAddresses}, {"domain", &kText}, {"search", &kTexts}, {"options", &kTexts}});
constexpr auto kError = std::to_array<Field>({{"cniVersion", &kText, true},
                                              {"code", &kPositive, true},
                                              {"msg", &kText, true},
                                              {"details", &kAnyText}});
constexpr auto kVersionList =
    std::to_array<Field>({{"cniVersion", &kText, true}, {"supportedVersions", &kTexts, true}});

void check_shape(const json::object& object,
                 Shape shape,
                 const std::string& where,
                 const std::string& version,
                 Complaints& wrong) {
  for (const auto& member : object) {
    const auto field = std::ranges::find_if(
        shape, [&member](const Field& each) { return member.key() == each.name; });
    const std::string path = where + std::string(member.key());
    if (field == shape.end() || version < field->since || version >= field->until) {
      wrong.push_back(path + ": version " + version + " has no such field");
    } else if (!field->kind->is_right(member.value())) {
      wrong.push_back(path + ": expected " + field->kind->name);
    }
  }
  for (const Field& field : shape) {
    const bool in_version = version >= field.since && version < field.until;
    if (field.required && in_version && !object.contains(field.name)) {
      wrong.push_back(where + field.name + ": missing");
    }
  }
}

json::object parse_object(const std::string& text, Complaints& wrong) {
  boost::system::error_code errc;
  json::value value = json::parse(text, errc);
  if (errc || !value.is_object()) {
    wrong.push_back("not one JSON object: " + text);
    return {};
  }
  return std::move(value.get_object());
}

// The objects of a list, each checked.
std::vector<json::object> items_of(const json::object& result,
                                   const char* name,
                                   Shape shape,
                                   const std::string& version,
                                   Complaints& wrong) {
  std::vector<json::object> items;
  const json::value* list = result.if_contains(name);
  if (list == nullptr || !list->is_array()) {
    return items;
  }
  for (const json::value& item : list->get_array()) {
    if (item.is_object()) {
      const std::string where = std::string(name) + "[" + std::to_string(items.size()) + "].";
      check_shape(item.get_object(), shape, where, version, wrong);
      items.push_back(item.get_object());
    }
  }
  return items;
}

std::string text_at(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  return value == nullptr ? std::string() : text_in(*value);
}

std::int64_t index_at(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_int64() ? value->get_int64() : -1;
}

void check_ips(const std::vector<json::object>& ips,
               const std::vector<json::object>& interfaces,
               const CniResultExpectation& expected,
               Complaints& wrong) {
  std::set<std::string> seen;
  for (const json::object& ip : ips) {
    const std::string address = text_at(ip, "address");
    const int family = family_of_cidr(address);
    if (!seen.insert(address).second) {
      wrong.push_back("address " + address + " stands twice");
    }
    if (ip.contains("version") && (text_at(ip, "version") == "4") != (family == AF_INET)) {
      wrong.push_back("address " + address + ": its version is not its family");
    }
    if (ip.contains("gateway") && family_of(text_at(ip, "gateway")) != family) {
      wrong.push_back("address " + address + ": its gateway is of the other family");
    }
    const std::int64_t index = index_at(ip, "interface");
    if (expected.from_ipam && ip.contains("interface")) {
      wrong.push_back("address " + address + ": an IPAM plugin knows no interfaces");
    }
    if (!expected.from_ipam &&
        (index < 0 || index >= static_cast<std::int64_t>(interfaces.size()))) {
      wrong.push_back("address " + address + ": it is on no interface of the list");
    } else if (!expected.from_ipam &&
               text_at(interfaces[static_cast<std::size_t>(index)], "sandbox").empty()) {
      wrong.push_back("address " + address + ": it is on an interface of the host");
    }
  }
}

void check_routes(const std::vector<json::object>& routes, Complaints& wrong) {
  for (const json::object& route : routes) {
    if (route.contains("gw") &&
        family_of(text_at(route, "gw")) != family_of_cidr(text_at(route, "dst"))) {
      wrong.push_back("route to " + text_at(route, "dst") + ": its gateway is of the other family");
    }
  }
}

void check_interfaces(const std::vector<json::object>& interfaces,
                      const CniResultExpectation& expected,
                      Complaints& wrong) {
  if (expected.from_ipam) {
    if (!interfaces.empty()) {
      wrong.emplace_back("an IPAM plugin lists no interfaces");
    }
    return;
  }
  const auto asked = std::ranges::find_if(interfaces, [&expected](const json::object& each) {
    return text_at(each, "name") == expected.ifname;
  });
  if (asked == interfaces.end()) {
    wrong.push_back("interface " + expected.ifname + " is not in the list");
  } else if (text_at(*asked, "sandbox") != expected.netns) {
    wrong.push_back("interface " + expected.ifname + ": sandbox \"" + text_at(*asked, "sandbox") +
                    "\" instead of " + expected.netns);
  }
}

}  // namespace

std::vector<std::string> wrong_in_result(const std::string& text,
                                         const CniResultExpectation& expected) {
  Complaints wrong;
  const json::object result = parse_object(text, wrong);
  if (!wrong.empty()) {
    return wrong;
  }
  const std::string& version = expected.version;
  check_shape(result, kResult, "", version, wrong);
  if (text_at(result, "cniVersion") != version) {
    wrong.push_back("cniVersion " + text_at(result, "cniVersion") + " instead of " + version);
  }
  const auto interfaces = items_of(result, "interfaces", kInterface, version, wrong);
  const auto ips = items_of(result, "ips", kIp, version, wrong);
  const auto routes = items_of(result, "routes", kRoute, version, wrong);
  if (const json::value* dns = result.if_contains("dns"); dns != nullptr && dns->is_object()) {
    check_shape(dns->get_object(), kDns, "dns.", version, wrong);
  }
  if (ips.empty()) {
    wrong.emplace_back("no address");
  }
  check_interfaces(interfaces, expected, wrong);
  check_ips(ips, interfaces, expected, wrong);
  check_routes(routes, wrong);
  return wrong;
}

std::vector<std::string> wrong_in_error(const std::string& text, const std::string& version) {
  Complaints wrong;
  const json::object error = parse_object(text, wrong);
  if (!wrong.empty()) {
    return wrong;
  }
  check_shape(error, kError, "", version.empty() ? "1.1.0" : version, wrong);
  if (!version.empty() && text_at(error, "cniVersion") != version) {
    wrong.push_back("cniVersion " + text_at(error, "cniVersion") + " instead of " + version);
  }
  // Up to 99 the specification gives the codes away; 999 is libcni's own.
  static const std::set<std::int64_t> given_away{1, 2, 3, 4, 5, 6, 7, 11, 50, 51};
  constexpr std::int64_t kFirstFree = 100;
  const std::int64_t code = index_at(error, "code");
  if (!given_away.contains(code) && (code < kFirstFree || code == 999)) {
    wrong.push_back("code " + std::to_string(code) + " has no meaning");
  }
  return wrong;
}

std::vector<std::string> wrong_in_versions(const std::string& text, const std::string& version) {
  Complaints wrong;
  const json::object answer = parse_object(text, wrong);
  if (!wrong.empty()) {
    return wrong;
  }
  check_shape(answer, kVersionList, "", version, wrong);
  if (text_at(answer, "cniVersion") != version) {
    wrong.push_back("cniVersion " + text_at(answer, "cniVersion") + " instead of " + version);
  }
  const json::value* list = answer.if_contains("supportedVersions");
  const bool has = list != nullptr && list->is_array() &&
                   std::ranges::any_of(list->get_array(), [&version](const json::value& each) {
                     return text_in(each) == version;
                   });
  if (!has) {
    wrong.push_back(version + " is not among the supported versions");
  }
  return wrong;
}

}  // namespace margay::test
