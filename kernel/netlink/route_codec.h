#pragma once
// Routes <-> rtnetlink messages. Pure: no socket.

#include "kernel/model/route.h"
#include "kernel/netlink/request.h"

#include <optional>

namespace margay {

void encode_route_change(const RouteChange& change, RequestBatch& batch);
// Canonical. Nothing for what is not a route of the tables (cache entries, other families).
[[nodiscard]] std::optional<RouteSpec> decode_route(const nlmsghdr* message);

}  // namespace margay
