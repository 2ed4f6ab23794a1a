#include "api/resource.h"

#include "api/codec.h"
#include "api/exact_json.h"
#include "api/labels.h"
#include "api/resource_codec.h"
#include "api/yaml.h"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace margay::api {

namespace {

constexpr std::size_t kMaxTextBytes = 64U << 20U;
}  // namespace

void describe(Reader& visit, Metadata& metadata) {
  visit.required("name", metadata.name);
  visit.field("namespace", metadata.ns);
  visit.field("labels", metadata.labels);
  visit.field("annotations", metadata.annotations);
  visit.field("uid", metadata.uid);
  visit.custom(
      "resourceVersion",
      [&metadata](ReadState& state, const std::string& path, const json::value& in) {
        read_value(state, path, in, metadata.resource_version);
        if (!metadata.resource_version.empty() && parse_number(metadata.resource_version) < 0) {
          state.fail_at(path, shown(in) + ": expected a revision as the store gave it");
        }
      },
      [] { return json::value(nullptr); });
  visit.field("creationTimestamp", metadata.creation_timestamp);
  // Kubernetes' own bookkeeping.
  for (const char* name : {"generation",
                           "managedFields",
                           "ownerReferences",
                           "selfLink",
                           "finalizers",
                           "deletionTimestamp",
                           "deletionGracePeriodSeconds",
                           "generateName"}) {
    visit.ignored(name);
  }
  check_labels(visit, "labels", metadata.labels);
  check_annotations(visit, "annotations", metadata.annotations);
}

void describe(Writer& visit, Metadata& metadata) {
  visit.field("name", metadata.name);
  visit.field("namespace", metadata.ns);
  visit.field("labels", metadata.labels);
  visit.field("annotations", metadata.annotations);
  visit.field("uid", metadata.uid);
  visit.field("resourceVersion", metadata.resource_version);
  visit.field("creationTimestamp", metadata.creation_timestamp);
}

namespace {

// The alternatives of Spec stand in the order of Kind.
template <std::size_t... Index>
Spec empty_spec(Kind kind, std::index_sequence<Index...> /*indices*/) {
  Spec spec;
  [[maybe_unused]] const bool found =
      ((static_cast<std::size_t>(kind) == Index && (spec.emplace<Index>(), true)) || ...);
  return spec;
}
Spec empty_spec(Kind kind) {
  return empty_spec(kind, std::make_index_sequence<std::variant_size_v<Spec>>());
}

// Objects that exist once, or once per node.
void check_configuration_name(Reader& visit, const Resource& resource) {
  const bool per_node =
      resource.kind() == Kind::kBGPConfiguration || resource.kind() == Kind::kFelixConfiguration;
  const std::string& name = resource.metadata.name;
  if (per_node && name != "default" && !name.starts_with("node.")) {
    visit.fail("metadata.name", "\"" + name + "\": expected default or node.NAME");
  }
  const bool only = resource.kind() == Kind::kIPAMConfiguration ||
                    resource.kind() == Kind::kBaselineAdminNetworkPolicy ||
                    resource.kind() == Kind::kKubeControllersConfiguration ||
                    resource.kind() == Kind::kPendingChange;
  if (only && name != "default") {
    visit.fail("metadata.name", "\"" + name + "\": expected default");
  }
}

// A policy's name is a label, or the name of its tier, a dot and a label: what Calico's versions
// before 3.30 write. knp. and ossg. are of its own converters.
void check_policy_name(Reader& visit, const Resource& resource, const std::string& tier) {
  const std::string& name = resource.metadata.name;
  const std::size_t dot = name.find('.');
  if (dot == std::string::npos) {
    return;
  }
  const bool namespaced = spec_of(resource.kind()).namespaced;
  if (namespaced && (name.starts_with("knp.") || name.starts_with("ossg."))) {
    return;
  }
  if (name.substr(0, dot) != tier || !is_dns_label(name.substr(dot + 1))) {
    visit.fail("metadata.name",
               fmt::format("\"{}\": expected letters, digits and '-', or \"{}.\" and those: a dot "
                           "stands behind the name of the tier",
                           name,
                           tier));
  }
}

// Set on every policy, so that `get -l` finds those of a tier (as Calico's API server does).
constexpr std::string_view kTierLabel = "projectcalico.org/tier";

// Rules about metadata that belong to one family of kinds.
void check_metadata_of_kind(Reader& visit, Resource& resource) {
  const auto tiered = [&](const PolicySpec& policy) {
    check_policy_name(visit, resource, policy.tier);
    resource.metadata.labels[std::string(kTierLabel)] = policy.tier;
  };
  if (const auto* global = std::get_if<GlobalNetworkPolicy>(&resource.spec)) {
    tiered(*global);
  } else if (const auto* namespaced = std::get_if<NetworkPolicy>(&resource.spec)) {
    tiered(*namespaced);
  } else if (const auto* staged = std::get_if<StagedGlobalNetworkPolicy>(&resource.spec)) {
    tiered(staged->policy);
  } else if (const auto* staged_here = std::get_if<StagedNetworkPolicy>(&resource.spec)) {
    tiered(staged_here->policy);
  }
  const bool set =
      resource.kind() == Kind::kNetworkSet || resource.kind() == Kind::kGlobalNetworkSet;
  if (set && resource.metadata.labels.contains("projectcalico.org/namespace")) {
    visit.fail("metadata.labels[projectcalico.org/namespace]",
               "reserved: it is made from the namespace of the set");
  }
}

void check_names(Reader& visit, Resource& resource) {
  const KindSpec& kind = spec_of(resource.kind());
  Metadata& metadata = resource.metadata;
  const bool label_only = resource.kind() == Kind::kTier || resource.kind() == Kind::kNamespace;
  if (label_only ? !is_dns_label(metadata.name) : !is_dns_subdomain(metadata.name)) {
    visit.fail("metadata.name",
               "\"" + metadata.name + "\": expected lower-case letters, digits" +
                   (label_only ? " and '-'" : ", '-' and '.'"));
  }
  if (!kind.namespaced && !metadata.ns.empty()) {
    visit.fail("metadata.namespace",
               "\"" + metadata.ns + "\": a " + std::string(kind.name) + " has no namespace");
  }
  if (kind.namespaced && metadata.ns.empty()) {
    metadata.ns = "default";
  }
  if (!metadata.ns.empty() && !is_dns_label(metadata.ns)) {
    visit.fail("metadata.namespace",
               "\"" + metadata.ns + "\": expected lower-case letters, digits and '-'");
  }
  check_configuration_name(visit, resource);
  check_metadata_of_kind(visit, resource);
}

// Tiers that are part of the system: order and default action are fixed.
struct ReservedTier {
  std::string_view name;
  double order = 0;
  Action default_action = Action::kDeny;
};
constexpr std::array kReservedTiers{ReservedTier{"default", kDefaultTierOrder, Action::kDeny},
                                    ReservedTier{"kube-admin", 1'000, Action::kPass},
                                    ReservedTier{"kube-baseline", 10'000'000, Action::kPass}};

void check_reserved_tier(Reader& visit, Resource& resource) {
  auto* tier = std::get_if<Tier>(&resource.spec);
  const auto* reserved =
      std::ranges::find(kReservedTiers, resource.metadata.name, &ReservedTier::name);
  if (tier == nullptr || reserved == kReservedTiers.end()) {
    return;
  }
  if (!tier->order) {
    tier->order = reserved->order;
  }
  if (*tier->order != reserved->order || tier->default_action != reserved->default_action) {
    visit.fail("spec",
               fmt::format("tier {} has order {} and default action {}, always",
                           reserved->name,
                           reserved->order,
                           reserved->default_action == Action::kPass ? "Pass" : "Deny"));
  }
}

// Kinds whose fields stand at the top of the document.
bool is_flat(Kind kind) {
  return kind == Kind::kServiceAccount || kind == Kind::kEndpointSlice || kind == Kind::kSecret;
}

void read_spec(Reader& visit, ReadState& state, const json::object& document, Resource& resource) {
  if (is_flat(resource.kind())) {
    visit.skip_unknown();
    std::visit([&](auto& typed) { describe(visit, typed); }, resource.spec);
    return;
  }
  const json::value* spec = document.if_contains("spec");
  visit.ignored("spec");
  if (spec == nullptr || spec->is_null()) {
    static const json::value empty(json::object_kind);  // braces would make an array of it
    spec = &empty;
  }
  std::visit([&](auto& typed) { read_value(state, "spec", *spec, typed); }, resource.spec);
}

Result<Resource> decode_object(const json::value& value) {
  ReadState state;
  const json::object* document = as_object(state, "", value);
  if (document == nullptr) {
    return fail(*state.error);
  }
  std::string api_version;
  std::string kind_name;
  Reader visit(state, "", *document);
  visit.required("apiVersion", api_version);
  visit.required("kind", kind_name);
  if (state.error) {
    visit.finish_mistyped();
    return fail(*state.error);
  }
  const auto kind = parse_kind(api_version, kind_name);
  if (!kind) {
    return fail(kind.error());
  }
  Resource resource{{}, empty_spec(*kind)};
  visit.required("metadata", resource.metadata);
  if (auto* service = std::get_if<Service>(&resource.spec)) {
    visit.object("status", [service](auto& status) { describe_status(status, *service); });
  } else {
    visit.ignored("status");
  }
  read_spec(visit, state, *document, resource);
  visit.finish();
  if (!state.error) {
    check_names(visit, resource);
    check_reserved_tier(visit, resource);
  }
  if (state.error) {
    return fail(*state.error);
  }
  return resource;
}

json::value encode_object(const Resource& resource) {
  const KindSpec& kind = spec_of(resource.kind());
  json::object out;
  out.emplace("apiVersion", kind.api_version);
  out.emplace("kind", kind.name);
  out.emplace("metadata", write_value(resource.metadata));
  json::value spec =
      std::visit([](const auto& typed) { return write_value(typed); }, resource.spec);
  if (is_flat(resource.kind())) {
    for (json::key_value_pair& field : spec.as_object()) {
      out.emplace(field.key(), std::move(field.value()));
    }
  } else if (resource.kind() != Kind::kNamespace) {
    out.emplace("spec", std::move(spec));
  }
  // Of all statuses the one that says which addresses a balancer gave.
  if (const auto* service = std::get_if<Service>(&resource.spec);
      service != nullptr && !service->load_balancer_ips.empty()) {
    Service copy = *service;
    Writer status;
    describe_status(status, copy);
    out.emplace("status", status.take());
  }
  return out;
}

bool is_list(const json::value& value) {
  const json::object* object = value.if_object();
  const json::value* kind = object == nullptr ? nullptr : object->if_contains("kind");
  const json::value* items = object == nullptr ? nullptr : object->if_contains("items");
  return kind != nullptr && kind->is_string() && kind->get_string().ends_with("List") &&
         items != nullptr && items->is_array();
}

void add_document(unsigned number,
                  const std::string& where,
                  const json::value& value,
                  std::vector<Document>& out) {
  auto resource = decode_object(value);
  if (resource) {
    out.push_back({number, std::move(resource)});
  } else {
    out.push_back(
        {number, fail(Errc::kInvalid, "document {}{}: {}", number, where, resource.error().text)});
  }
}

// RFC 7386 section 2.
// NOLINTNEXTLINE(misc-no-recursion): as deep as the patch, which parsing bounds
void merge(json::value& target, const json::value& patch) {
  if (!patch.is_object()) {
    target = patch;
    return;
  }
  if (!target.is_object()) {
    target = json::object();
  }
  json::object& fields = target.get_object();
  for (const auto& [name, value] : patch.get_object()) {
    if (value.is_null()) {
      fields.erase(name);
    } else {
      merge(fields[name], value);
    }
  }
}

}  // namespace

std::vector<Document> decode_documents(std::string_view text) {
  std::vector<Document> out;
  if (text.size() > kMaxTextBytes) {
    out.push_back(
        {1,
         fail(Errc::kExhausted, "document 1: {} bytes: at most {}", text.size(), kMaxTextBytes)});
    return out;
  }
  unsigned number = 0;
  for (const YamlPart& part : split_yaml(text)) {
    const auto value = parse_yaml(part.text, part.line_offset);
    if (value && value->is_null()) {
      continue;  // nothing but comments
    }
    ++number;
    if (!value) {
      out.push_back({number, fail(Errc::kInvalid, "document {}, {}", number, value.error().text)});
      continue;  // "---" at the start of a line is a border whatever stands before it
    }
    if (!is_list(*value)) {
      add_document(number, "", *value, out);
      continue;
    }
    std::size_t index = 0;
    for (const json::value& item : value->at("items").as_array()) {
      add_document(number, ", items[" + std::to_string(index++) + "]", item, out);
    }
  }
  return out;
}

bool same_content(const Resource& a, const Resource& b) {
  return a.spec == b.spec && a.metadata.labels == b.metadata.labels &&
         a.metadata.annotations == b.metadata.annotations;
}

Result<Resource> decode_json(std::string_view text) {
  if (text.size() > kMaxTextBytes) {
    return fail(Errc::kExhausted, "{} bytes: at most {}", text.size(), kMaxTextBytes);
  }
  boost::system::error_code errc;
  // What is parsed is read at once and dropped as a whole.
  constexpr std::size_t kStackBytes = 8192;
  std::array<unsigned char, kStackBytes> first{};
  json::monotonic_resource memory(first.data(), first.size());
  const json::value value = parse_exactly(text, errc, &memory);
  if (errc) {
    return fail(Errc::kInvalid, "not JSON: {}", errc.message());
  }
  return decode_object(value);
}

std::string encode_json(const Resource& resource) {
  return json::serialize(encode_object(resource));
}

std::string encode_yaml(const Resource& resource) {
  return print_yaml(encode_object(resource));
}

Result<Resource> merge_patch(const Resource& resource, std::string_view patch) {
  const auto changes = parse_yaml(patch, 0);
  if (!changes) {
    return fail(changes.error(), "patch");
  }
  if (!changes->is_object()) {
    return fail(Errc::kInvalid,
                "patch: expected an object such as {{\"spec\": {{\"order\": 10}}}}");
  }
  json::value target = encode_object(resource);
  merge(target, *changes);
  return decode_object(target);
}

}  // namespace margay::api
