#pragma once
// What a DNS answer on the wire says about addresses (RFC 1035 section 4). Read with the resolver
// of the C library (arpa/nameser.h). Pure.

#include "base/ip_addr.h"

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace margay::felix {

// The name leads to the address, by an A or AAAA record and any CNAMEs before it.
struct DomainAddress {
  std::string name;  // lower case, without the last dot
  IpAddr address;
  std::chrono::seconds ttl{};  // the shortest of the way
  auto operator<=>(const DomainAddress&) const = default;
  bool operator==(const DomainAddress&) const = default;
};

// `packet` begins with the IP header. The name that was asked for and each alias on the way lead to
// the addresses. Nothing for what is no whole answer in one UDP datagram: questions, errors,
// truncated answers, fragments, damaged messages.
[[nodiscard]] std::vector<DomainAddress> parse_dns_answer(std::span<const std::uint8_t> packet);

}  // namespace margay::felix
