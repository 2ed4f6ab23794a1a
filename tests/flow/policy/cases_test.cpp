// The table of cases that tests/functional/policy runs with real packets, asked of the evaluator:
// the same documents, the same expectations.

#include "tests/functional/policy/cases.h"

#include "api/resource.h"
#include "policy/validate.h"
#include "policy/world.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

namespace margay::lab {
namespace {

const std::vector<std::string> kNames{"xa", "xb", "xc", "ya", "yb", "yc", "za", "zb", "zc"};

struct Asked {
  std::string_view name;
  api::Protocol protocol;
  std::uint16_t port;
};
constexpr Asked kAsked[] = {{"tcp", api::kTcp, 80},
                            {"tcp", api::kTcp, 81},
                            {"tcp", api::kTcp, 82},
                            {"udp", api::kUdp, 80},
                            {"udp", api::kUdp, 81},
                            {"sctp", api::kSctp, 80},
                            {"sctp", api::kSctp, 81}};

std::map<std::string, std::string> addresses(Family family) {
  std::map<std::string, std::string> out;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    out[kNames[i]] =
        (family == Family::kIpv4 ? "10.244.0." : "fd00:10:244::") + std::to_string(i + 1);
  }
  return out;
}

api::Resource pod(const std::string& name) {
  api::WorkloadEndpoint spec;
  spec.orchestrator = "k8s";
  spec.node = *NodeName::parse("node1");
  spec.interface_name = *IfName::parse("mgy" + name);
  spec.pod = name;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    spec.ip_networks.push_back(*Prefix::parse(addresses(family)[name]));
  }
  const std::string ns = name.substr(0, 1);
  spec.profiles = {"kns." + ns};
  for (const Asked& asked : kAsked) {
    spec.ports.push_back({"serve-" + std::to_string(asked.port) + "-" + std::string(asked.name),
                          asked.protocol,
                          asked.port});
  }
  spec.ports.push_back({"web", api::kTcp, static_cast<std::uint16_t>(80 + (name[1] - 'a'))});
  return {{.name = name, .ns = ns, .labels = {{"pod", name.substr(1)}}}, spec};
}

using Objects = std::map<api::ResourceKey, api::Resource>;

Objects cluster() {
  Objects objects;
  for (const std::string& name : kNames) {
    const api::Resource resource = pod(name);
    objects.emplace(resource.key(), resource);
  }
  for (const std::string ns : {"x", "y", "z"}) {
    const api::Resource resource{{.name = ns, .labels = {{"ns", ns}}}, api::Namespace{}};
    objects.emplace(resource.key(), resource);
  }
  return objects;
}

void take(const Step& step, Family family, Objects& objects) {
  const std::string documents = in_family(step.policies, family, addresses(family));
  if (documents.empty()) {
    return;
  }
  for (const api::Document& document : api::decode_documents(documents)) {
    REQUIRE_MESSAGE(document.resource, (document.resource ? "" : document.resource.error().text));
    REQUIRE(policy::validate(*document.resource));
    if (step.remove) {
      objects.erase(document.resource->key());
    } else {
      objects.insert_or_assign(document.resource->key(), *document.resource);
    }
  }
}

unsigned compare(const Step& step, Family family, const Objects& objects) {
  policy::World world;
  for (const auto& [key, resource] : objects) {
    REQUIRE(policy::add(resource, world));
  }
  const policy::Evaluator evaluator(std::move(world));
  const auto at = addresses(family);
  unsigned compared = 0;
  for (const std::string& from : kNames) {
    for (const std::string& to : kNames) {
      for (const Asked& asked : kAsked) {
        CAPTURE(from);
        CAPTURE(to);
        CAPTURE(asked.name);
        CAPTURE(asked.port);
        const policy::Verdict verdict = evaluator.verdict({.source = *IpAddr::parse(at.at(from)),
                                                           .destination = *IpAddr::parse(at.at(to)),
                                                           .protocol = asked.protocol,
                                                           .source_port = 40000,
                                                           .destination_port = asked.port});
        const bool expected = from == to || step.allowed(Flow{from, to, asked.name, asked.port});
        CHECK(verdict.allowed == expected);
        ++compared;
      }
    }
  }
  return compared;
}

}  // namespace

TEST_SUITE("flow.policy.cases") {
  TEST_CASE("the evaluator says of every case what real packets are held to") {
    unsigned compared = 0;
    for (const PolicyCase& one : policy_cases()) {
      CAPTURE(one.name);
      for (const Family family : {Family::kIpv4, Family::kIpv6}) {
        Objects objects = cluster();
        for (const Step& step : one.steps) {
          take(step, family, objects);
          compared += compare(step, family, objects);
        }
      }
    }
    CHECK(compared > 60'000);
  }
}

}  // namespace margay::lab
