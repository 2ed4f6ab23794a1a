#include "cni/annotations.h"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <string_view>
#include <utility>

namespace margay::cni {

namespace {

constexpr std::string_view kPrefix = "cni.projectcalico.org/";

CniError bad_annotation(const std::string& name,
                        const std::string& text,
                        std::string_view expected) {
  return {Code::kBadConfig,
          "annotation " + name + ": '" + text + "': expected " + std::string(expected),
          "mend the annotation of the pod or its namespace"};
}

// A list of strings in JSON: ["a", "b"].
std::optional<std::vector<std::string>> parse_list(std::string_view text) {
  boost::json::error_code errc;
  const boost::json::value value = boost::json::parse(text, errc);
  if (errc || !value.is_array()) {
    return std::nullopt;
  }
  std::vector<std::string> out;
  for (const boost::json::value& item : value.get_array()) {
    if (!item.is_string()) {
      return std::nullopt;
    }
    out.emplace_back(item.get_string());
  }
  return out;
}

bool parse_addresses(const std::string& text, std::vector<IpAddr>& out) {
  const auto list = parse_list(text);
  if (!list || list->empty()) {
    return false;
  }
  for (const std::string& item : *list) {
    const auto addr = IpAddr::parse(item);
    if (!addr) {
      return false;
    }
    out.push_back(*addr);
  }
  return true;
}

bool parse_families(const std::string& text, std::optional<Families>& out) {
  const auto list = parse_list(text);
  if (!list || list->empty()) {
    return false;
  }
  Families families;
  for (const std::string& item : *list) {
    if (item != "IPv4" && item != "IPv6") {
      return false;
    }
    (item == "IPv4" ? families.ipv4 : families.ipv6) = true;
  }
  out = families;
  return true;
}

}  // namespace

Result<AnnotatedRequest, CniError> read_annotations(
    const std::map<std::string, std::string>& annotations) {
  AnnotatedRequest out;
  for (const auto& [name, text] : annotations) {
    if (!name.starts_with(kPrefix)) {
      continue;
    }
    const std::string_view what = std::string_view(name).substr(kPrefix.size());
    if (what == "ipAddrs" && !parse_addresses(text, out.addresses)) {
      return fail(bad_annotation(name, text, R"(addresses such as ["10.244.0.7"])"));
    }
    if (what == "ipFamilies" && !parse_families(text, out.families)) {
      return fail(bad_annotation(name, text, R"(["IPv4"], ["IPv6"] or both)"));
    }
    if (what == "ipv4pools" || what == "ipv6pools") {
      auto& pools = what == "ipv4pools" ? out.ipv4_pools : out.ipv6_pools;
      pools = parse_list(text);
      if (!pools) {
        return fail(bad_annotation(name, text, R"(names or CIDRs of pools such as ["blue"])"));
      }
    }
    if (what == "hwAddr") {
      const auto mac = MacAddr::parse(text);
      if (!mac) {
        return fail(bad_annotation(name, text, "six bytes such as 02:00:00:00:00:01"));
      }
      out.mac = *mac;
    }
  }
  return out;
}

}  // namespace margay::cni
