#include "bgp/rib/export.h"

#include "base/assert.h"

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

bool next_hop_is_ours(const ExportSource& source, const ExportTarget& target) {
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

}  // namespace

ExportTarget export_target(const RibPeer& peer) {
  ExportTarget target{peer.codec, peer.reflector_client, peer.next_hop, peer.export_learned};
  target.codec.peer_asn = Asn();
  target.codec.enforce_first_as = true;
  target.codec.extended_receive = false;
  target.codec.ipv4.add_path_receive = false;
  target.codec.ipv6.add_path_receive = false;
  return target;
}

bool may_export(const AttributeSet& attributes,
                Family family,
                const ExportSource& source,
                const ExportTarget& target) {
  if (!target.codec.of(family).enabled || (!target.export_learned && !source.local)) {
    return false;
  }
  if (attributes.has(kNoAdvertise)) {
    return false;
  }
  const bool external = !target.codec.internal;
  if (external && (attributes.has(kNoExport) || attributes.has(kNoExportSubconfed))) {
    return false;
  }
  // RFC 4456 section 6: between internal peers only by reflection, from or to a client.
  const bool inside = source.internal && target.codec.internal;
  if (inside && !source.reflector_client && !target.reflector_client) {
    return false;
  }
  return !next_hop_is_ours(source, target) || own_address(family, target.codec).has_value();
}

AttributeSet exported(const AttributeSet& attributes,
                      Family family,
                      const ExportSource& source,
                      const ExportTarget& target,
                      const RibOptions& options) {
  AttributeSet out = attributes;
  if (next_hop_is_ours(source, target)) {
    const auto own = own_address(family, target.codec);
    MARGAY_ASSERT(own.has_value());
    out.next_hop = NextHop{*own, std::nullopt};
  }
  if (target.codec.internal) {
    out.local_pref = attributes.local_pref.value_or(kDefaultLocalPref);
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
  return out;
}

}  // namespace margay::bgp
