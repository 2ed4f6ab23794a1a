#pragma once
// The result object that ADD prints, in the format of each version of the specification. Pure.

#include "base/ip_addr.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace margay::cni {

// Handed through for who writes resolv.conf.
struct Dns {
  std::vector<std::string> nameservers;
  std::string domain;
  std::vector<std::string> search;
  std::vector<std::string> options;
  bool operator==(const Dns&) const = default;
};

struct AddResult {
  struct Interface {
    std::string name;
    std::string mac;
    std::uint32_t mtu = 0;  // printed from version 1.1.0, when known
    std::string sandbox;    // empty: on the host
    bool operator==(const Interface&) const = default;
  };
  struct Ip {
    InterfaceAddr address;
    std::optional<IpAddr> gateway;
    std::optional<unsigned> interface;  // absent in the result of an IPAM plugin
    bool operator==(const Ip&) const = default;
  };
  struct Route {
    Prefix dst;
    std::optional<IpAddr> gw;
    std::uint32_t table = 0;  // other than the main one; printed from version 1.1.0
    bool operator==(const Route&) const = default;
  };
  std::vector<Interface> interfaces;
  std::vector<Ip> ips;
  std::vector<Route> routes;
  Dns dns;
  bool operator==(const AddResult&) const = default;
};

// As it stands in a result: "{}" when there is none.
[[nodiscard]] std::string dns_json(const Dns& dns);

// One line, ended by a newline. Up to 0.4.0 each address carries its version, later ones do not.
[[nodiscard]] std::string result_json(const AddResult& result, std::string_view version);

}  // namespace margay::cni
