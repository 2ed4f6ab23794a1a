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
                      const ExportSource& source,
                      const ExportTarget& target) {
  const IpAddr& next_hop = attributes.next_hop.address;
  if (next_hop.is_v6() && next_hop.is_link_local()) {
    return true;  // it means nothing on another link
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
bool protocol_allows(const AttributeSet& attributes,
                     Family family,
                     const ExportSource& source,
                     const ExportTarget& target) {
  if (attributes.has(kNoAdvertise)) {
    return false;
  }
  const bool external = !target.codec.internal;
  if (external && (attributes.has(kNoExport) || attributes.has(kNoExportSubconfed))) {
    return false;
  }
  if (target.role && stays_from(attributes, *target.role)) {
    return false;
  }
  // RFC 4456 section 6: between internal peers only by reflection, from or to a client.
  const bool inside = source.internal && target.codec.internal;
  if (inside && !source.reflector_client && !target.reflector_client) {
    return false;
  }
  return !next_hop_is_ours(attributes, source, target) ||
         own_address(family, target.codec).has_value();
}

}  // namespace

ExportTarget export_target(const RibPeer& peer) {
  ExportTarget target{peer.codec,
                      peer.reflector_client,
                      peer.role,
                      peer.next_hop,
                      peer.export_learned,
                      peer.filters};
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
    return {};
  }
  const std::vector<FilterRule>& rules = target.filters.exporting(family);
  const FilterRule* rule =
      deciding_rule(rules, {prefix, attributes, !source.local, !target.codec.internal});
  if (rule != nullptr ? !rule->accept : !target.export_learned && !source.local) {
    return {};
  }
  const auto number = rule == nullptr ? 0 : rule - rules.data() + 1;
  return {protocol_allows(attributes, family, source, target), static_cast<std::uint16_t>(number)};
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
  if (next_hop_is_ours(out, source, target)) {
    const auto own = own_address(family, target.codec);
    MARGAY_ASSERT(own.has_value());
    out.next_hop = NextHop{*own, std::nullopt};
  }
  if (target.codec.internal) {
    out.local_pref = out.local_pref.value_or(kDefaultLocalPref);
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
