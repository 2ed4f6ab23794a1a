#include "cli/control_print.h"

#include "api/proto/control.pb.h"
#include "cli/table.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <string>
#include <string_view>
#include <vector>

namespace margay::cli {

namespace v1 = margay::control::v1;

namespace {

std::string since(std::int64_t then_ms, std::int64_t now_ms) {
  constexpr std::int64_t kMillis = 1000;
  return then_ms == 0 ? "-" : age((now_ms - then_ms) / kMillis);
}

Table peer_table(const google::protobuf::RepeatedPtrField<v1::BgpPeer>& peers,
                 std::int64_t now_ms) {
  Table table({"PEER",
               "ADDRESS",
               "AS",
               "TYPE",
               "STATE",
               "SINCE",
               "RECEIVED",
               "SENT",
               "FLAPS",
               "LAST ERROR"});
  for (const v1::BgpPeer& peer : peers) {
    table.add({peer.name(),
               peer.address(),
               std::to_string(peer.asn()),
               peer.type(),
               peer.state(),
               since(peer.since_ms(), now_ms),
               std::to_string(peer.prefixes_received()),
               std::to_string(peer.prefixes_advertised()),
               std::to_string(peer.flaps()),
               peer.last_error().empty() ? "-" : peer.last_error()});
  }
  return table;
}

Table collector_table(const google::protobuf::RepeatedPtrField<v1::BmpCollector>& collectors,
                      std::int64_t now_ms) {
  Table table(
      {"BMP COLLECTOR", "PORT", "STATE", "SINCE", "MESSAGES", "WAITING", "LOST", "LAST ERROR"});
  for (const v1::BmpCollector& collector : collectors) {
    table.add({collector.address(),
               std::to_string(collector.port()),
               collector.state(),
               since(collector.since_ms(), now_ms),
               std::to_string(collector.messages()),
               std::to_string(collector.waiting_bytes()),
               std::to_string(collector.lost_connections()),
               collector.last_error().empty() ? "-" : collector.last_error()});
  }
  return table;
}

std::string mrt_text(const v1::MrtDump& mrt) {
  std::string out = fmt::format("mrt {}, {} records, {} lost\n",
                                mrt.updates_file().empty() ? mrt.directory() : mrt.updates_file(),
                                mrt.records(),
                                mrt.lost_records());
  if (!mrt.table_file().empty()) {
    out += fmt::format("mrt table {}\n", mrt.table_file());
  }
  if (!mrt.last_error().empty()) {
    out += fmt::format("mrt error {}\n", mrt.last_error());
  }
  return out;
}

std::string path_flags(const v1::BgpPath& path) {
  if (path.rejected()) {
    return "x";
  }
  return path.best() ? "*>" : path.multipath() ? "*=" : "*";
}

void add_paths(Table& table, const v1::BgpRoute& route) {
  std::string prefix = route.prefix();
  for (const v1::BgpPath& path : route.paths()) {
    table.add({path_flags(path),
               prefix,
               path.next_hop().empty() ? "-" : path.next_hop(),
               path.peer().empty() ? "(own)" : path.peer(),
               path.as_path().empty() ? "-" : path.as_path(),
               path.has_local_pref() ? std::to_string(path.local_pref()) : "-",
               path.has_med() ? std::to_string(path.med()) : "-",
               path.reason()});
    prefix.clear();
  }
}

Table route_table() {
  return Table({"", "PREFIX", "NEXT HOP", "FROM", "AS PATH", "PREF", "MED", "REASON"});
}

std::string path_detail(const v1::BgpPath& path) {
  std::string out;
  const auto line = [&out](const char* name, const std::string& value) {
    if (!value.empty()) {
      out += fmt::format("      {:<14} {}\n", name, value);
    }
  };
  line("origin", path.origin());
  line("communities", join({path.communities().begin(), path.communities().end()}, " "));
  line("originator", path.originator_id());
  line("cluster list", join({path.cluster_list().begin(), path.cluster_list().end()}, " "));
  return out;
}

const char* otherwise(const v1::DataplaneDirection& direction) {
  return direction.otherwise_allowed() ? "allowed" : "denied";
}

std::string policies_of(const v1::DataplaneDirection& direction) {
  std::vector<std::string> names;
  for (const v1::DataplaneTier& tier : direction.tiers()) {
    names.insert(names.end(), tier.policies().begin(), tier.policies().end());
  }
  return names.empty() ? otherwise(direction) : join(names, ", ");
}

std::string summary(const v1::DataplaneDirection& direction) {
  std::size_t policies = 0;
  for (const v1::DataplaneTier& tier : direction.tiers()) {
    policies += static_cast<std::size_t>(tier.policies_size());
  }
  return policies == 0   ? otherwise(direction)
         : policies == 1 ? "1 policy"
                         : fmt::format("{} policies", policies);
}

std::string chain_detail(const v1::DataplaneChain& chain) {
  std::string out =
      fmt::format("\n  chain {}{}\n", chain.name(), chain.missing() ? " (not in the kernel)" : "");
  for (const v1::DataplaneRule& rule : chain.rules()) {
    out += fmt::format(
        "    {:>10}  {}", rule.counted() ? std::to_string(rule.packets()) : "", rule.text());
    out += rule.comment().empty() ? "\n" : "  # " + rule.comment() + "\n";
  }
  return out;
}

std::string direction_detail(const char* name, const v1::DataplaneDirection& direction) {
  std::string out = fmt::format("\n{}\n", name);
  for (const v1::DataplaneTier& tier : direction.tiers()) {
    out += fmt::format("  tier {}: {}; then {}\n",
                       tier.name(),
                       join({tier.policies().begin(), tier.policies().end()}, ", "),
                       tier.default_action());
  }
  if (!direction.profiles().empty()) {
    out += "  profiles " + join({direction.profiles().begin(), direction.profiles().end()}, ", ") +
           "\n";
  }
  if (direction.tiers().empty()) {
    out += fmt::format("  no policy selects it: {}\n", otherwise(direction));
  }
  for (const v1::DataplaneChain& chain : direction.chains()) {
    out += chain_detail(chain);
  }
  return out;
}

}  // namespace

std::string to_text(const v1::NodeStatus& status, std::int64_t now_ms) {
  std::string out;
  const auto line = [&out](const char* name, const std::string& value) {
    out += fmt::format("{:<12} {}\n", name, value);
  };
  line("node", status.node());
  line("agent",
       fmt::format("{} pid {}, up {}{}",
                   status.version(),
                   status.agent().pid(),
                   since(status.agent().started_ms(), now_ms),
                   status.agent().ready()
                       ? fmt::format(", ready after {} ms", status.agent().ready_after_ms())
                       : ", not ready: " + status.agent().not_ready_reason()));
  line("datastore",
       fmt::format("{} revision {}{}",
                   status.datastore().url(),
                   status.datastore().revision(),
                   !status.datastore().error().empty() ? ", away: " + status.datastore().error()
                   : status.datastore().in_sync()      ? ", in sync"
                                                       : ", not yet in sync"));
  line("kernel",
       fmt::format(
           "enforces revision {}, last apply {} us, {} ago, {} applies, {} failed, {} pending",
           status.dataplane().enforced_revision(),
           status.dataplane().last_apply_duration_us(),
           since(status.dataplane().last_apply_ms(), now_ms),
           status.dataplane().applies(),
           status.dataplane().failures(),
           status.dataplane().pending()));
  for (const std::string& error : status.dataplane().errors()) {
    line("", error);
  }
  line("counts",
       fmt::format("{} endpoints, {} policies, {} sets, {} chains, {} local routes, {} BGP routes",
                   status.counts().local_endpoints(),
                   status.counts().policies(),
                   status.counts().sets(),
                   status.counts().chains(),
                   status.counts().local_routes(),
                   status.counts().bgp_routes()));
  for (const v1::InvalidObject& object : status.invalid_objects()) {
    line("invalid",
         fmt::format(
             "{}: {}{}",
             object.object(),
             object.reason(),
             object.last_valid_in_force() ? " (its last valid version stays in force)" : ""));
  }
  line("bgp",
       status.bgp_mode() == "none"
           ? "off"
           : fmt::format("{} peers{}",
                         status.bgp_peers_size(),
                         status.bgp_drain().empty() ? "" : ", drained: " + status.bgp_drain()));
  if (status.bgp_peers_size() > 0) {
    out += peer_table(status.bgp_peers(), now_ms).str();
  }
  return out;
}

std::string to_text(const v1::ListBgpPeersResponse& response, std::int64_t now_ms) {
  std::string out =
      fmt::format("local AS {}, router id {}\n", response.local_asn(), response.router_id()) +
      peer_table(response.peers(), now_ms).str();
  if (response.collectors_size() > 0) {
    out += "\n" + collector_table(response.collectors(), now_ms).str();
  }
  if (response.has_mrt()) {
    out += "\n" + mrt_text(response.mrt());
  }
  return out;
}

std::string to_text(const v1::DumpBgpTableResponse& response) {
  return fmt::format("the table {} {}\n",
                     response.whole() ? "was written to" : "is being written to",
                     response.file());
}

std::string to_text(const v1::ListBgpRoutesResponse& response, bool detail) {
  Table table = route_table();
  for (const v1::BgpRoute& route : response.routes()) {
    add_paths(table, route);
  }
  std::string out = table.str();
  if (detail) {
    for (const v1::BgpRoute& route : response.routes()) {
      for (const v1::BgpPath& path : route.paths()) {
        out += fmt::format(
            "   {} from {}\n", route.prefix(), path.peer().empty() ? "(own)" : path.peer());
        out += path_detail(path);
      }
    }
  }
  return out;
}

std::string to_text(const v1::BgpExports& exports, bool detail) {
  const v1::BgpPeer& peer = exports.peer();
  if (peer.state() != "Established") {
    return fmt::format("{} is told nothing: {}\n", peer.name(), peer.state());
  }
  Table table({"PREFIX", "FROM", "TOLD", "NEXT HOP", "AS PATH", "RULE", "WHY NOT"});
  for (const v1::BgpExport& one : exports.exports()) {
    table.add({one.prefix(),
               one.path().peer().empty() ? "(own)" : one.path().peer(),
               one.told() ? "yes" : "no",
               one.path().next_hop().empty() ? "-" : one.path().next_hop(),
               one.path().as_path().empty() ? "-" : one.path().as_path(),
               one.rule().empty() ? "-" : one.rule(),
               one.reason().empty() ? "-" : one.reason()});
  }
  std::string out = table.str();
  for (const v1::BgpExport& one : exports.exports()) {
    if (detail && one.told()) {
      out += fmt::format("   {} as it is sent\n", one.prefix()) + path_detail(one.path());
    }
  }
  return out;
}

namespace {

// A line of its own for what is known of it.
std::string known(std::string_view name, const std::string& value) {
  return value.empty() ? std::string() : fmt::format("{} {}\n", name, value);
}

// Whole, where the table cuts what is long.
std::string peer_detail(const v1::BgpPeer& peer) {
  std::string out = fmt::format("local {} AS {}, router id {}, hold time {} s, from {}\n",
                                peer.local_address().empty() ? "-" : peer.local_address(),
                                peer.local_asn(),
                                peer.router_id().empty() ? "-" : peer.router_id(),
                                peer.hold_time_s(),
                                peer.origin());
  out += known("description", peer.description()) + known("role", peer.role()) +
         known("address", peer.address()) + known("last error", peer.last_error()) +
         known("bfd", peer.bfd());
  out += fmt::format("messages in {} out {}, {} bytes wait, update group {}\n",
                     peer.messages_in(),
                     peer.messages_out(),
                     peer.queued_bytes(),
                     peer.update_group());
  for (const auto& [family, counts] : {std::pair{"ipv4", &peer.ipv4()}, {"ipv6", &peer.ipv6()}}) {
    out += fmt::format("{} received {}, accepted {}, advertised {}\n",
                       family,
                       counts->received(),
                       counts->accepted(),
                       counts->advertised());
  }
  return out + known("last notification", peer.last_notification());
}

std::string peer_history(const v1::BgpPeer& peer, std::int64_t now_ms) {
  std::string out;
  for (const v1::BgpFlap& flap : peer.history()) {
    out += fmt::format("lost {} ago after {} s: {}\n",
                       since(flap.ended_ms(), now_ms),
                       flap.lasted_s(),
                       flap.reason());
  }
  return out;
}

}  // namespace

std::string to_text(const v1::BgpNeighbor& neighbor, std::int64_t now_ms) {
  google::protobuf::RepeatedPtrField<v1::BgpPeer> one;
  *one.Add() = neighbor.peer();
  const v1::BgpPeer& peer = neighbor.peer();
  std::string out = peer_table(one, now_ms).str() + peer_detail(peer) + peer_history(peer, now_ms) +
                    known("record", peer.record());
  out +=
      "capabilities " + join({peer.capabilities().begin(), peer.capabilities().end()}, ", ") + "\n";
  for (const std::string& malformed : neighbor.malformed()) {
    out += "malformed " + malformed + "\n";
  }
  for (const auto& [title, routes] :
       {std::pair{"received", &neighbor.received()}, {"advertised", &neighbor.advertised()}}) {
    Table table = route_table();
    for (const v1::BgpRoute& route : *routes) {
      add_paths(table, route);
    }
    out += fmt::format("\n{} {}\n", title, routes->size()) +
           (routes->empty() ? std::string() : table.str());
  }
  return out;
}

std::string to_text(const v1::Dataplane& dataplane, bool detail) {
  Table table({"WORKLOAD", "INTERFACE", "ADDRESSES", "INGRESS", "EGRESS"});
  for (const v1::DataplaneEndpoint& endpoint : dataplane.endpoints()) {
    table.add({endpoint.name(),
               endpoint.interface(),
               join({endpoint.addresses().begin(), endpoint.addresses().end()}),
               detail ? summary(endpoint.ingress()) : policies_of(endpoint.ingress()),
               detail ? summary(endpoint.egress()) : policies_of(endpoint.egress())});
  }
  std::string out = table.str();
  for (const v1::DataplaneEndpoint& endpoint : dataplane.endpoints()) {
    if (detail) {
      out += direction_detail("ingress", endpoint.ingress()) +
             direction_detail("egress", endpoint.egress());
    }
  }
  return out;
}

std::string to_text(const v1::Diagnosis& diagnosis) {
  std::string out;
  for (const v1::Finding& finding : diagnosis.findings()) {
    out += fmt::format("{} {}: {}\n    {}\n",
                       finding.severity() == v1::Finding::ERROR ? "error  " : "warning",
                       finding.subject(),
                       finding.what(),
                       finding.mend());
  }
  return out.empty() ? "nothing wrong\n" : out;
}

std::string to_json(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string out;
  if (!google::protobuf::util::MessageToJsonString(message, &out, options).ok()) {
    return "{}\n";
  }
  return out;
}

}  // namespace margay::cli
