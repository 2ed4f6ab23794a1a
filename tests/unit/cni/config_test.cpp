#include "cni/config.h"

#include <doctest/doctest.h>

namespace margay::cni {
namespace {

std::string with(const std::string& fields) {
  return R"({"cniVersion":"1.0.0","name":"net")" + (fields.empty() ? "" : "," + fields) + "}";
}

TEST_SUITE_BEGIN("cni.config");

TEST_CASE("a whole configuration, with keys that nobody knows") {
  const auto config = parse_config(R"({
    "cniVersion": "1.1.0", "name": "margay", "type": "margay", "run_dir": "/run/x", "mtu": 1400,
    "timeout_s": 3, "labels": {"app": "web", "tier": "old"}, "capabilities": {"ips": true},
    "args": {"cni": {"labels": [{"key": "tier", "value": "front"}]}},
    "ipam": {"type": "margay-ipam", "assign_ipv4": false, "assign_ipv6": true,
             "ipv4_pools": [], "ipv6_pools": ["six"]},
    "runtimeConfig": {"IPS": ["fd00::5/64", "10.0.0.7", "10.0.0.7/32"], "mac": "02:00:00:00:00:01", "PortMappings": [
      {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
      {"HostPort": 53, "ContainerPort": 5353, "Protocol": "UDP", "HostIP": "192.0.2.1"}]},
    "somethingNew": {"a": [1, 2]}})");
  REQUIRE(config);
  NetworkConfig wanted;
  wanted.cni_version = "1.1.0";
  wanted.name = "margay";
  wanted.type = "margay";
  wanted.run_dir = "/run/x";
  wanted.mtu = 1400;
  wanted.timeout_s = 3;
  wanted.labels = {{"app", "web"}, {"tier", "front"}};
  wanted.ipam = {"margay-ipam", false, true, {}, {"six"}, {}};
  wanted.addresses = {*IpAddr::parse("fd00::5"), *IpAddr::parse("10.0.0.7")};
  wanted.mac = *MacAddr::parse("02:00:00:00:00:01");
  wanted.ports = {{"", api::kTcp, 80, 8080, std::nullopt},
                  {"", api::kUdp, 5353, 53, *IpAddr::parse("192.0.2.1")}};
  CHECK(*config == wanted);
}

TEST_CASE("bandwidth and DNS come from the configuration, and from the runtime before it") {
  const auto config = parse_config(with(R"("bandwidth":{"ingressRate":8000000,"ingressBurst":80000},
    "dns":{"nameservers":["192.0.2.1"],"domain":"example.net"},
    "runtimeConfig":{"bandwidth":{"IngressRate":16000000,"EgressRate":4000,"EgressBurst":4294967295},
                     "Dns":{"Servers":["192.0.2.53"],"Searches":null,"Options":["ndots:2"]}})"));
  REQUIRE(config);
  CHECK(config->bandwidth == Bandwidth{{2000000, 10000}, {500, 536870911}});
  CHECK(config->dns == Dns{{"192.0.2.53"}, "example.net", {}, {"ndots:2"}});
  CHECK_FALSE(parse_config(with(R"("bandwidth":{"ingressRate":-1})")));
  CHECK_FALSE(parse_config(with(R"("bandwidth":{"egressRate":7})")));
  CHECK_FALSE(parse_config(with(R"("bandwidth":{"egressRate":"fast"})")));
}

TEST_CASE("what does not parse is answered in its own version where there is one") {
  CHECK(asked_version(R"({"cniVersion":"0.4.0","name":"a/b"})") == "0.4.0");
  for (const char* text : {"", "[]", R"({"cniVersion":4})", R"({"cniVersion":"9.0.0"})", "{}"}) {
    CAPTURE(text);
    CHECK(asked_version(text) == "1.1.0");
  }
}

TEST_CASE("only a foreign type of IPAM is delegated") {
  CHECK_FALSE(parse_config(with(""))->ipam.delegated());
  CHECK_FALSE(parse_config(with(R"("ipam":{"type":"margay-ipam"})"))->ipam.delegated());
  CHECK(parse_config(with(R"("ipam":{"type":"host-local"})"))->ipam.delegated());
}

TEST_CASE("what is left out has its default") {
  const auto config = parse_config(with(""));
  REQUIRE(config);
  CHECK(config->run_dir == "/run/margay");
  CHECK(config->timeout_s == 10);
  CHECK(config->ipam.assign_ipv4);
  CHECK_FALSE(config->ipam.assign_ipv6);
  CHECK_FALSE(config->previous);
  CHECK_FALSE(config->attachments);
}

TEST_CASE("under another plugin the ipam section names the agent") {
  const auto config = parse_config(
      with(R"("type":"ptp","ipam":{"type":"margay-ipam","run_dir":"/run/n1","timeout_s":4})"));
  REQUIRE(config);
  CHECK(config->ipam.gateways.empty());
  CHECK(config->run_dir == "/run/n1");
  CHECK(config->timeout_s == 4);
}

TEST_CASE("previous result and attachments") {
  const auto config = parse_config(with(R"(
    "prevResult":{"interfaces":[{"name":"mgy1"},{"name":"eth0","sandbox":"/n"}],
                  "ips":[{"address":"10.0.0.7/32","interface":1}]},
    "cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"}])"));
  REQUIRE(config);
  REQUIRE(config->previous);
  CHECK(config->previous->interfaces.size() == 2);
  CHECK(config->previous->addresses == std::vector{*IpAddr::parse("10.0.0.7")});
  CHECK(config->attachments == std::vector{Attachment{"c1", "eth0"}});
  const auto old_name = parse_config(with(R"("cni.dev/attachments":[])"));
  REQUIRE(old_name);
  REQUIRE(old_name->attachments);
  CHECK(old_name->attachments->empty());
}

TEST_CASE("what is wrong is named with its code") {
  struct Row {
    std::string text;
    Code code;
    std::string message;  // part of it
    const char* why;
  };
  const std::vector<Row> rows{
      {"", Code::kDecode, "not valid json", "empty input"},
      {"{", Code::kDecode, "not valid json", "cut off"},
      {"[]", Code::kDecode, "not a json object", "no object"},
      {std::string(200, '['), Code::kDecode, "not valid json", "too deep"},
      {R"({"name":"net"})", Code::kIncompatibleVersion, "\"0.1.0\"", "absent means 0.1.0"},
      {R"({"cniVersion":"2.0.0","name":"net"})", Code::kIncompatibleVersion, "2.0.0", "future"},
      {R"({"cniVersion":1,"name":"net"})", Code::kBadConfig, "cniVersion", "wrong type"},
      {R"({"cniVersion":"1.0.0"})", Code::kBadConfig, "name", "no name"},
      {R"({"cniVersion":"1.0.0","name":"a/b"})", Code::kBadConfig, "a/b", "bad name"},
      {with(R"("mtu":-1)"), Code::kBadConfig, "mtu: expected a number", "negative"},
      {with(R"("mtu":70000)"), Code::kBadConfig, "mtu", "too large"},
      {with(R"("timeout_s":0)"), Code::kBadConfig, "timeout_s", "no time at all"},
      {with(R"("run_dir":"run")"), Code::kBadConfig, "run_dir", "relative"},
      {with(R"("labels":["a"])"), Code::kBadConfig, "labels: expected an object", "list"},
      {with(R"("labels":{"a":1})"), Code::kBadConfig, "labels.a: expected a string", "number"},
      {with(R"("args":{"cni":{"labels":[{"value":"x"}]}})"),
       Code::kBadConfig,
       "args.cni.labels.key",
       "label without key"},
      {with(R"("ipam":{"assign_ipv4":"yes"})"), Code::kBadConfig, "ipam.assign_ipv4", "no bool"},
      {with(R"("ipam":{"ipv4_pools":"x"})"), Code::kBadConfig, "ipam.ipv4_pools", "no list"},
      {with(R"("runtimeConfig":{"ips":["x"]})"), Code::kBadConfig, "not \"x\"", "no address"},
      {with(R"("runtimeConfig":[])"),
       Code::kBadConfig,
       "runtimeConfig: expected an object",
       "list"},
      {with(R"("runtimeConfig":{"mac":"02:00"})"), Code::kBadConfig, "not \"02:00\"", "no MAC"},
      {with(R"("runtimeConfig":{"portMappings":[{"hostPort":0,"containerPort":80}]})"),
       Code::kBadConfig,
       "hostport: expected a port from 1 to 65535",
       "no host port"},
      {with(R"("runtimeConfig":{"portMappings":[{"hostPort":80}]})"),
       Code::kBadConfig,
       "containerport",
       "no port of the container"},
      {with(
           R"("runtimeConfig":{"portMappings":[{"hostPort":80,"containerPort":80,"protocol":"icmp"}]})"),
       Code::kBadConfig,
       "not \"icmp\"",
       "a protocol without ports"},
      {with(
           R"("runtimeConfig":{"portMappings":[{"hostPort":80,"containerPort":80,"hostIP":"x"}]})"),
       Code::kBadConfig,
       "not \"x\"",
       "no address of the host"},
      {with(R"("runtimeConfig":{"portMappings":[80]})"),
       Code::kBadConfig,
       "portmappings: expected a list of objects",
       "numbers"},
      {with(R"("prevResult":{"ips":[{"address":"x"}]})"), Code::kBadConfig, "prevResult", "bad"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.why);
    const auto config = parse_config(row.text);
    REQUIRE_FALSE(config);
    CHECK(config.error().code == row.code);
    CHECK(config.error().msg.find(row.message) != std::string::npos);
  }
}

TEST_SUITE_END();

}  // namespace
}  // namespace margay::cni
