#include "bench/packets/layouts.h"

#include "bench/packets/path.h"
#include "bench/support/process.h"
#include "felix/dataplane/nft_reconciler.h"
#include "felix/render/renderer.h"
#include "kernel/nft/nft_kernel.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace margay::bench {

namespace {

constexpr unsigned kRoles = 100;
constexpr unsigned kStack = 3;  // policies of an endpoint

IpAddr address(unsigned endpoint) {
  return IpAddr::v4(0x0a400001U + endpoint);
}

std::string interface(unsigned endpoint) {
  return endpoint == 0   ? Path::kClientSide
         : endpoint == 1 ? Path::kServerSide
                         : fmt::format("mgy{:08x}", endpoint);
}

// The policies of an endpoint, in order. The server's last one is number 0.
std::vector<unsigned> stack_of(unsigned endpoint, const Size& size) {
  std::vector<unsigned> stack;
  for (unsigned i = 0; i < kStack; ++i) {
    stack.push_back((endpoint + i) % size.policies);
  }
  if (endpoint == 1) {
    return {1, 2, 0};
  }
  return stack;
}

Result<void> load_script(const std::string& script) {
  const std::string file = fmt::format("/dev/shm/margay-bench-{}.nft", ::getpid());
  std::ofstream(file) << script;
  const int status = run({"nft", "-f", file});
  std::remove(file.c_str());
  return status == 0 ? Result<void>() : fail(Errc::kInternal, "nft -f ended with {}", status);
}

api::ResourceKey policy_key(unsigned number) {
  return {api::Kind::kGlobalNetworkPolicy, "", fmt::format("policy-{}", number)};
}

policy::Policy make_policy(unsigned number, api::Protocol protocol) {
  policy::Policy made;
  made.key = policy_key(number);
  made.ingress_applies = true;
  policy::Rule rule;
  rule.action = api::Action::kAllow;
  rule.protocol = protocol;
  rule.source.selector = policy::Selector::equals("role", fmt::format("r{}", number % kRoles));
  rule.destination.ports = {api::PortRange{Path::kPort, Path::kPort}};
  made.ingress.push_back(rule);
  return made;
}

felix::RenderEndpoint make_endpoint(unsigned number, const Size& size) {
  felix::RenderEndpoint endpoint;
  endpoint.interface = *IfName::parse(interface(number));
  endpoint.sources = {address(number)};
  felix::TierStack tier{"default", api::Action::kDeny, {}};
  for (const unsigned policy : stack_of(number, size)) {
    tier.policies.push_back(policy_key(policy));
  }
  endpoint.ingress.tiers = {tier};
  endpoint.egress.profile_allows = true;
  return endpoint;
}

// ---- Calico

constexpr const char* kCalicoFixed = R"(
  set cali40masq-ipam-pools { type ipv4_addr; flags interval; elements = { 10.64.0.0/16 }; }
  set cali40all-ipam-pools { type ipv4_addr; flags interval; elements = { 10.64.0.0/16 }; }
  chain raw-PREROUTING { type filter hook prerouting priority -300; policy accept; jump cali-raw-PREROUTING; }
  chain cali-raw-PREROUTING {
    counter meta mark set meta mark & 0xfff0ffff
    iifname "mgy*" counter meta mark set meta mark | 0x40000
    meta mark & 0x40000 == 0x40000 counter jump cali-rpf-skip
    meta mark & 0x40000 == 0x40000 fib saddr . mark . iif oif 0 counter drop
    meta mark & 0x40000 == 0 counter jump cali-from-host-endpoint-raw
    meta mark & 0x10000 == 0x10000 counter accept
  }
  chain cali-rpf-skip { }
  chain cali-from-host-endpoint-raw { }
  chain mangle-PREROUTING { type filter hook prerouting priority -150; policy accept; jump cali-mangle-PREROUTING; }
  chain cali-mangle-PREROUTING {
    ct state related,established counter accept
    meta mark & 0x10000 == 0x10000 counter accept
    counter jump cali-from-host-endpoint-mangle
    meta mark & 0x10000 == 0x10000 counter accept
  }
  chain cali-from-host-endpoint-mangle { }
  chain mangle-POSTROUTING { type filter hook postrouting priority -150; policy accept; jump cali-mangle-POSTROUTING; }
  chain cali-mangle-POSTROUTING {
    meta mark & 0x10000 == 0x10000 counter return
    counter meta mark set meta mark & 0xfff0ffff
    ct status dnat counter jump cali-to-host-endpoint-mangle
    meta mark & 0x10000 == 0x10000 counter return
  }
  chain cali-to-host-endpoint-mangle { }
  chain nat-PREROUTING { type nat hook prerouting priority -100; policy accept; jump cali-nat-PREROUTING; }
  chain cali-nat-PREROUTING { counter jump cali-fip-dnat; }
  chain cali-fip-dnat { }
  chain nat-POSTROUTING { type nat hook postrouting priority 110; policy accept; jump cali-nat-POSTROUTING; }
  chain cali-nat-POSTROUTING { counter jump cali-fip-snat
    counter jump cali-nat-outgoing; }
  chain cali-fip-snat { }
  chain cali-nat-outgoing { ip saddr @cali40masq-ipam-pools ip daddr != @cali40all-ipam-pools counter masquerade; }
  chain filter-FORWARD { type filter hook forward priority 0; policy accept; jump cali-FORWARD
    meta mark & 0x10000 == 0x10000 counter accept; }
  chain cali-FORWARD {
    counter meta mark set meta mark & 0xfff1ffff
    meta mark & 0x10000 == 0 counter jump cali-from-hep-forward
    iifname "mgy*" counter jump cali-from-wl-dispatch
    oifname "mgy*" counter jump cali-to-wl-dispatch
    counter jump cali-to-hep-forward
    counter jump cali-cidr-block
  }
  chain cali-from-hep-forward { }
  chain cali-to-hep-forward { }
  chain cali-cidr-block { }
  chain cali-pro-kns.default { counter meta mark set meta mark | 0x10000
    meta mark & 0x10000 == 0x10000 counter return; }
  chain cali-pro-ksa.default.default { }
)";

std::string calico_script(const Size& size) {
  std::string sets;
  for (unsigned role = 0; role < kRoles; ++role) {
    std::string members;
    for (unsigned i = role; i < size.endpoints; i += kRoles) {
      members += (members.empty() ? "" : ", ") + address(i).str();
    }
    sets += fmt::format("  set cali40s-r{} {{ type ipv4_addr; flags interval; {} }}\n",
                        role,
                        members.empty() ? "" : "elements = { " + members + " };");
  }
  std::string policies;
  for (unsigned i = 0; i < size.policies; ++i) {
    policies += fmt::format(
        "  chain cali-pi-policy-{} {{ meta l4proto udp ip saddr @cali40s-r{} udp dport {} counter "
        "meta mark set meta mark | 0x10000\n    meta mark & 0x10000 == 0x10000 counter return; "
        "}}\n",
        i,
        i % kRoles,
        Path::kPort);
  }
  std::string endpoints;
  std::string from;
  std::string to;
  for (unsigned i = 0; i < size.endpoints; ++i) {
    std::string jumps;
    for (const unsigned policy : stack_of(i, size)) {
      jumps += fmt::format(
          "    meta mark & 0x20000 == 0 counter jump cali-pi-policy-{}\n"
          "    meta mark & 0x10000 == 0x10000 counter return\n",
          policy);
    }
    const std::string name = interface(i);
    endpoints += fmt::format(
        "  chain cali-fw-{0} {{ ct state related,established counter accept\n"
        "    ct state invalid counter drop\n    counter meta mark set meta mark & 0xfffeffff\n"
        "    udp dport 4789 counter drop\n    meta l4proto 4 counter drop\n"
        "    counter jump cali-pro-kns.default\n    meta mark & 0x10000 == 0x10000 counter return\n"
        "    counter jump cali-pro-ksa.default.default\n"
        "    meta mark & 0x10000 == 0x10000 counter return\n    counter drop; }}\n"
        "  chain cali-tw-{0} {{ ct state related,established counter accept\n"
        "    ct state invalid counter drop\n    counter meta mark set meta mark & 0xfffeffff\n"
        "    counter meta mark set meta mark & 0xfffdffff\n{1}    meta mark & 0x20000 == 0 counter "
        "drop\n    counter drop; }}\n",
        name,
        jumps);
    from += fmt::format("{}\"{}\" : goto cali-fw-{}", i == 0 ? "" : ", ", name, name);
    to += fmt::format("{}\"{}\" : goto cali-tw-{}", i == 0 ? "" : ", ", name, name);
  }
  return "table ip calico {\n" + sets + policies + endpoints +
         "  map cali-from { type ifname : verdict; elements = { " + from + " }; }\n" +
         "  map cali-to { type ifname : verdict; elements = { " + to + " }; }\n" +
         "  chain cali-from-wl-dispatch { iifname vmap @cali-from\n    counter drop; }\n"
         "  chain cali-to-wl-dispatch { oifname vmap @cali-to\n    counter drop; }\n" +
         kCalicoFixed + "}\n";
}

std::string floor_script() {
  return "table inet floor {\n chain forward {\n  type filter hook forward priority 0; policy "
         "accept;\n"
         "  ct state established,related accept\n  ct state invalid drop\n  accept\n }\n}\n";
}

}  // namespace

Result<void> load_floor() {
  return load_script(floor_script());
}

Result<void> load_floor_and_spoof_check() {
  return load_script(
      floor_script() +
      fmt::format(
          "table inet floor {{\n set source4 {{\n  typeof iifname . ip saddr\n  elements = {{ "
          "\"{}\" . {}, \"{}\" . {} }}\n }}\n chain raw {{\n"
          "  type filter hook prerouting priority -300; policy accept;\n"
          "  iifname . ip saddr @source4 accept\n  drop\n }}\n}}\n",
          Path::kClientSide,
          Path::client().str(),
          Path::kServerSide,
          Path::server().str()));
}

Result<void> load_floor_and_second_chain() {
  return load_script(floor_script() +
                     "table inet floor {\n chain second {\n"
                     "  type filter hook forward priority 1; policy accept;\n"
                     "  ct state established,related accept\n }\n}\n");
}

Result<void> load_masquerade() {
  return load_script(
      "table ip nat {\n chain postrouting {\n  type nat hook postrouting priority 100; policy "
      "accept;\n"
      "  ip saddr 10.64.0.0/16 ip daddr 10.64.0.0/16 return\n"
      "  ip saddr 10.64.0.0/16 masquerade\n }\n}\n"
      "table ip filter {\n chain forward {\n  type filter hook forward priority 0; policy accept;\n"
      "  ct state established,related accept\n  ip saddr 10.64.0.0/16 accept\n"
      "  ip daddr 10.64.0.0/16 accept\n }\n}\n");
}

Result<void> load_ours(const Size& size, api::Protocol protocol) {
  auto kernel = nft::open_nft_kernel("margay");
  if (!kernel) {
    return fail(kernel.error());
  }
  felix::Renderer renderer({});
  for (unsigned i = 0; i < size.policies; ++i) {
    renderer.set_policy(std::make_shared<const policy::Policy>(make_policy(i, protocol)));
  }
  for (unsigned role = 0; role < kRoles; ++role) {
    std::vector<policy::Member> members;
    for (unsigned i = role; i < size.endpoints; i += kRoles) {
      members.push_back({Prefix::host(address(i))});
    }
    renderer.add_members(
        policy::selector_set(policy::Selector::equals("role", fmt::format("r{}", role))), members);
  }
  for (unsigned i = 0; i < size.endpoints; ++i) {
    renderer.set_endpoint({api::Kind::kWorkloadEndpoint, "ns", fmt::format("endpoint-{}", i)},
                          make_endpoint(i, size));
  }
  felix::NftReconciler reconciler(**kernel);
  reconciler.set_in_sync(true);
  reconciler.set_desired(renderer.take_delta());
  const auto report = reconciler.apply();
  return report.failures.empty() ? Result<void>() : fail(report.failures.front().error);
}

Result<void> load_calico(const Size& size) {
  return load_script(calico_script(size));
}

}  // namespace margay::bench
