#include "felix/connection_review.h"

#include "felix/render/renderer.h"

#include <doctest/doctest.h>

#include <memory>

namespace margay::felix {
namespace {

template <typename T>
T parsed(std::string_view text) {
  auto value = T::parse(text);
  REQUIRE(value);
  return *value;
}

Connection connection(const char* from, const char* to, std::uint16_t port) {
  Connection out;
  out.original = {.source = parsed<IpAddr>(from),
                  .destination = parsed<IpAddr>(to),
                  .protocol = 6,
                  .source_port = 40000,
                  .destination_port = port};
  out.reply = {.source = out.original.destination,
               .destination = out.original.source,
               .protocol = 6,
               .source_port = port,
               .destination_port = 40000};
  return out;
}

// A node with one pod that admits TCP 80 from one address.
struct OnePod {
  CalcGraph graph{parsed<NodeName>("node1")};
  Renderer renderer{LayoutOptions{}};
  ReviewScope scope;

  OnePod() {
    api::WorkloadEndpoint pod;
    pod.node = parsed<NodeName>("node1");
    pod.interface_name = parsed<IfName>("mgy1");
    pod.ip_networks = {parsed<Prefix>("10.0.0.1/32")};
    pod.profiles = {"kns.x"};
    api::GlobalNetworkPolicy policy;
    policy.selector = "all()";
    policy.types = {api::PolicyType::kIngress};
    api::Rule rule;
    rule.action = api::Action::kAllow;
    rule.protocol = api::kTcp;
    rule.source.nets = {parsed<Prefix>("198.51.100.7/32")};
    rule.destination.ports = {api::PortRange{80, 80}};
    policy.ingress = {rule};
    graph.on_object(
        std::make_shared<api::Resource>(api::Resource{{.name = "pod", .ns = "x"}, pod}));
    graph.on_object(std::make_shared<api::Resource>(api::Resource{{.name = "web"}, policy}));
    graph.on_in_sync();
    renderer.apply(graph.take_changes());
    scope.local = {{parsed<IpAddr>("10.0.0.1"), parsed<IfName>("mgy1")}};
    scope.host_addresses = {parsed<IpAddr>("192.0.2.1")};
    scope.all = true;
  }
};

}  // namespace

TEST_SUITE("felix.connection_review") {
  TEST_CASE("what the table refuses is found; hosts and strangers are left alone") {
    const OnePod node;
    const std::vector<Connection> connections{
        connection("198.51.100.7", "10.0.0.1", 80),     // allowed
        connection("198.51.100.7", "10.0.0.1", 81),     // another port
        connection("198.51.100.8", "10.0.0.1", 80),     // another source
        connection("192.0.2.1", "10.0.0.1", 81),        // the host's own probe
        connection("198.51.100.8", "203.0.113.9", 81),  // not of this node
        connection("10.0.0.1", "203.0.113.9", 443)};    // out: no egress policy
    CHECK(review(node.renderer.table(), node.scope, connections).refuse ==
          std::vector<Connection>{connections[1], connections[2]});
  }

  TEST_CASE("a translated connection is asked about where it really goes") {
    const OnePod node;
    Connection to_service = connection("198.51.100.7", "10.96.0.1", 8080);
    to_service.reply.source = parsed<IpAddr>("10.0.0.1");
    to_service.reply.source_port = 80;
    Connection to_other_port = to_service;
    to_other_port.reply.source_port = 81;
    CHECK(review(node.renderer.table(), node.scope, {{to_service, to_other_port}}).refuse ==
          std::vector<Connection>{to_other_port});
  }

  TEST_CASE("a refused connection is not refused again, and is let go when it is allowed") {
    const OnePod node;
    Connection refused = connection("198.51.100.8", "10.0.0.1", 80);
    refused.mark = Mark(kRefusedMark.value() | 2U);
    Connection allowed_again = connection("198.51.100.7", "10.0.0.1", 80);
    allowed_again.mark = kRefusedMark;
    const Review found = review(node.renderer.table(), node.scope, {{refused, allowed_again}});
    CHECK(found.refuse.empty());
    CHECK(found.allow == std::vector<Connection>{allowed_again});
  }

  TEST_CASE("without all, only connections of the named interfaces are asked about") {
    OnePod node;
    node.scope.all = false;
    const std::vector<Connection> bad{connection("198.51.100.8", "10.0.0.1", 80)};
    CHECK(review(node.renderer.table(), node.scope, bad).refuse.empty());
    node.scope.interfaces = {parsed<IfName>("mgy1")};
    CHECK(review(node.renderer.table(), node.scope, bad).refuse == bad);
  }
}

}  // namespace margay::felix
