#include "felix/dns/dns_answer.h"

#include "base/domain_name.h"

#include <arpa/nameser.h>
#include <netinet/in.h>  // before the next one, which needs it

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace margay::felix {

namespace {

using Bytes = std::span<const std::uint8_t>;
using std::chrono::seconds;

constexpr std::size_t kUdpHeader = 8;
constexpr std::uint8_t kUdp = 17;

std::uint16_t be16(Bytes bytes, std::size_t at) {
  return static_cast<std::uint16_t>((bytes[at] << 8U) | bytes[at + 1]);
}

// RFC 791 section 3.1: not fragmented, UDP.
Bytes udp_of_ipv4(Bytes packet) {
  constexpr std::size_t kHeader = 20;
  if (packet.size() < kHeader || packet[9] != kUdp || (be16(packet, 6) & 0x3fffU) != 0) {
    return {};
  }
  const std::size_t header = (packet[0] & 0x0fU) * std::size_t{4};
  return header < kHeader || packet.size() < header ? Bytes() : packet.subspan(header);
}

// RFC 8200 section 3: without extension headers.
Bytes udp_of_ipv6(Bytes packet) {
  constexpr std::size_t kHeader = 40;
  return packet.size() < kHeader || packet[6] != kUdp ? Bytes() : packet.subspan(kHeader);
}

Bytes message_of(Bytes packet) {
  if (packet.empty()) {
    return {};
  }
  const std::uint8_t version = packet[0] >> 4U;
  const Bytes udp = version == 4   ? udp_of_ipv4(packet)
                    : version == 6 ? udp_of_ipv6(packet)
                                   : Bytes();
  if (udp.size() < kUdpHeader) {
    return {};
  }
  const std::size_t length = be16(udp, 4);
  return length < kUdpHeader || length > udp.size() ? Bytes()
                                                    : udp.subspan(kUdpHeader, length - kUdpHeader);
}

struct Record {
  std::string owner;
  seconds ttl{};
  std::optional<IpAddr> address;
  std::string alias_of;
};

// Nothing: of another type, or damaged.
std::optional<Record> read_record(ns_msg& message, int index) {
  ns_rr rr;
  if (::ns_parserr(&message, ns_s_an, index, &rr) != 0 || ns_rr_class(rr) != ns_c_in) {
    return std::nullopt;
  }
  // RFC 2181 section 8: a time with the highest bit set is none.
  const std::uint32_t ttl = ns_rr_ttl(rr);
  Record record{canonical_domain(ns_rr_name(rr)), seconds(ttl > 0x7fffffffU ? 0 : ttl), {}, {}};
  const std::uint16_t type = ns_rr_type(rr);
  if (type == ns_t_a || type == ns_t_aaaa) {
    const auto address = IpAddr::from_bytes(Bytes(ns_rr_rdata(rr), std::size_t{rr.rdlength}));
    if (!address || address->is_v4() != (type == ns_t_a)) {
      return std::nullopt;
    }
    record.address = *address;
    return record;
  }
  if (type != ns_t_cname) {
    return std::nullopt;
  }
  std::array<char, NS_MAXDNAME> name{};
  if (::ns_name_uncompress(
          ns_msg_base(message), ns_msg_end(message), ns_rr_rdata(rr), name.data(), name.size()) <
      0) {
    return std::nullopt;
  }
  record.alias_of = canonical_domain(name.data());
  return record;
}

// From the question along the aliases; each name once, so that a circle ends.
std::vector<std::pair<std::string, seconds>> names_from(std::string question,
                                                        const std::vector<Record>& records) {
  std::vector<std::pair<std::string, seconds>> names{{std::move(question), seconds::max()}};
  for (std::size_t i = 0; i < names.size(); ++i) {
    for (const Record& record : records) {
      const bool known = std::ranges::any_of(
          names, [&record](const auto& name) { return name.first == record.alias_of; });
      if (!record.alias_of.empty() && record.owner == names[i].first && !known) {
        names[i].second = record.ttl;  // of the step to the next name
        names.emplace_back(record.alias_of, seconds::max());
        break;
      }
    }
  }
  return names;
}

}  // namespace

std::vector<DomainAddress> parse_dns_answer(std::span<const std::uint8_t> packet) {
  const Bytes bytes = message_of(packet);
  ns_msg message;
  if (bytes.size() < NS_HFIXEDSZ ||
      ::ns_initparse(bytes.data(), static_cast<int>(bytes.size()), &message) != 0 ||
      ns_msg_getflag(message, ns_f_qr) != 1 || ns_msg_getflag(message, ns_f_tc) != 0 ||
      ns_msg_getflag(message, ns_f_rcode) != ns_r_noerror || ns_msg_count(message, ns_s_qd) != 1) {
    return {};
  }
  ns_rr question;
  if (::ns_parserr(&message, ns_s_qd, 0, &question) != 0) {
    return {};
  }
  std::vector<Record> records;
  for (int i = 0; i < ns_msg_count(message, ns_s_an); ++i) {
    if (auto record = read_record(message, i)) {
      records.push_back(std::move(*record));
    }
  }
  std::vector<DomainAddress> out;
  const auto names = names_from(canonical_domain(ns_rr_name(question)), records);
  for (const Record& record : records) {
    // Backwards from the record's owner, so that each name has the shortest time of its own way.
    const auto owner =
        std::ranges::find(names, record.owner, [](const auto& n) { return n.first; });
    if (!record.address || owner == names.end()) {
      continue;
    }
    seconds ttl = record.ttl;
    out.push_back({record.owner, *record.address, ttl});
    for (auto name = owner; name != names.begin();) {
      --name;
      ttl = std::min(ttl, name->second);
      out.push_back({name->first, *record.address, ttl});
    }
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace margay::felix
