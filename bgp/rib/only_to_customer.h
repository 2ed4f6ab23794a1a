#pragma once
// ONLY_TO_CUSTOMER (RFC 9234 section 5): a route that came from a provider, a peer or a route
// server goes to customers alone. The attribute is what is left of that in the route, so that
// whoever comes later sees a leak, too. `role` is always our own on the external session in
// question.

#include "bgp/wire/attributes.h"

namespace margay::bgp {

// On the way in: the route must not be used.
[[nodiscard]] bool is_leak(const AttributeSet& attributes, Role role, Asn peer);
// On the way in: what a route without the attribute gets.
void mark_received(AttributeSet& attributes, Role role, Asn peer);
// On the way out: the route must not be told.
[[nodiscard]] bool stays_from(const AttributeSet& attributes, Role role);
void mark_sent(AttributeSet& attributes, Role role, Asn own);

}  // namespace margay::bgp
