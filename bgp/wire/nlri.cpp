#include "bgp/wire/nlri.h"

#include <algorithm>
#include <array>

namespace margay::bgp {

namespace {

constexpr std::size_t bytes_for(unsigned length) {
  return (length + 7U) / 8U;
}

IpAddr address_of(Family family, Bytes bytes) {
  if (family == Family::kIpv4) {
    std::uint32_t host = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      host = (host << 8U) | (i < bytes.size() ? bytes[i] : 0U);
    }
    return IpAddr::v4(host);
  }
  std::array<std::uint8_t, 16> padded{};
  std::ranges::copy(bytes, padded.begin());
  return IpAddr::v6(padded);
}

bool is_martian_v4(const Prefix& prefix) {
  const unsigned first = prefix.addr().v4_value() >> 24U;
  if (prefix.length() == 0) {
    return false;
  }
  return first == 0 || first == 127 || first >= 224;
}

bool is_martian_v6(const Prefix& prefix) {
  const Bytes bytes = prefix.addr().bytes();
  if (prefix.length() == 0) {
    return false;
  }
  if (bytes[0] == 0xFF || (bytes[0] == 0xFE && (bytes[1] & 0xC0U) == 0x80U)) {
    return true;
  }
  if (prefix.length() < 96 ||
      !std::ranges::all_of(bytes.first(10), [](auto b) { return b == 0; })) {
    return false;
  }
  // ::/96 (unspecified, loopback, IPv4-compatible) and ::ffff:0:0/96 (IPv4-mapped)
  const unsigned group = (unsigned{bytes[10]} << 8U) | bytes[11];
  return group == 0 || group == 0xFFFF;
}

}  // namespace

bool NlriReader::next(Nlri& out) {
  if (failed_ || reader_.empty()) {
    return false;
  }
  out.path_id = add_path_ ? reader_.u32() : 0;
  const unsigned length = reader_.u8();
  if (!reader_.ok() || length > address_bits(family_)) {
    failed_ = true;
    return false;
  }
  const Bytes bytes = reader_.bytes(bytes_for(length));
  failed_ = !reader_.ok();
  if (failed_) {
    return false;
  }
  out.prefix = Prefix::masked(address_of(family_, bytes), length);
  return true;
}

bool decode_nlri(Bytes field, Family family, bool add_path, std::vector<Nlri>& out) {
  const std::size_t before = out.size();
  NlriReader reader(field, family, add_path);
  Nlri nlri;
  while (reader.next(nlri)) {
    out.push_back(nlri);
  }
  if (reader.failed()) {
    out.resize(before);
    return false;
  }
  return true;
}

void encode_nlri(ByteWriter& out, const Nlri& nlri, bool add_path) {
  if (add_path) {
    out.u32(nlri.path_id);
  }
  out.u8(static_cast<std::uint8_t>(nlri.prefix.length()));
  out.bytes(nlri.prefix.addr().bytes().first(bytes_for(nlri.prefix.length())));
}

std::size_t encoded_size(const Nlri& nlri, bool add_path) {
  return (add_path ? 4U : 0U) + 1U + bytes_for(nlri.prefix.length());
}

bool is_martian(const Prefix& prefix) {
  return prefix.family() == Family::kIpv4 ? is_martian_v4(prefix) : is_martian_v6(prefix);
}

}  // namespace margay::bgp
