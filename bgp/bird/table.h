#pragma once
// Routes as BIRD lists them (`show route all`), as values. Pure.

#include "bgp/bird/reply.h"
#include "bgp/wire/attributes.h"

#include <string>
#include <vector>

namespace margay::bgp::bird {

struct ListedPath {
  std::string protocol;  // that it came from
  bool best = false;
  bool stale = false;        // its peer restarts
  bool unreachable = false;  // BIRD cannot use its next hop
  bool from_peer = false;    // else one of our own networks
  AttributeSet attributes;
};
struct ListedRoute {
  Prefix prefix;
  std::vector<ListedPath> paths;  // as BIRD ranks them
};

// Ordered by prefix. What is no route, and attributes that are not known here, are skipped.
[[nodiscard]] std::vector<ListedRoute> read_routes(const Reply& reply);

}  // namespace margay::bgp::bird
