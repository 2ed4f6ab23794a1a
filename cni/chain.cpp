#include "cni/chain.h"

#include "cni/fields.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <utility>

namespace margay::cni {

namespace json = boost::json;

namespace {

std::optional<json::object> object_in(std::string_view text) {
  json::error_code errc;
  json::value value = json::parse(text, errc);
  return !errc && value.is_object() ? std::optional(std::move(value.get_object())) : std::nullopt;
}

// The list of that name, made when it is not there.
json::array& list_of(json::object& object, std::string_view name) {
  json::value& value = object[name];
  if (!value.is_array()) {
    value.emplace_array();
  }
  return value.get_array();
}

void append(json::object& whole, json::object& ours, std::string_view name) {
  json::array& into = list_of(whole, name);
  for (json::value& item : list_of(ours, name)) {
    into.push_back(std::move(item));
  }
}

void read_dns_fields(Fields& fields, Dns& dns) {
  fields.texts("nameservers", dns.nameservers);
  fields.text("domain", dns.domain);
  fields.texts("search", dns.search);
  fields.texts("options", dns.options);
}

// Ours count their interfaces from the first of ours.
void shift_interfaces(json::object& ours, std::size_t by) {
  for (json::value& ip : list_of(ours, "ips")) {
    json::value* index = ip.get_object().if_contains("interface");
    if (index != nullptr && index->is_int64()) {
      *index = index->get_int64() + static_cast<std::int64_t>(by);
    }
  }
}

}  // namespace

Result<std::string, CniError> result_behind(std::string_view config,
                                            const AddResult& ours,
                                            std::string_view version) {
  std::string alone = result_json(ours, version);
  auto whole_config = object_in(config);
  json::value* previous = whole_config ? whole_config->if_contains("prevResult") : nullptr;
  if (previous == nullptr || previous->is_null()) {
    return alone;
  }
  auto mine = object_in(alone);
  if (!previous->is_object() || !mine) {
    return fail(bad_field("prevResult", "an object"));
  }
  json::object& whole = previous->get_object();
  shift_interfaces(*mine, list_of(whole, "interfaces").size());
  for (const char* name : {"interfaces", "ips", "routes"}) {
    append(whole, *mine, name);
  }
  const json::value* dns = whole.if_contains("dns");
  if (dns == nullptr || !dns->is_object() || dns->get_object().empty()) {
    whole["dns"] = (*mine)["dns"];
  }
  whole["cniVersion"] = version;
  return json::serialize(whole) + "\n";
}

Result<DelegatedAnswer, CniError> parse_delegated(std::string_view type, std::string_view answer) {
  const auto object = object_in(answer);
  const auto wrong = [&type](const std::string& what) {
    return fail(CniError{Code::kDecode,
                         "the answer of IPAM plugin \"" + std::string(type) + "\": " + what,
                         "see that it is a CNI plugin for addresses"});
  };
  if (!object) {
    return wrong("not a json object");
  }
  DelegatedAnswer out;
  std::optional<CniError> error;
  Fields fields(*object, "", error);
  for (const json::value& ip : fields.list("ips")) {
    std::string text;
    const json::value* address = ip.is_object() ? ip.get_object().if_contains("address") : nullptr;
    if (address != nullptr && address->is_string()) {
      text = std::string(address->get_string());
    }
    const auto parsed = InterfaceAddr::parse(text);
    if (!parsed) {
      return wrong("address \"" + text + "\"");
    }
    out.addresses.push_back(parsed->addr);
  }
  if (auto dns = fields.nested("dns")) {
    read_dns_fields(*dns, out.dns);
  }
  if (error) {
    return wrong(error->msg);
  }
  if (out.addresses.empty()) {
    return wrong("no address");
  }
  return out;
}

Dns parse_dns(std::string_view text) {
  Dns dns;
  if (const auto object = object_in(text)) {
    std::optional<CniError> error;
    Fields fields(*object, "", error);
    read_dns_fields(fields, dns);
  }
  return dns;
}

}  // namespace margay::cni
