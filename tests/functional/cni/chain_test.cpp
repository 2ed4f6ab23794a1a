// margay among other plugins: behind and before others in a list, with addresses of other IPAM
// plugins, as IPAM of other plugins, and with several interfaces of one container.

#include "tests/functional/cni/cni_world.h"
#include "tests/lab/wait.h"
#include "tests/support/cni_spec.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

namespace margay::lab {
namespace {

namespace json = boost::json;
using std::chrono::seconds;

json::object parsed(const std::string& text) {
  return json::parse(text).as_object();
}

// A server on this port in the container; ends with its namespace's last process.
void serve(CniWorld& world, const std::string& netns, unsigned port) {
  const auto server = world.node().spawn("serve-" + netns.substr(netns.rfind('/') + 1),
                                         {"nsenter",
                                          "--net=" + netns,
                                          "margay-probe",
                                          "serve",
                                          "--bind",
                                          "[::]",
                                          "--tcp",
                                          std::to_string(port)});
  REQUIRE(server);
}

bool reaches(CniWorld& world, const std::string& from, const std::string& target) {
  return wait_until(
      [&] {
        const std::string line = "margay-probe connect " + target + " --timeout=400ms";
        return (from.empty() ? world.node().shell(line) : world.in(from, line)).ok();
      },
      seconds(10));
}

CniAttachment renamed(CniAttachment attachment, const std::string& ifname) {
  attachment.ifname = ifname;
  return attachment;
}

std::string at_port(const std::string& address, unsigned port) {
  const bool six = address.find(':') != std::string::npos;
  return (six ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

}  // namespace

TEST_SUITE_BEGIN("functional.cni.chain");

TEST_CASE("behind loopback margay keeps what that one answered, and counts on from there") {
  CniWorld world("ft-cni-behind");
  CniList list(world.node(),
               list_of("1.0.0", {{{"type", "loopback"}}, margay_plugin(), {{"type", "tuning"}}}));
  const CniAttachment one{.container_id = "c1", .netns = world.make_container()};
  const CniOutcome added = list.add(one);
  REQUIRE_MESSAGE(added.ok(), added.text());
  const json::array interfaces = added.result.at("interfaces").as_array();
  REQUIRE(interfaces.size() == 3);
  CHECK(json::serialize(interfaces[0].at("name")) == "\"lo\"");
  CHECK(json::serialize(interfaces[2].at("name")) == "\"eth0\"");
  CHECK(joined(wrong_in(world, added, "1.0.0")) == "");
  const CniOutcome checked = list.check(one);
  CHECK_MESSAGE(checked.ok(), checked.text());
  CHECK(list.del(one).ok());
  CHECK(world.left() == "");
}

TEST_CASE("tuning and portmap behind margay find what they need, and their port answers") {
  CniWorld world("ft-cni-chain");
  for (const std::string version : {"0.4.0", "1.0.0"}) {
    CAPTURE(version);
    // Its CHECK of IPv6 ports asks iptables: IPv4 alone.
    const json::object ours =
        margay_plugin({{"capabilities", {{"ips", true}}}, {"ipam", {{"type", "margay-ipam"}}}});
    CniList list(
        world.node(),
        list_of(
            version,
            {ours,
             {{"type", "tuning"}, {"mtu", 1400}},
             {{"type", "portmap"}, {"capabilities", {{"portMappings", true}}}, {"snat", true}}}));
    const CniAttachment one{
        .container_id = "c1",
        .netns = world.make_container(),
        .capabilities = parsed(
            R"({"portMappings": [{"hostPort": 18090, "containerPort": 80, "protocol": "tcp"}]})")};
    const CniOutcome added = list.add(one);
    REQUIRE_MESSAGE(added.ok(), added.text());
    CHECK(joined(wrong_in(world, added, version)) == "");
    CHECK(world.in(one.netns, "ip link show eth0").out.find("mtu 1400") != std::string::npos);
    serve(world, one.netns, 80);
    const std::string client = world.cluster().lab().node("client").netns_path().string();
    CHECK(reaches(world, client, "192.0.2.1:18090"));
    const CniOutcome checked = list.check(one);
    CHECK_MESSAGE(is_right(checked), checked.text());
    const CniOutcome gone = list.del(one);
    CHECK_MESSAGE(gone.ok(), gone.text());
    CHECK(list.del(one).ok());
    world.end_container(one.netns);
  }
}

TEST_CASE("addresses of host-local: given, checked, given back, and the container is routed") {
  CniWorld world("ft-cni-hostlocal");
  const json::object ipam = parsed(R"({"type": "host-local",
    "ranges": [[{"subnet": "10.65.0.0/24"}], [{"subnet": "fd65::/64"}]],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]})");
  const std::string held = "find /var/lib/cni -type f -name '*65*' | sort";
  for (const std::string version : {"0.3.1", "0.4.0", "1.0.0"}) {
    CAPTURE(version);
    CniList list(world.node(), list_of(version, {margay_plugin({{"ipam", ipam}})}));
    const CniAttachment one{.container_id = "c1", .netns = world.make_container()};
    const CniAttachment two{.container_id = "c2", .netns = world.make_container()};
    const CniOutcome added = list.add(one);
    REQUIRE_MESSAGE(added.ok(), added.text());
    CHECK(joined(wrong_in(world, added, version)) == "");
    REQUIRE(added.addresses().size() == 2);
    CHECK(added.addresses()[0].starts_with("10.65.0."));
    CHECK(added.addresses()[1].starts_with("fd65::"));
    // host-local would refuse the second one, and its error must not free what the first one has.
    const CniOutcome again = list.add(one);
    REQUIRE_MESSAGE(again.ok(), again.text());
    CHECK((again.result == added.result));
    const CniOutcome other = list.add(two);
    REQUIRE_MESSAGE(other.ok(), other.text());
    CHECK(other.addresses() != added.addresses());
    serve(world, two.netns, 80);
    for (const std::string& address : other.addresses()) {
      CHECK_MESSAGE(reaches(world, one.netns, at_port(address, 80)), address);
    }
    if (version != "0.3.1") {
      CniOutcome checked = list.check(one);
      CHECK_MESSAGE(checked.ok(), checked.text());
      // Its files name the container, with a carriage return.
      REQUIRE(world.node().shell("grep -lx 'c1.' /var/lib/cni/networks/net/* | xargs rm").ok());
      checked = list.check(one);
      CHECK_FALSE(checked.ok());
    }
    for (const CniAttachment* each : {&one, &two}) {
      CHECK(list.del(*each).ok());
      CHECK(list.del(*each).ok());
      world.end_container(each->netns);
    }
    CHECK(world.node().shell(held).out == "");
    CHECK(world.left() == "");
  }
}

TEST_CASE("an ADD that fails behind host-local gives its address back") {
  CniWorld world("ft-cni-undone");
  const json::object ipam =
      parsed(R"({"type": "host-local", "ranges": [[{"subnet": "10.65.0.0/30"}]]})");
  CniList list(world.node(), list_of("1.0.0", {margay_plugin({{"ipam", ipam}})}));
  const CniAttachment one{.container_id = "c1", .netns = world.make_container()};
  REQUIRE(world.in(one.netns, "ip link add eth0 type veth peer name other").ok());
  // One address is all there is: a second try works only when the first gave it back.
  for (int i = 0; i < 3; ++i) {
    const CniOutcome added = list.add(one);
    CHECK_FALSE(added.ok());
    CHECK_MESSAGE(added.text().find("eth0") != std::string::npos, added.text());
  }
  REQUIRE(world.in(one.netns, "ip link del eth0").ok());
  CniOutcome added = list.add(one);
  REQUIRE_MESSAGE(added.ok(), added.text());
  // The delegate's own words: its range is full.
  const CniAttachment two{.container_id = "c2", .netns = world.make_container()};
  added = list.add(two);
  CHECK_FALSE(added.ok());
  CHECK_MESSAGE(added.out().find("no IP addresses available") != std::string::npos, added.text());
  CHECK(list.del(two).ok());
  CHECK(list.del(one).ok());
  CHECK(world.left() == "");
}

TEST_CASE("addresses of static, with its DNS") {
  CniWorld world("ft-cni-static");
  const json::object ipam = parsed(R"({"type": "static",
    "addresses": [{"address": "10.66.0.5/24"}, {"address": "fd66::5/64"}],
    "dns": {"nameservers": ["192.0.2.53"], "domain": "example.net", "search": ["example.net"]}})");
  CniList list(world.node(), list_of("1.0.0", {margay_plugin({{"ipam", ipam}})}));
  const CniAttachment one{.container_id = "c1", .netns = world.make_container()};
  const CniOutcome added = list.add(one);
  REQUIRE_MESSAGE(added.ok(), added.text());
  CHECK(joined(wrong_in(world, added, "1.0.0")) == "");
  CHECK(added.addresses() == std::vector<std::string>{"10.66.0.5", "fd66::5"});
  CHECK(json::serialize(added.result.at("dns")) ==
        R"({"nameservers":["192.0.2.53"],"domain":"example.net","search":["example.net"]})");
  serve(world, one.netns, 80);
  CHECK(reaches(world, "", "10.66.0.5:80"));
  CHECK(reaches(world, "", "[fd66::5]:80"));
  CHECK(list.check(one).ok());
  // GC knows the endpoint as one of this network although no handle of ours says so.
  const CniRun collected = list.run(
      "margay",
      "GC",
      {{"cniVersion", "1.1.0"}, {"name", "net"}, {"cni.dev/valid-attachments", json::array()}},
      {});
  CHECK_MESSAGE(collected.done.ok(), collected.done.out);
  CHECK_FALSE(list.check(one).ok());
  CHECK(list.del(one).ok());
  CHECK(world.left() == "");
}

TEST_CASE(
    "margay-ipam under ptp gives each interface its own address, and GC finds the lost ones") {
  CniWorld world("ft-cni-ptp");
  const json::object plugin = parsed(R"({"type": "ptp", "ipMasq": false,
    "ipam": {"type": "margay-ipam", "assign_ipv4": true, "gateways": ["10.244.255.254"]}})");
  CniList list(world.node(), list_of("1.0.0", {plugin}));
  const CniAttachment one{.container_id = "c1", .netns = world.make_container()};
  const CniAttachment second{
      .container_id = "c1", .netns = world.make_container(), .ifname = "eth1"};
  const CniOutcome added = list.add(one);
  REQUIRE_MESSAGE(added.ok(), added.text());
  const CniOutcome other = list.add(second);
  REQUIRE_MESSAGE(other.ok(), other.text());
  CHECK(added.addresses() != other.addresses());
  const CniOutcome checked = list.check(one);
  CHECK_MESSAGE(checked.ok(), checked.text());

  // The answer of the IPAM plugin alone.
  json::object alone = plugin;
  alone["cniVersion"] = "1.1.0";
  alone["name"] = "net";
  const CniAttachment third{.container_id = "c3", .netns = one.netns};
  const CniRun given = list.run("margay-ipam", "ADD", alone, third);
  REQUIRE_MESSAGE(given.done.ok(), given.done.out);
  CHECK(joined(test::wrong_in_result(
            given.done.out,
            {.version = "1.1.0", .ifname = "eth0", .netns = one.netns, .from_ipam = true})) == "");
  CHECK(list.run("margay-ipam", "GC", alone, {}).done.ok());
  json::object listed = alone;
  listed["cni.dev/valid-attachments"] =
      json::array{json::object{{"containerID", "c1"}, {"ifname", "eth0"}},
                  json::object{{"containerID", "c1"}, {"ifname", "eth1"}}};
  const std::string held = traces_of(world.node()).at("addresses");
  CHECK(list.run("margay-ipam", "GC", listed, {}).done.ok());
  const std::string after = traces_of(world.node()).at("addresses");
  CHECK(std::ranges::count(held, '\n') == std::ranges::count(after, '\n') + 1);
  CHECK(list.check(one).ok());
  for (const CniAttachment* each : {&one, &second}) {
    CHECK(list.del(*each).ok());
    world.end_container(each->netns);
  }
  CHECK(world.left() == "");
}

TEST_CASE("several interfaces of one container: each answers at its address, and goes alone") {
  CniWorld world("ft-cni-several");
  CniList list(world.node(), list_of("1.1.0", {margay_plugin()}));
  const CniAttachment one{.container_id = "c1", .netns = world.make_container()};
  const CniAttachment second = renamed(one, "net1");
  const CniAttachment third = renamed(one, "net2");
  std::map<std::string, CniOutcome> added;
  for (const CniAttachment* each : {&one, &second, &third}) {
    added[each->ifname] = list.add(*each);
    REQUIRE_MESSAGE(added[each->ifname].ok(), added[each->ifname].text());
  }
  serve(world, one.netns, 80);
  for (const CniAttachment* each : {&one, &second, &third}) {
    CAPTURE(each->ifname);
    CHECK(joined(wrong_in(world, added[each->ifname], "1.1.0")) == "");
    for (const std::string& address : added[each->ifname].addresses()) {
      CHECK_MESSAGE(reaches(world, "", at_port(address, 80)), address);
    }
    const CniOutcome checked = list.check(*each);
    CHECK_MESSAGE(checked.ok(), checked.text());
    const CniOutcome again = list.add(*each);
    CHECK_MESSAGE((again.result == added[each->ifname].result), again.text());
  }
  // What the container starts itself leaves by the first one.
  CHECK(world.in(one.netns, "ip route get 192.0.2.1").out.find("dev eth0") != std::string::npos);
  CHECK(list.del(second).ok());
  for (const CniAttachment* each : {&one, &third}) {
    for (const std::string& address : added[each->ifname].addresses()) {
      CHECK_MESSAGE(reaches(world, "", at_port(address, 80)), address);
    }
  }
  // The same name again, with other addresses: rules of the earlier one are gone.
  const CniOutcome again = list.add(second);
  REQUIRE_MESSAGE(again.ok(), again.text());
  CHECK(joined(wrong_in(world, again, "1.1.0")) == "");
  for (const std::string& address : again.addresses()) {
    CHECK_MESSAGE(reaches(world, "", at_port(address, 80)), address);
  }
  CHECK(world.in(one.netns, "ip rule | grep -c 'from 10.244'").out == "2\n");
  for (const CniAttachment* each : {&one, &second, &third}) {
    CHECK(list.del(*each).ok());
  }
  world.end_container(one.netns);
  CHECK(world.left() == "");
}

TEST_CASE("MTU, MAC, addresses and names of the configuration are in container, result and store") {
  CniWorld world("ft-cni-asked");
  CniList list(world.node(), list_of("1.1.0", {margay_plugin({{"mtu", 1300}})}));
  const CniAttachment one{.container_id = "c1",
                          .netns = world.make_container(),
                          .args = "K8S_POD_NAMESPACE=prod;K8S_POD_NAME=web-1;K8S_POD_UID=u1",
                          .capabilities = parsed(R"({"mac": "02:00:00:00:00:42",
        "ips": ["10.244.99.9/16", "fd00:10:244::99"]})")};
  const CniOutcome added = list.add(one);
  REQUIRE_MESSAGE(added.ok(), added.text());
  CHECK(joined(wrong_in(world, added, "1.1.0")) == "");
  CHECK(added.addresses() == std::vector<std::string>{"10.244.99.9", "fd00:10:244::99"});
  const std::string link = world.in(one.netns, "ip link show eth0").out;
  CHECK(link.find("mtu 1300") != std::string::npos);
  CHECK(link.find("02:00:00:00:00:42") != std::string::npos);
  const ExecResult stored = world.cluster().ctl({"get", "wep", "-n", "prod", "-o", "json"});
  for (const char* part : {"web-1", "10.244.99.9/32", "fd00:10:244::99/128", "02:00:00:00:00:42"}) {
    CHECK_MESSAGE(stored.out.find(part) != std::string::npos, part, stored.out);
  }
  // The same addresses for somebody else: refused, and the owner keeps them.
  CniAttachment thief = one;
  thief.container_id = "c2";
  thief.netns = world.make_container();
  thief.args = "";
  const CniOutcome refused = list.add(thief);
  CHECK_FALSE(refused.ok());
  CHECK(joined(test::wrong_in_error(refused.out(), "1.1.0")) == "");
  CHECK(list.check(one).ok());
  CHECK(list.del(thief).ok());
  CHECK(list.check(one).ok());
  CHECK(list.del(one).ok());
  CHECK(world.left() == "");
}

TEST_SUITE_END();

}  // namespace margay::lab
