#include "bgp/rib/only_to_customer.h"

namespace margay::bgp {

namespace {

// The peer sells us transit, is our equal, or serves routes of such.
bool from_above(Role role) {
  switch (role) {
    case Role::kCustomer:
    case Role::kPeer:
    case Role::kRouteServerClient:
      return true;
    case Role::kProvider:
    case Role::kRouteServer:
      return false;
  }
  return false;
}

// We sell the peer transit, are its equal, or serve it routes.
bool to_below(Role role) {
  return role == Role::kProvider || role == Role::kPeer || role == Role::kRouteServer;
}

}  // namespace

bool is_leak(const AttributeSet& attributes, Role role, Asn peer) {
  if (!attributes.only_to_customer) {
    return false;
  }
  const bool from_below = role == Role::kProvider || role == Role::kRouteServer;
  return from_below || (role == Role::kPeer && *attributes.only_to_customer != peer);
}

void mark_received(AttributeSet& attributes, Role role, Asn peer) {
  if (!attributes.only_to_customer && from_above(role)) {
    attributes.only_to_customer = peer;
  }
}

bool stays_from(const AttributeSet& attributes, Role role) {
  return attributes.only_to_customer.has_value() && from_above(role);
}

void mark_sent(AttributeSet& attributes, Role role, Asn own) {
  if (!attributes.only_to_customer && to_below(role)) {
    attributes.only_to_customer = own;
  }
}

}  // namespace margay::bgp
