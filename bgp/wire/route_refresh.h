#pragma once
// ROUTE-REFRESH (RFC 2918) with the subtypes of enhanced refresh (RFC 7313).

#include "bgp/wire/notification.h"
#include "bgp/wire/types.h"

#include <vector>

namespace margay::bgp {

struct RouteRefresh {
  // Other subtypes are kept as their number: RFC 7313 section 5 has them ignored.
  enum class Subtype : std::uint8_t { kRequest = 0, kBegin = 1, kEnd = 2 };

  AfiSafi family;
  Subtype subtype = Subtype::kRequest;
  bool operator==(const RouteRefresh&) const = default;
};

// Any length but 4 is 7/1: we offer no outbound route filters that would make it longer.
[[nodiscard]] Result<RouteRefresh, Notification> decode_route_refresh(Bytes body);
[[nodiscard]] std::vector<std::uint8_t> encode_route_refresh(const RouteRefresh& refresh);

}  // namespace margay::bgp
