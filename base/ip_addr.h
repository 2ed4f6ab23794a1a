#pragma once
// IpAddr and Prefix: addresses that know their family, and prefixes that cannot hold host bits.
//
// Both are small values, ordered by family, then bytes, then length; both parse strictly (no
// leading zeros, no scope, no short forms of IPv4) and print canonically (RFC 5952 for IPv6). Bytes
// are in network order inside.

#include "base/assert.h"
#include "base/result.h"

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace margay {

enum class Family : std::uint8_t { kIpv4 = 4, kIpv6 = 6 };

// "ipv4" or "ipv6".
[[nodiscard]] constexpr std::string_view family_name(Family family) {
  return family == Family::kIpv4 ? "ipv4" : "ipv6";
}
[[nodiscard]] constexpr unsigned address_bits(Family family) {
  return family == Family::kIpv4 ? 32U : 128U;
}
[[nodiscard]] constexpr std::size_t address_bytes(Family family) {
  return family == Family::kIpv4 ? 4U : 16U;
}

class IpAddr {
 public:
  constexpr IpAddr() = default;  // 0.0.0.0
  // host: the address as a number, 192.0.2.1 = 0xC0000201.
  static constexpr IpAddr v4(std::uint32_t host) {
    IpAddr addr;
    addr.bytes_[0] = static_cast<std::uint8_t>(host >> 24U);
    addr.bytes_[1] = static_cast<std::uint8_t>(host >> 16U);
    addr.bytes_[2] = static_cast<std::uint8_t>(host >> 8U);
    addr.bytes_[3] = static_cast<std::uint8_t>(host);
    return addr;
  }
  static constexpr IpAddr v6(const std::array<std::uint8_t, 16>& bytes) {
    IpAddr addr;
    addr.family_ = Family::kIpv6;
    addr.bytes_ = bytes;
    return addr;
  }
  // 4 or 16 bytes in network order; anything else is an error.
  static Result<IpAddr> from_bytes(std::span<const std::uint8_t> bytes);
  static Result<IpAddr> parse(std::string_view text);

  [[nodiscard]] constexpr Family family() const { return family_; }
  [[nodiscard]] constexpr bool is_v4() const { return family_ == Family::kIpv4; }
  [[nodiscard]] constexpr bool is_v6() const { return family_ == Family::kIpv6; }
  [[nodiscard]] std::span<const std::uint8_t> bytes() const {
    return std::span<const std::uint8_t>(bytes_).first(address_bytes(family_));
  }
  // The IPv4 address as a number; asserts is_v4().
  [[nodiscard]] std::uint32_t v4_value() const {
    MARGAY_ASSERT(is_v4());
    return (std::uint32_t{bytes_[0]} << 24U) | (std::uint32_t{bytes_[1]} << 16U) |
           (std::uint32_t{bytes_[2]} << 8U) | std::uint32_t{bytes_[3]};
  }

  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] bool is_multicast() const;
  [[nodiscard]] bool is_link_local() const;  // 169.254/16, fe80::/10

  // The address `count` after this one, within the family; wraps around. add(0) is the address
  // itself.
  [[nodiscard]] IpAddr add(std::uint64_t count) const;
  // This address minus `base`, if both are of one family and the difference fits 64 bits; error
  // otherwise.
  [[nodiscard]] Result<std::uint64_t> offset_from(const IpAddr& base) const;

  [[nodiscard]] std::string str() const;

  auto operator<=>(const IpAddr&) const = default;
  bool operator==(const IpAddr&) const = default;

 private:
  Family family_ = Family::kIpv4;
  std::array<std::uint8_t, 16> bytes_{};
};

class Prefix {
 public:
  Prefix() = default;  // 0.0.0.0/0
  // Clears host bits. length: 0 to 32 or 128; more is clamped by assertion, so check wire input
  // first.
  static Prefix masked(const IpAddr& addr, unsigned length) {
    MARGAY_ASSERT(length <= address_bits(addr.family()));
    Prefix prefix;
    prefix.length_ = static_cast<std::uint8_t>(length);
    if (addr.is_v4()) {
      const std::uint64_t kept = 0xFFFFFFFF00000000U >> length;
      prefix.addr_ = IpAddr::v4(addr.v4_value() & static_cast<std::uint32_t>(kept));
    } else {
      prefix.addr_ = masked_v6(addr, length);
    }
    return prefix;
  }
  static Prefix host(const IpAddr& addr) { return masked(addr, address_bits(addr.family())); }
  // "192.0.2.0/24"; an address alone is a host prefix; host bits beyond the length are an error
  // that names the corrected prefix.
  static Result<Prefix> parse(std::string_view text);

  [[nodiscard]] const IpAddr& addr() const { return addr_; }
  [[nodiscard]] unsigned length() const { return length_; }
  [[nodiscard]] Family family() const { return addr_.family(); }
  [[nodiscard]] bool is_host() const { return length_ == address_bits(family()); }
  [[nodiscard]] bool contains(const IpAddr& addr) const;
  [[nodiscard]] bool contains(const Prefix& other) const;
  [[nodiscard]] bool overlaps(const Prefix& other) const {
    return contains(other) || other.contains(*this);
  }
  // The last address of the prefix.
  [[nodiscard]] IpAddr last() const;
  // Number of addresses, saturated at 2^64 - 1.
  [[nodiscard]] std::uint64_t size() const;

  [[nodiscard]] std::string str() const;

  auto operator<=>(const Prefix&) const = default;
  bool operator==(const Prefix&) const = default;

 private:
  static IpAddr masked_v6(const IpAddr& addr, unsigned length);

  IpAddr addr_;
  std::uint8_t length_ = 0;
};

// "192.0.2.7/24": an address on a network, as interfaces and Node.spec.bgp have it; host bits are
// kept.
struct InterfaceAddr {
  IpAddr addr;
  unsigned length = 0;

  static Result<InterfaceAddr> parse(std::string_view text);
  [[nodiscard]] Prefix network() const { return Prefix::masked(addr, length); }
  [[nodiscard]] std::string str() const;
  auto operator<=>(const InterfaceAddr&) const = default;
  bool operator==(const InterfaceAddr&) const = default;
};

// Sorted, without those that lie in another one of the list: what an interval set of the kernel
// takes.
[[nodiscard]] std::vector<Prefix> without_nested(std::vector<Prefix> nets);

}  // namespace margay

template <>
struct std::hash<margay::IpAddr> {
  std::size_t operator()(const margay::IpAddr& addr) const noexcept;
};
template <>
struct std::hash<margay::Prefix> {
  std::size_t operator()(const margay::Prefix& prefix) const noexcept;
};
