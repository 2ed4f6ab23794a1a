#include "cli/printer.h"

#include "base/wall_time.h"
#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <sstream>

namespace margay::cli {

namespace {

using datastore::Object;
using Cells = std::vector<std::string>;

std::string number(const std::optional<double>& order) {
  return order ? fmt::format("{}", *order) : "-";
}
std::string yes_no(bool value) {
  return value ? "true" : "false";
}
std::string text_or(const std::string& text, const char* otherwise = "-") {
  return text.empty() ? otherwise : text;
}

std::string types_of(const std::vector<api::PolicyType>& types) {
  Cells names;
  for (const api::PolicyType type : types) {
    names.emplace_back(type == api::PolicyType::kIngress ? "Ingress" : "Egress");
  }
  return join(names);
}

std::string staged_action_name(api::StagedAction action) {
  switch (action) {
    case api::StagedAction::kSet:
      return "Set";
    case api::StagedAction::kDelete:
      return "Delete";
    case api::StagedAction::kLearn:
      return "Learn";
    case api::StagedAction::kIgnore:
      return "Ignore";
  }
  return "";
}

std::string labels_of(const api::Labels& labels) {
  Cells parts;
  for (const auto& [key, value] : labels) {
    parts.push_back(fmt::format("{}={}", key, value));
  }
  return join(parts);
}

std::string match_labels_of(const api::LabelSelector& selector) {
  if (selector.match_labels.empty() && selector.match_expressions.empty()) {
    return "all pods";
  }
  Cells parts;
  for (const auto& [key, value] : selector.match_labels) {
    parts.push_back(fmt::format("{}={}", key, value));
  }
  for (const auto& requirement : selector.match_expressions) {
    parts.push_back(requirement.key + " …");
  }
  return join(parts);
}

Cells addresses_of(const api::WorkloadEndpoint& endpoint) {
  Cells addresses;
  for (const Prefix& prefix : endpoint.ip_networks) {
    addresses.push_back(prefix.addr().str());
  }
  return addresses;
}

// The columns of one kind beside NAME and AGE.
struct Columns {
  Cells header;
  Cells wide_header;
  std::function<Cells(const api::Resource&)> cells;  // header's, then wide_header's
};

template <typename T>
const T& as(const api::Resource& resource) {
  const T* spec = std::get_if<T>(&resource.spec);
  MARGAY_ASSERT(spec != nullptr);
  return *spec;
}

Cells policy_cells(const api::PolicySpec& policy) {
  return {policy.tier,
          number(policy.order),
          types_of(policy.types),
          text_or(policy.selector, "all()"),
          std::to_string(policy.ingress.size()),
          std::to_string(policy.egress.size())};
}

Cells node_cells(const api::Resource& resource) {
  const auto& node = as<api::Node>(resource);
  const api::NodeBgp bgp = node.bgp.value_or(api::NodeBgp{});
  return {bgp.as_number ? std::to_string(bgp.as_number->value()) : "(default)",
          bgp.ipv4_address ? bgp.ipv4_address->str() : "-",
          bgp.ipv6_address ? bgp.ipv6_address->str() : "-",
          labels_of(resource.metadata.labels)};
}

Cells peer_cells(const api::Resource& resource) {
  const auto& peer = as<api::BGPPeer>(resource);
  const std::string nodes =
      !peer.node.empty() ? peer.node : text_or(peer.node_selector, "all nodes");
  std::string place = text_or(peer.peer_selector);
  if (peer.peer_ip) {
    place = peer.peer_ip->str();
  } else if (!peer.margay_peer.interface.empty()) {
    place = "interface " + peer.margay_peer.interface;
  } else if (!peer.local_workload_selector.empty()) {
    place = "workloads " + peer.local_workload_selector;
  }
  return {nodes, place, peer.as_number ? std::to_string(peer.as_number->value()) : "-"};
}

Cells endpoint_cells(const api::Resource& resource) {
  const auto& endpoint = as<api::WorkloadEndpoint>(resource);
  return {text_or(endpoint.pod),
          endpoint.node.str(),
          join(addresses_of(endpoint)),
          endpoint.interface_name.str(),
          endpoint.container_id.substr(0, 12),
          labels_of(resource.metadata.labels)};
}

Cells block_cells(const api::Resource& resource) {
  const auto& block = as<api::IPAMBlock>(resource);
  const auto used =
      std::ranges::count_if(block.allocations, [](const auto& slot) { return slot.has_value(); });
  return {block.cidr.str(),
          block.affinity.value_or("-"),
          std::to_string(used),
          std::to_string(block.allocations.size() - static_cast<std::size_t>(used))};
}

Cells bgp_configuration_cells(const api::Resource& resource) {
  const auto& config = as<api::BGPConfiguration>(resource);
  return {config.as_number ? std::to_string(config.as_number->value()) : "-",
          config.node_to_node_mesh_enabled ? yes_no(*config.node_to_node_mesh_enabled) : "-",
          config.listen_port ? std::to_string(*config.listen_port) : "-"};
}

const char* state_name(api::AffinityState state) {
  switch (state) {
    case api::AffinityState::kPending:
      return "pending";
    case api::AffinityState::kConfirmed:
      return "confirmed";
    case api::AffinityState::kPendingDeletion:
      return "pendingDeletion";
  }
  return "";
}

template <typename Policy>
Cells staged_cells(const Policy& staged) {
  Cells cells = policy_cells(staged.policy);
  cells.insert(cells.begin(), staged_action_name(staged.staged_action));
  return cells;
}

std::string nets_of(const std::vector<Prefix>& nets) {
  Cells texts;
  for (const Prefix& net : nets) {
    texts.push_back(net.str());
  }
  return join(texts);
}

template <typename Policy>
Cells admin_cells(const Policy& policy) {
  return {std::to_string(policy.ingress.size()), std::to_string(policy.egress.size())};
}

Cells host_endpoint_cells(const api::Resource& resource) {
  const auto& endpoint = as<api::HostEndpoint>(resource);
  Cells addresses;
  for (const IpAddr& addr : endpoint.expected_ips) {
    addresses.push_back(addr.str());
  }
  return {endpoint.node.str(), endpoint.interface_name.str(), join(addresses)};
}

Cells service_cells(const api::Resource& resource) {
  const auto& service = as<api::Service>(resource);
  Cells addresses;
  for (const IpAddr& addr : service.cluster_ips) {
    addresses.push_back(addr.str());
  }
  Cells ports;
  for (const api::ServicePort& port : service.ports) {
    ports.push_back(fmt::format("{}/{}", port.port, api::to_string(port.protocol)));
  }
  return {addresses.empty() ? "None" : join(addresses), join(ports)};
}

Cells slice_cells(const api::Resource& resource) {
  const auto& slice = as<api::EndpointSlice>(resource);
  const auto service = resource.metadata.labels.find(std::string(api::kServiceNameLabel));
  Cells addresses;
  for (const api::SliceEndpoint& endpoint : slice.endpoints) {
    for (const IpAddr& addr : endpoint.addresses) {
      addresses.push_back(addr.str());
    }
  }
  return {service == resource.metadata.labels.end() ? "" : service->second, join(addresses)};
}

// Kinds that policy refers to, and its less common forms.
// NOLINTNEXTLINE(readability-function-size): a table with a line for each kind
Columns more_columns_of(api::Kind kind) {
  using api::Kind;
  switch (kind) {
    case Kind::kStagedGlobalNetworkPolicy:
      return {{"ACTION", "TIER", "ORDER", "TYPES", "SELECTOR"},
              {"INGRESS", "EGRESS"},
              [](const api::Resource& resource) {
                return staged_cells(as<api::StagedGlobalNetworkPolicy>(resource));
              }};
    case Kind::kStagedNetworkPolicy:
      return {{"ACTION", "TIER", "ORDER", "TYPES", "SELECTOR"},
              {"INGRESS", "EGRESS"},
              [](const api::Resource& resource) {
                return staged_cells(as<api::StagedNetworkPolicy>(resource));
              }};
    case Kind::kStagedKubernetesNetworkPolicy:
      return {{"ACTION", "PODS", "TYPES"}, {}, [](const api::Resource& resource) {
                const auto& staged = as<api::StagedKubernetesNetworkPolicy>(resource);
                return Cells{staged_action_name(staged.staged_action),
                             match_labels_of(staged.policy.pod_selector),
                             types_of(staged.policy.types)};
              }};
    case Kind::kGlobalNetworkSet:
      return {{"NETS"}, {"LABELS"}, [](const api::Resource& resource) {
                return Cells{nets_of(as<api::GlobalNetworkSet>(resource).nets),
                             labels_of(resource.metadata.labels)};
              }};
    case Kind::kNetworkSet:
      return {{"NETS"}, {"LABELS"}, [](const api::Resource& resource) {
                return Cells{nets_of(as<api::NetworkSet>(resource).nets),
                             labels_of(resource.metadata.labels)};
              }};
    case Kind::kHostEndpoint:
      return {{"NODE", "INTERFACE", "ADDRESSES"}, {}, host_endpoint_cells};
    case Kind::kProfile:
      return {{"INGRESS", "EGRESS", "LABELS"}, {}, [](const api::Resource& resource) {
                const auto& profile = as<api::Profile>(resource);
                return Cells{std::to_string(profile.ingress.size()),
                             std::to_string(profile.egress.size()),
                             labels_of(profile.labels_to_apply)};
              }};
    case Kind::kKubernetesNode:
      return {
          {"SCHEDULING", "LABELS"}, {}, [](const api::Resource& resource) {
            const bool cordoned = as<api::KubernetesNode>(resource).unschedulable;
            return Cells{cordoned ? "Disabled" : "Enabled", labels_of(resource.metadata.labels)};
          }};
    case Kind::kServiceAccount:
      return {{"LABELS"}, {}, [](const api::Resource& resource) {
                return Cells{labels_of(resource.metadata.labels)};
              }};
    case Kind::kService:
      return {{"CLUSTER-IP", "PORTS"}, {}, service_cells};
    case Kind::kEndpointSlice:
      return {{"SERVICE", "ADDRESSES"}, {}, slice_cells};
    case Kind::kAdminNetworkPolicy:
      return {{"PRIORITY", "INGRESS", "EGRESS"}, {}, [](const api::Resource& resource) {
                const auto& policy = as<api::AdminNetworkPolicy>(resource);
                Cells cells = admin_cells(policy);
                cells.insert(cells.begin(), std::to_string(policy.priority));
                return cells;
              }};
    case Kind::kBaselineAdminNetworkPolicy:
      return {{"INGRESS", "EGRESS"}, {}, [](const api::Resource& resource) {
                return admin_cells(as<api::BaselineAdminNetworkPolicy>(resource));
              }};
    case Kind::kClusterNetworkPolicy:
      return {{"TIER", "PRIORITY", "INGRESS", "EGRESS"}, {}, [](const api::Resource& resource) {
                const auto& policy = as<api::ClusterNetworkPolicy>(resource);
                Cells cells = admin_cells(policy);
                cells.insert(cells.begin(),
                             {policy.tier == api::AdminTier::kAdmin ? "Admin" : "Baseline",
                              std::to_string(policy.priority)});
                return cells;
              }};
    default:
      return {{}, {}, [](const api::Resource&) { return Cells{}; }};
  }
}

// NOLINTNEXTLINE(readability-function-size): a table with a line for each kind
Columns columns_of(api::Kind kind) {
  using api::Kind;
  switch (kind) {
    default:
      break;
    case Kind::kNode:
      return {{"ASN", "IPV4", "IPV6"}, {"LABELS"}, node_cells};
    case Kind::kIPPool:
      return {{"CIDR", "BLOCK", "DISABLED", "SELECTOR"},
              {"BGP-EXPORT", "NAT"},
              [](const api::Resource& resource) {
                const auto& pool = as<api::IPPool>(resource);
                return Cells{pool.cidr.str(),
                             "/" + std::to_string(pool.block_size),
                             yes_no(pool.disabled),
                             pool.node_selector,
                             yes_no(!pool.disable_bgp_export),
                             yes_no(pool.nat_outgoing)};
              }};
    case Kind::kBGPConfiguration:
      return {{"ASN", "MESH", "PORT"}, {}, bgp_configuration_cells};
    case Kind::kBGPFilter:
      return {{"EXPORT-V4", "IMPORT-V4", "EXPORT-V6", "IMPORT-V6"},
              {},
              [](const api::Resource& resource) {
                const auto& filter = as<api::BGPFilter>(resource);
                const auto rules = [](const auto& list) { return std::to_string(list.size()); };
                return Cells{rules(filter.export_v4),
                             rules(filter.import_v4),
                             rules(filter.export_v6),
                             rules(filter.import_v6)};
              }};
    case Kind::kBGPPeer:
      return {{"NODES", "PEER", "ASN"}, {}, peer_cells};
    case Kind::kGlobalNetworkPolicy:
      return {{"TIER", "ORDER", "TYPES", "SELECTOR"},
              {"INGRESS", "EGRESS"},
              [](const api::Resource& resource) {
                return policy_cells(as<api::GlobalNetworkPolicy>(resource));
              }};
    case Kind::kNetworkPolicy:
      return {{"TIER", "ORDER", "TYPES", "SELECTOR"},
              {"INGRESS", "EGRESS"},
              [](const api::Resource& resource) {
                return policy_cells(as<api::NetworkPolicy>(resource));
              }};
    case Kind::kKubernetesNetworkPolicy:
      return {{"PODS", "TYPES"}, {"INGRESS", "EGRESS"}, [](const api::Resource& resource) {
                const auto& policy = as<api::KubernetesNetworkPolicy>(resource);
                return Cells{match_labels_of(policy.pod_selector),
                             types_of(policy.types),
                             std::to_string(policy.ingress.size()),
                             std::to_string(policy.egress.size())};
              }};
    case Kind::kTier:
      return {{"ORDER", "DEFAULT"}, {}, [](const api::Resource& resource) {
                const auto& tier = as<api::Tier>(resource);
                return Cells{number(tier.order),
                             tier.default_action == api::Action::kPass ? "Pass" : "Deny"};
              }};
    case Kind::kNamespace:
      return {{"LABELS"}, {}, [](const api::Resource& resource) {
                return Cells{labels_of(resource.metadata.labels)};
              }};
    case Kind::kWorkloadEndpoint:
      return {{"POD", "NODE", "ADDRESSES", "INTERFACE"}, {"CONTAINER", "LABELS"}, endpoint_cells};
    case Kind::kFelixConfiguration:
      return {{}, {}, [](const api::Resource&) { return Cells{}; }};
    case Kind::kIPAMBlock:
      return {{"CIDR", "AFFINITY", "USED", "FREE"}, {}, block_cells};
    case Kind::kIPAMHandle:
      return {{"BLOCKS"}, {}, [](const api::Resource& resource) {
                Cells blocks;
                for (const auto& [block, count] : as<api::IPAMHandle>(resource).blocks) {
                  blocks.push_back(block.str() + " " + std::to_string(count));
                }
                return Cells{join(blocks)};
              }};
    case Kind::kKubeControllersConfiguration:
      return {{"HOST-ENDPOINTS"}, {}, [](const api::Resource& resource) {
                const auto& config = as<api::KubeControllersConfiguration>(resource);
                return Cells{yes_no(config.auto_host_endpoints == api::Switch::kEnabled)};
              }};
    case Kind::kNodeStatus:
      return {{"ENFORCED-REVISION"}, {}, [](const api::Resource& resource) {
                return Cells{std::to_string(as<api::NodeStatus>(resource).enforced_revision)};
              }};
    case Kind::kPendingChange:
      return {{"REVERT-AT", "OBJECTS"}, {}, [](const api::Resource& resource) {
                const auto& change = as<api::PendingChange>(resource);
                return Cells{format_rfc3339(change.revert_at), std::to_string(change.edits.size())};
              }};
    case Kind::kIPReservation:
      return {{"CIDRS"}, {}, [](const api::Resource& resource) {
                std::vector<std::string> cidrs;
                for (const Prefix& cidr : as<api::IPReservation>(resource).reserved_cidrs) {
                  cidrs.push_back(cidr.str());
                }
                return Cells{join(cidrs)};
              }};
    case Kind::kIPAMConfiguration:
      return {{"STRICT", "MAX-BLOCKS"}, {}, [](const api::Resource& resource) {
                const auto& config = as<api::IPAMConfiguration>(resource);
                return Cells{yes_no(config.strict_affinity),
                             std::to_string(config.max_blocks_per_host)};
              }};
    case Kind::kBlockAffinity:
      return {{"NODE", "CIDR", "STATE"}, {}, [](const api::Resource& resource) {
                const auto& affinity = as<api::BlockAffinity>(resource);
                return Cells{affinity.node.str(), affinity.cidr.str(), state_name(affinity.state)};
              }};
  }
  return more_columns_of(kind);
}

std::string age_of(const api::Metadata& metadata, std::chrono::system_clock::time_point now) {
  const auto made = parse_rfc3339(metadata.creation_timestamp);
  return made ? age(std::chrono::floor<std::chrono::seconds>(now - *made).count()) : "-";
}

std::string print_table(api::Kind kind,
                        std::span<const Object> objects,
                        const PrintOptions& options) {
  const Columns columns = columns_of(kind);
  const bool wide = options.format == Format::kWide;
  Cells header;
  if (options.show_namespace) {
    header.emplace_back("NAMESPACE");
  }
  header.emplace_back("NAME");
  header.insert(header.end(), columns.header.begin(), columns.header.end());
  if (wide) {
    header.insert(header.end(), columns.wide_header.begin(), columns.wide_header.end());
  }
  header.emplace_back("AGE");
  Table table(header);
  for (const Object& object : objects) {
    Cells row;
    if (options.show_namespace) {
      row.push_back(object.key.ns);
    }
    row.push_back(object.key.name);
    if (object.resource) {
      Cells cells = columns.cells(*object.resource);
      cells.resize(columns.header.size() + (wide ? columns.wide_header.size() : 0));
      row.insert(row.end(), cells.begin(), cells.end());
      row.push_back(age_of(object.resource->metadata, options.now));
    } else {
      row.push_back("invalid: " +
                    (object.invalid ? object.invalid->text : std::string("unknown reason")));
    }
    table.add(std::move(row));
  }
  return table.str(wide ? 0 : kTableWidth);
}

std::string print_json(std::span<const Object> objects, bool single) {
  std::string items;
  for (const Object& object : objects) {
    if (object.resource) {
      items += (items.empty() ? "" : ",") + api::encode_json(*object.resource);
    }
  }
  return single ? items + "\n"
                : R"({"apiVersion":"v1","items":[)" + items + R"(],"kind":"List"})" + "\n";
}

}  // namespace

Result<Format> parse_format(std::string_view text) {
  if (text == "table" || text.empty()) {
    return Format::kTable;
  }
  if (text == "wide") {
    return Format::kWide;
  }
  if (text == "yaml") {
    return Format::kYaml;
  }
  if (text == "json") {
    return Format::kJson;
  }
  if (text == "name") {
    return Format::kName;
  }
  return fail(Errc::kInvalid, "output \"{}\": expected table, wide, yaml, json or name", text);
}

std::string print(api::Kind kind, std::span<const Object> objects, const PrintOptions& options) {
  std::string out;
  switch (options.format) {
    case Format::kTable:
    case Format::kWide:
      return print_table(kind, objects, options);
    case Format::kJson:
      return print_json(objects, options.single);
    case Format::kYaml:
      for (const Object& object : objects) {
        if (object.resource) {
          out += (out.empty() ? "" : "---\n") + api::encode_yaml(*object.resource);
        }
      }
      return out;
    case Format::kName:
      for (const Object& object : objects) {
        out += fmt::format("{}/{}\n", api::spec_of(kind).plural, object.key.name);
      }
      return out;
  }
  return out;
}

}  // namespace margay::cli
