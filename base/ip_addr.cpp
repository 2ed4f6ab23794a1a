#include "base/ip_addr.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace margay {

namespace {

// Splits "addr/len"; a missing length is the family's full length.
Result<InterfaceAddr> parse_addr_and_length(std::string_view text) {
  const std::size_t slash = text.find('/');
  auto addr = IpAddr::parse(text.substr(0, slash));
  if (!addr) {
    return fail(Errc::kInvalid, "\"{}\": expected an address or ADDRESS/LENGTH", text);
  }
  const unsigned bits = address_bits(addr->family());
  if (slash == std::string_view::npos) {
    return InterfaceAddr{*addr, bits};
  }
  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, errc] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  const bool padded = digits.size() > 1 && digits.front() == '0';
  if (errc != std::errc{} || end != digits.data() + digits.size() || padded || length > bits) {
    return fail(Errc::kInvalid, "\"{}\": expected a prefix length of 0 to {}", text, bits);
  }
  return InterfaceAddr{*addr, length};
}

std::size_t mix(std::uint64_t value) {
  value ^= value >> 32U;
  value *= 0xd6e8feb86659fd93U;
  value ^= value >> 32U;
  value *= 0xd6e8feb86659fd93U;
  value ^= value >> 32U;
  return static_cast<std::size_t>(value);
}

std::size_t hash_addr(const IpAddr& addr) {
  std::array<std::uint64_t, 2> words{};
  std::memcpy(words.data(), addr.bytes().data(), addr.bytes().size());
  return mix(words[0] ^ mix(words[1] + static_cast<std::uint64_t>(addr.family())));
}

}  // namespace

Result<IpAddr> IpAddr::from_bytes(std::span<const std::uint8_t> bytes) {
  if (bytes.size() != 4 && bytes.size() != 16) {
    return fail(Errc::kInvalid, "address of {} bytes: expected 4 or 16", bytes.size());
  }
  IpAddr addr;
  addr.family_ = bytes.size() == 4 ? Family::kIpv4 : Family::kIpv6;
  std::ranges::copy(bytes, addr.bytes_.begin());
  return addr;
}

Result<IpAddr> IpAddr::parse(std::string_view text) {
  const std::string zero_terminated(text);
  IpAddr addr;
  addr.family_ = text.find(':') == std::string_view::npos ? Family::kIpv4 : Family::kIpv6;
  const int af = addr.is_v4() ? AF_INET : AF_INET6;
  const bool embedded_zero = text.find('\0') != std::string_view::npos;
  if (embedded_zero || inet_pton(af, zero_terminated.c_str(), addr.bytes_.data()) != 1) {
    return fail(Errc::kInvalid, "\"{}\": expected an IPv4 or IPv6 address", text);
  }
  return addr;
}

bool IpAddr::is_unspecified() const {
  return std::ranges::all_of(bytes(), [](std::uint8_t byte) { return byte == 0; });
}

bool IpAddr::is_loopback() const {
  if (is_v4()) {
    return bytes_[0] == 127;
  }
  return bytes_[15] == 1 &&
         std::all_of(bytes_.begin(), bytes_.end() - 1, [](std::uint8_t byte) { return byte == 0; });
}

bool IpAddr::is_multicast() const {
  return is_v4() ? (bytes_[0] & 0xf0U) == 0xe0U : bytes_[0] == 0xff;
}

bool IpAddr::is_link_local() const {
  return is_v4() ? bytes_[0] == 169 && bytes_[1] == 254
                 : bytes_[0] == 0xfe && (bytes_[1] & 0xc0U) == 0x80U;
}

IpAddr IpAddr::add(std::uint64_t count) const {
  IpAddr sum = *this;
  for (std::size_t i = address_bytes(family_); i-- > 0 && count != 0;) {
    count += sum.bytes_[i];
    sum.bytes_[i] = static_cast<std::uint8_t>(count);
    count >>= 8U;
  }
  return sum;
}

Result<std::uint64_t> IpAddr::offset_from(const IpAddr& base) const {
  if (family_ != base.family_ || *this < base) {
    return fail(Errc::kInvalid, "{} is not above {}", str(), base.str());
  }
  std::uint64_t offset = 0;
  int borrow = 0;
  std::array<std::uint8_t, 16> diff{};
  for (std::size_t i = address_bytes(family_); i-- > 0;) {
    const int value = int{bytes_[i]} - int{base.bytes_[i]} - borrow;
    borrow = value < 0 ? 1 : 0;
    diff[i] = static_cast<std::uint8_t>(value + (borrow << 8));
  }
  for (std::size_t i = 0; i < address_bytes(family_); ++i) {
    if (offset > (~std::uint64_t{0} >> 8U)) {
      return fail(Errc::kInvalid, "{} is more than 2^64 above {}", str(), base.str());
    }
    offset = (offset << 8U) | diff[i];
  }
  return offset;
}

std::string IpAddr::str() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(is_v4() ? AF_INET : AF_INET6,
            bytes_.data(),
            text.data(),
            static_cast<socklen_t>(text.size()));
  return text.data();
}

IpAddr Prefix::masked_v6(const IpAddr& addr, unsigned length) {
  std::array<std::uint8_t, 16> bytes{};
  const std::size_t whole = length / 8;
  const auto from = addr.bytes();
  std::ranges::copy(from.first(whole), bytes.begin());
  if (length % 8 != 0) {
    bytes.at(whole) = static_cast<std::uint8_t>(from[whole] & (0xFF00U >> (length % 8)));
  }
  return IpAddr::v6(bytes);
}

Result<Prefix> Prefix::parse(std::string_view text) {
  const auto parsed = parse_addr_and_length(text);
  if (!parsed) {
    return fail(parsed.error());
  }
  const Prefix prefix = parsed->network();
  if (prefix.addr() != parsed->addr) {
    return fail(Errc::kInvalid, "\"{}\" has host bits set: expected {}", text, prefix.str());
  }
  return prefix;
}

bool Prefix::contains(const IpAddr& addr) const {
  return addr.family() == family() && masked(addr, length_).addr_ == addr_;
}

bool Prefix::contains(const Prefix& other) const {
  return other.length_ >= length_ && contains(other.addr_);
}

IpAddr Prefix::last() const {
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(addr_.bytes(), bytes.begin());
  for (std::size_t i = 0; i < address_bytes(family()); ++i) {
    const unsigned kept =
        length_ > i * 8 ? std::min(8U, length_ - static_cast<unsigned>(i * 8)) : 0U;
    bytes[i] = static_cast<std::uint8_t>(bytes[i] | (0xffU >> kept));
  }
  return *IpAddr::from_bytes(std::span<const std::uint8_t>(bytes).first(address_bytes(family())));
}

std::uint64_t Prefix::size() const {
  const unsigned host_bits = address_bits(family()) - length_;
  return host_bits >= 64 ? ~std::uint64_t{0} : std::uint64_t{1} << host_bits;
}

std::string Prefix::str() const {
  return addr_.str() + "/" + std::to_string(length_);
}

Result<InterfaceAddr> InterfaceAddr::parse(std::string_view text) {
  return parse_addr_and_length(text);
}

std::string InterfaceAddr::str() const {
  return addr.str() + "/" + std::to_string(length);
}

std::vector<Prefix> without_nested(std::vector<Prefix> nets) {
  std::ranges::sort(nets);
  std::vector<Prefix> out;
  for (const Prefix& net : nets) {
    if (out.empty() || !out.back().contains(net)) {
      out.push_back(net);
    }
  }
  return out;
}

}  // namespace margay

std::size_t std::hash<margay::IpAddr>::operator()(const margay::IpAddr& addr) const noexcept {
  return margay::hash_addr(addr);
}

std::size_t std::hash<margay::Prefix>::operator()(const margay::Prefix& prefix) const noexcept {
  return margay::hash_addr(prefix.addr()) * 131U + prefix.length();
}
