#pragma once
// What a kernel monitor reports. An event says what is now true; kOverrun says that events were
// lost and everything must be read again.

#include "kernel/model/link.h"
#include "kernel/model/route.h"

#include <variant>
#include <vector>

namespace margay {

struct LinkChanged {
  LinkState link;
  bool operator==(const LinkChanged&) const = default;
};
struct LinkRemoved {
  IfIndex index;
  std::string name;
  bool operator==(const LinkRemoved&) const = default;
};
struct RouteChanged {
  RouteSpec route;
  bool replaced = false;  // it took the place of another route with its key
  bool operator==(const RouteChanged&) const = default;
};
struct RouteRemoved {
  RouteSpec route;
  bool operator==(const RouteRemoved&) const = default;
};
// An address of this machine came or went: the kernel may have removed routes with it silently.
struct AddressChanged {
  AddressSpec address;
  bool removed = false;
  bool operator==(const AddressChanged&) const = default;
};
// A next hop object went away; the kernel removes the routes that use it without telling.
struct NextHopRemoved {
  bool operator==(const NextHopRemoved&) const = default;
};
struct Overrun {
  bool operator==(const Overrun&) const = default;
};

using KernelEvent = std::variant<LinkChanged,
                                 LinkRemoved,
                                 RouteChanged,
                                 RouteRemoved,
                                 AddressChanged,
                                 NextHopRemoved,
                                 Overrun>;

}  // namespace margay
