#include "bgp/rib/export.h"

#include "base/assert.h"
#include "bgp/rib/only_to_customer.h"

namespace margay::bgp {

namespace {

// Our own address as a next hop for routes of a family.
std::optional<IpAddr> own_address(Family family, const CodecContext& codec) {
  if (family == Family::kIpv6) {
    return codec.local_ipv6;
  }
  if (codec.local_ipv4) {
    return codec.local_ipv4;
  }
  return codec.ipv4.extended_next_hop ? codec.local_ipv6 : std::nullopt;
}

bool next_hop_is_ours(const AttributeSet& attributes,
                      Family family,
                      const ExportSource& source,
                      const ExportTarget& target) {
  const IpAddr& next_hop = attributes.next_hop.address;
  if (next_hop.is_v6() && next_hop.is_link_local()) {
    return true;  // it means nothing on another link
  }
  if (family == Family::kIpv4 && next_hop.is_v6() && !target.codec.ipv4.extended_next_hop) {
    return true;  // the session did not agree to such next hops: RFC 8950 section 4
  }
  switch (target.next_hop) {
    case NextHopRule::kSelf:
      return true;
    case NextHopRule::kKeep:
      return source.local;
    case NextHopRule::kAuto:
      return source.local || !target.codec.internal;
  }
  return true;
}

// What the RFCs say, whatever the filters.
ExportDenial denied_by_protocol(const AttributeSet& attributes,
                                Family family,
                                const ExportSource& source,
                                const ExportTarget& target) {
  if (attributes.has(kNoAdvertise)) {
    return ExportDenial::kMayNotAdvertise;
  }
  const bool external = !target.codec.internal;
  if (external && (attributes.has(kNoExport) || attributes.has(kNoExportSubconfed))) {
    return ExportDenial::kMayNotExport;
  }
  if (external && !target.long_lived && attributes.has(kLlgrStale)) {
    return ExportDenial::kLongLivedStale;
  }
  if (target.role && stays_from(attributes, *target.role)) {
    return ExportDenial::kOnlyToCustomer;
  }
  // RFC 4456 section 6: between internal peers only by reflection, from or to a client.
  const bool inside = source.internal && target.codec.internal;
  if (inside && !source.reflector_client && !target.reflector_client) {
    return ExportDenial::kNotReflected;
  }
  const bool impossible = next_hop_is_ours(attributes, family, source, target) &&
                          !own_address(family, target.codec).has_value();
  return impossible ? ExportDenial::kNextHop : ExportDenial::kNone;
}

}  // namespace

std::string_view to_string(ExportDenial denial) {
  switch (denial) {
    case ExportDenial::kNone:
      return "";
    case ExportDenial::kFamily:
      return "the session does not carry its family";
    case ExportDenial::kFilter:
      return "rejected by the export filter";
    case ExportDenial::kLearnt:
      return "learnt from a peer, and only our own networks are told";
    case ExportDenial::kMayNotAdvertise:
      return "it carries NO_ADVERTISE";
    case ExportDenial::kMayNotExport:
      return "it carries NO_EXPORT";
    case ExportDenial::kOnlyToCustomer:
      return "only for customers, by its ONLY_TO_CUSTOMER";
    case ExportDenial::kNotReflected:
      return "learnt from an internal peer, and neither end is a client";
    case ExportDenial::kLongLivedStale:
      return "it is long-lived stale, and the peer does not know what that means";
    case ExportDenial::kNextHop:
      return "we have no address of the family for its next hop";
  }
  return "";
}

ExportTarget export_target(const RibPeer& peer) {
  ExportTarget target{.codec = peer.codec,
                      .reflector_client = peer.reflector_client,
                      .role = peer.role,
                      .next_hop = peer.next_hop,
                      .export_learned = peer.export_learned,
                      .long_lived = peer.long_lived,
                      .filters = peer.filters};
  target.filters.import_v4.clear();
  target.filters.import_v6.clear();
  target.codec.peer_asn = Asn();
  target.codec.enforce_first_as = true;
  target.codec.extended_receive = false;
  target.codec.link = IfIndex();
  target.codec.ipv4.add_path_receive = false;
  target.codec.ipv6.add_path_receive = false;
  return target;
}

ExportVerdict may_export(const AttributeSet& attributes,
                         const Prefix& prefix,
                         const ExportSource& source,
                         const ExportTarget& target) {
  const Family family = prefix.family();
  if (!target.codec.of(family).enabled) {
    return {ExportDenial::kFamily};
  }
  const std::vector<FilterRule>& rules = target.filters.exporting(family);
  const FilterRule* rule =
      deciding_rule(rules, {prefix, attributes, !source.local, !target.codec.internal});
  const auto number = static_cast<std::uint16_t>(rule == nullptr ? 0 : rule - rules.data() + 1);
  if (rule != nullptr && !rule->accept) {
    return {ExportDenial::kFilter, number};
  }
  if (rule == nullptr && !target.export_learned && !source.local) {
    return {ExportDenial::kLearnt};
  }
  return {denied_by_protocol(attributes, family, source, target), number};
}

AttributeSet exported(const AttributeSet& attributes,
                      Family family,
                      std::uint16_t rule,
                      const ExportSource& source,
                      const ExportTarget& target,
                      const RibOptions& options) {
  AttributeSet out = attributes;
  if (rule != 0) {
    apply_operations(target.filters.exporting(family)[rule - 1U], out);
  }
  if (next_hop_is_ours(out, family, source, target)) {
    const auto own = own_address(family, target.codec);
    MARGAY_ASSERT(own.has_value());
    out.next_hop = NextHop{*own, std::nullopt};
  } else {
    out.next_hop.link_local.reset();  // of another link: RFC 2545 section 3
  }
  if (target.codec.internal) {
    out.local_pref = out.local_pref.value_or(kDefaultLocalPref);
    if (!target.long_lived && out.has(kLlgrStale)) {  // RFC 9494 section 4.6
      out.local_pref = 0;
      out.add(kNoExport);
    }
    if (source.internal) {
      if (!out.originator_id) {
        out.originator_id = source.router_id;
      }
      out.cluster_list.insert(out.cluster_list.begin(), options.cluster_id);
    }
    return out;
  }
  out.local_pref.reset();
  out.med.reset();
  out.originator_id.reset();
  out.cluster_list.clear();
  out.as_path.prepend(target.codec.local_asn);
  if (target.role) {
    mark_sent(out, *target.role, target.codec.local_asn);
  }
  return out;
}

}  // namespace margay::bgp
