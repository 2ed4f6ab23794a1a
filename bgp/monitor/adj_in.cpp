#include "bgp/monitor/adj_in.h"

#include <algorithm>
#include <map>

namespace margay::bgp {

namespace {

// The peer's side of the session: it sends what we receive.
CodecContext as_sender(CodecContext codec) {
  codec.ipv4.add_path_send = codec.ipv4.add_path_receive;
  codec.ipv6.add_path_send = codec.ipv6.add_path_receive;
  codec.extended_send = codec.extended_receive;
  return codec;
}

void collect(Bytes field, Family family, const CodecContext& session, std::vector<Nlri>& out) {
  NlriReader reader(field, family, session.of(family).add_path_receive);
  Nlri nlri;
  while (reader.next(nlri)) {
    out.push_back(nlri);
  }
}

}  // namespace

std::vector<std::uint8_t> retell(const CodecContext& session, std::span<const ToldPath> paths) {
  struct Batch {
    const AttributeSet* attributes = nullptr;
    std::vector<Nlri> prefixes;  // of one family
  };
  std::vector<Nlri> withdrawn;
  std::vector<Batch> batches;
  std::map<std::pair<const AttributeSet*, Family>, std::size_t> batch_of;
  for (const ToldPath& path : paths) {
    if (path.attributes == nullptr) {
      withdrawn.push_back(path.nlri);
      continue;
    }
    const auto [batch, made] =
        batch_of.try_emplace({path.attributes, path.nlri.prefix.family()}, batches.size());
    if (made) {
      batches.push_back({path.attributes, {}});
    }
    batches[batch->second].prefixes.push_back(path.nlri);
  }
  UpdatePacker packer(as_sender(session));
  packer.withdraw(withdrawn);
  for (const Batch& batch : batches) {
    (void)packer.announce(*batch.attributes, batch.prefixes);
  }
  return packer.take();
}

std::vector<std::uint8_t> ends_of_rib(const CodecContext& session) {
  UpdatePacker packer(session);
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if (session.of(family).enabled) {
      packer.end_of_rib(unicast(family));
    }
  }
  return packer.take();
}

UpdateSubject subject_of(Bytes update_body, const CodecContext& session) {
  UpdateSubject subject;
  const auto parts = split_update(update_body);
  if (!parts) {
    return subject;
  }
  subject.end_of_rib = parts->end_of_rib();
  collect(parts->withdrawn, Family::kIpv4, session, subject.prefixes);
  collect(parts->nlri, Family::kIpv4, session, subject.prefixes);
  if (parts->mp_reach) {
    if (const auto family = unicast_family(parts->mp_reach->family)) {
      collect(parts->mp_reach->nlri, *family, session, subject.prefixes);
    }
  }
  if (parts->mp_unreach) {
    if (const auto family = unicast_family(parts->mp_unreach->family)) {
      collect(parts->mp_unreach->nlri, *family, session, subject.prefixes);
    }
  }
  std::ranges::sort(subject.prefixes);
  subject.prefixes.erase(std::unique(subject.prefixes.begin(), subject.prefixes.end()),
                         subject.prefixes.end());
  return subject;
}

bool has_path_ids(Bytes update_body, const CodecContext& session) {
  if (!session.ipv4.add_path_receive && !session.ipv6.add_path_receive) {
    return false;
  }
  const auto parts = split_update(update_body);
  if (!parts) {
    return false;
  }
  if (parts->mp_reach) {
    const auto family = unicast_family(parts->mp_reach->family);
    return family && session.of(*family).add_path_receive;
  }
  if (parts->mp_unreach) {
    const auto family = unicast_family(parts->mp_unreach->family);
    return family && session.of(*family).add_path_receive;
  }
  return session.ipv4.add_path_receive;
}

}  // namespace margay::bgp
