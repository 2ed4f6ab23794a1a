// The rows that every CNI plugin has to pass, in a node with a real agent: all verbs and versions,
// repeated, parallel, cut off and mistaken calls. What is printed is judged by the specification
// (tests/support/cni_spec.h), what is made by the kernel, what is left by nobody of ours.

#include "tests/functional/cni/cni_world.h"
#include "tests/lab/wait.h"
#include "tests/support/cni_spec.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <future>
#include <set>

namespace margay::lab {
namespace {

namespace json = boost::json;

constexpr std::array<const char*, 4> kAllVersions{"0.3.1", "0.4.0", "1.0.0", "1.1.0"};

json::object parsed(const std::string& text) {
  return json::parse(text).as_object();
}

// Of one call that failed: code, and what the specification has against its form.
void check_error(const CniRun& run, std::int64_t code, const std::string& version) {
  CAPTURE(run.done.out);
  CHECK(run.done.rc != 0);
  CHECK(joined(test::wrong_in_error(run.done.out, version)) == "");
  boost::system::error_code errc;
  const json::value error = json::parse(run.done.out, errc);
  REQUIRE((!errc && error.is_object()));
  CHECK(error.as_object().at("code").to_number<std::int64_t>() == code);
}

}  // namespace

TEST_SUITE_BEGIN("functional.cni.matrix");

TEST_CASE("every verb in every version answers in the form and with the facts that it must") {
  CniWorld world("ft-cni-verbs");
  for (const std::string version : kAllVersions) {
    CAPTURE(version);
    CniList list(world.node(), list_of(version, {margay_plugin()}));
    const CniAttachment one{.container_id = "c1", .netns = world.make_container()};
    const CniOutcome added = list.add(one);
    REQUIRE_MESSAGE(added.ok(), added.text());
    CHECK(joined(wrong_in(world, added, version)) == "");
    CHECK(added.addresses().size() == 2);

    const CniOutcome again = list.add(one);
    REQUIRE_MESSAGE(again.ok(), again.text());
    CHECK((again.result == added.result));

    const CniOutcome checked = list.check(one);
    if (version == "0.3.1") {
      check_error(checked.runs.back(), 1, version);
    } else {
      CHECK_MESSAGE(checked.ok(), checked.text());
      CHECK(checked.out() == "");
      REQUIRE(world.in(one.netns, "ip route del default").ok());
      check_error(list.check(one).runs.back(), 100, version);
    }
    const CniRun asked = list.run("margay", "VERSION", {{"cniVersion", version}}, {});
    CHECK(asked.done.ok());
    CHECK(joined(test::wrong_in_versions(asked.done.out, version)) == "");
    if (version == "1.1.0") {
      const CniOutcome status = list.status();
      CHECK_MESSAGE(status.ok(), status.text());
      CHECK(status.out() == "");
    }
    const CniOutcome gone = list.del(one);
    CHECK_MESSAGE(gone.ok(), gone.text());
    CHECK(gone.out() == "");
    world.end_container(one.netns);
    CHECK(world.left() == "");
  }
}

TEST_CASE("DEL succeeds twice, five times, at the same time, without namespace and result") {
  CniWorld world("ft-cni-del");
  CniList list(world.node(), list_of("1.0.0", {margay_plugin()}));
  CniAttachment one{.container_id = "c1", .netns = world.make_container()};
  const auto add = [&] {
    const CniOutcome added = list.add(one);
    REQUIRE_MESSAGE(added.ok(), added.text());
  };
  add();
  for (int i = 0; i < 5; ++i) {
    const CniOutcome gone = list.del(one);
    CHECK_MESSAGE(gone.ok(), gone.text());
  }
  CHECK(world.left() == "");

  add();
  const json::object input = list.input(0, one, nullptr);
  std::vector<std::future<CniRun>> running;
  for (int i = 0; i < 8; ++i) {
    CniAttachment call = one;
    call.netns = i % 2 == 0 ? one.netns : "";
    running.push_back(std::async(std::launch::async, [&list, &input, call] {
      return list.run("margay", "DEL", input, call);
    }));
  }
  for (auto& each : running) {
    const CniRun done = each.get();
    CHECK_MESSAGE(done.done.ok(), done.done.out, done.done.err);
  }
  CHECK(world.left() == "");

  // The namespace is gone, then its name too; nobody has the result of the ADD.
  add();
  world.end_container(one.netns);
  CniOutcome gone = list.del(one, false);
  CHECK_MESSAGE(gone.ok(), gone.text());
  one.netns = "";
  gone = list.del(one, false);
  CHECK_MESSAGE(gone.ok(), gone.text());
  CHECK(world.left() == "");

  const CniAttachment unknown{.container_id = "nobody"};
  CHECK(list.del(unknown).ok());
}

TEST_CASE("an interface that is there already makes ADD fail, and stays what it was") {
  CniWorld world("ft-cni-taken");
  CniList list(world.node(), list_of("1.0.0", {margay_plugin()}));
  const CniAttachment one{.container_id = "c1", .netns = world.make_container()};
  REQUIRE(world.in(one.netns, "ip link add eth0 type veth peer name other").ok());
  const std::string was = world.in(one.netns, "ip link show eth0").out;
  const CniOutcome added = list.add(one);
  check_error(added.runs.back(), 100, "1.0.0");
  CHECK(list.del(one).ok());
  CHECK(world.in(one.netns, "ip link show eth0").out == was);
  CHECK(world.left() == "");
}

TEST_CASE("an ADD whose plugin is killed at any moment is undone by the DEL that follows") {
  CniWorld world("ft-cni-killed");
  CniList list(world.node(), list_of("1.0.0", {margay_plugin()}));
  unsigned cut_off = 0;
  for (int delay_us = 0; delay_us <= 6000; delay_us += 300) {
    const CniAttachment one{.container_id = "k" + std::to_string(delay_us),
                            .netns = world.make_container()};
    ExecOptions options;
    options.input = json::serialize(list.input(0, one, nullptr));
    options.env = {{"CNI_COMMAND", "ADD"},
                   {"CNI_CONTAINERID", one.container_id},
                   {"CNI_NETNS", one.netns},
                   {"CNI_IFNAME", "eth0"},
                   {"CNI_PATH", MARGAY_BINARY_DIR "/bin"}};
    // timeout(1) sends SIGKILL after this part of a second, unless the plugin was faster.
    const std::string seconds = fmt::format("{:.6f}", std::max(delay_us, 1) / 1e6);
    const ExecResult done =
        world.node().exec({"timeout", "-s", "KILL", seconds, "margay"}, options);
    cut_off += done.ok() ? 0U : 1U;
    const CniOutcome gone = list.del(one);
    CHECK_MESSAGE(gone.ok(), gone.text());
    world.end_container(one.netns);
  }
  CHECK(cut_off > 0);
  CHECK(world.left() == "");
}

TEST_CASE("fifty containers at once get their own addresses, and go at once") {
  CniWorld world("ft-cni-fifty");
  constexpr unsigned kCount = 50;
  const CniList list(world.node(), list_of("1.0.0", {margay_plugin({{"timeout_s", 30}})}));
  std::vector<CniAttachment> all;
  for (unsigned i = 0; i < kCount; ++i) {
    all.push_back({.container_id = "box" + std::to_string(i), .netns = world.make_container()});
  }
  const auto at_once = [&](const std::string& verb) {
    std::vector<std::future<CniRun>> running;
    for (const CniAttachment& each : all) {
      running.push_back(std::async(std::launch::async, [&list, &verb, each] {
        return list.run("margay", verb, list.input(0, each, nullptr), each);
      }));
    }
    std::vector<CniRun> done;
    for (auto& each : running) {
      done.push_back(each.get());
    }
    return done;
  };
  std::set<std::string> addresses;
  for (CniRun& run : at_once("ADD")) {
    REQUIRE_MESSAGE(run.done.ok(), run.done.out, run.done.err);
    CniOutcome added;
    added.result = json::parse(run.done.out);
    for (const std::string& address : added.addresses()) {
      addresses.insert(address);
    }
  }
  CHECK(addresses.size() == 2 * kCount);
  for (const CniRun& run : at_once("DEL")) {
    CHECK_MESSAGE(run.done.ok(), run.done.out, run.done.err);
  }
  CHECK(world.left() == "");
}

TEST_CASE(
    "GC removes nothing without a list, what the list does not name, and all with an empty one") {
  CniWorld world("ft-cni-gc");
  CniList list(world.node(), list_of("1.1.0", {margay_plugin()}));
  CniList other(world.node(), list_of("1.1.0", {margay_plugin()}, "other"));
  const CniAttachment one{.container_id = "c1", .netns = world.make_container()};
  const CniAttachment two{.container_id = "c2", .netns = world.make_container()};
  const CniAttachment second{.container_id = "c1", .netns = one.netns, .ifname = "eth1"};
  CniAttachment foreign = one;
  foreign.container_id = "c9";
  foreign.ifname = "net0";
  const auto count = [&world] { return world.node().shell("ip -o link | grep -c mgy").out; };
  const std::string none = count();
  for (const CniAttachment* each : {&one, &two, &second}) {
    const CniOutcome added = list.add(*each);
    REQUIRE_MESSAGE(added.ok(), added.text());
  }
  REQUIRE(other.add(foreign).ok());
  const std::string all = count();

  CniOutcome collected = list.gc(std::nullopt);
  CHECK_MESSAGE(collected.ok(), collected.text());
  CHECK(count() == all);
  CHECK(list.check(one).ok());

  // Of c1 one interface is known, of c2 nothing; the other network is not ours to clean.
  const std::vector<std::pair<std::string, std::string>> known{{"c1", "eth1"}};
  collected = list.gc(known);
  CHECK_MESSAGE(collected.ok(), collected.text());
  CHECK(collected.out() == "");
  CHECK_FALSE(list.check(one).ok());
  CHECK_FALSE(list.check(two).ok());
  CHECK(list.check(second).ok());
  CHECK(other.check(foreign).ok());

  const std::vector<std::pair<std::string, std::string>> nobody;
  CHECK(list.gc(nobody).ok());
  CHECK(other.check(foreign).ok());
  CHECK(other.gc(nobody).ok());
  CHECK(wait_until([&] { return count() == none; }, std::chrono::seconds(10)));
  CHECK(world.left() == "");
}

TEST_CASE("keys that nobody knows are ignored, and those of runtimes may be capital") {
  CniWorld world("ft-cni-keys");
  CniList list(
      world.node(),
      list_of("1.0.0",
              {margay_plugin({{"somethingNew", json::array{1, 2}},
                              {"args", {{"cni", {{"ips", json::array{"192.0.2.99"}}}}}}})}));
  const CniAttachment one{
      .container_id = "c1",
      .netns = world.make_container(),
      .args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=prod;K8S_POD_NAME=web;UNKNOWN=x",
      .capabilities = parsed(R"({"aliases": {"net": ["web"]}, "ips": ["10.244.50.7"],
        "mac": "02:00:00:00:00:07"})")};
  json::object input = list.input(0, one, nullptr);
  // As containerd writes them.
  input["runtimeConfig"] = parsed(R"({"Ips": ["10.244.50.7"], "MAC": "02:00:00:00:00:07",
    "PortMappings": [{"HostPort": 18081, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}],
    "Dns": {"Servers": ["192.0.2.53"], "Searches": ["example.net"], "Options": null},
    "io.kubernetes.cri.pod-annotations": {"a": "b"}})");
  const CniRun run = list.run("margay", "ADD", input, one);
  REQUIRE_MESSAGE(run.done.ok(), run.done.out, run.done.err);
  const json::object result = parsed(run.done.out);
  CHECK(json::serialize(result.at("ips").at(0).at("address")) == "\"10.244.50.7/32\"");
  CHECK(json::serialize(result.at("interfaces").at(1).at("mac")) == "\"02:00:00:00:00:07\"");
  CHECK(json::serialize(result.at("dns")) ==
        R"({"nameservers":["192.0.2.53"],"search":["example.net"]})");
  CHECK(world.in(one.netns, "cat /sys/class/net/eth0/address || ip link show eth0")
            .out.find("02:00:00:00:00:07") != std::string::npos);
  CHECK(world.node().shell("nft list ruleset | grep -q 18081").ok());
  CHECK(list.run("margay", "DEL", input, one).done.ok());
  CHECK(world.left() == "");
}

TEST_CASE("what is wrong is said with the code of the specification") {
  CniWorld world("ft-cni-errors");
  const CniList list(world.node(), list_of("1.0.0", {margay_plugin()}));
  const CniAttachment good{.container_id = "c1", .netns = world.make_container()};
  const json::object config = list.input(0, good, nullptr);
  const auto with = [&config](const char* key, const json::value& value) {
    json::object changed = config;
    changed[key] = value;
    return changed;
  };
  const auto call = [&good](const std::string& id,
                            const std::string& netns,
                            const std::string& ifname,
                            const std::string& args = {}) {
    CniAttachment changed = good;
    changed.container_id = id;
    changed.netns = netns;
    changed.ifname = ifname;
    changed.args = args;
    return changed;
  };
  struct Row {
    const char* why;
    const char* verb;
    json::object config;
    CniAttachment attachment;
    std::int64_t code;
    const char* version;  // that the error is in
  };
  const std::vector<Row> rows{
      {"version of the future", "ADD", with("cniVersion", "9.0.0"), good, 1, ""},
      {"version that is none", "ADD", with("cniVersion", "abc"), good, 1, ""},
      {"a number as a version", "ADD", with("cniVersion", 1), good, 7, ""},
      {"no name of the network", "ADD", with("name", ""), good, 7, "1.0.0"},
      {"a name with a slash", "ADD", with("name", "a/b"), good, 7, "1.0.0"},
      {"no container id", "ADD", config, call("", good.netns, "eth0"), 4, "1.0.0"},
      {"an id with a slash", "ADD", config, call("a/b", good.netns, "eth0"), 4, "1.0.0"},
      {"no interface name", "DEL", config, call("c1", good.netns, ""), 4, "1.0.0"},
      {"a name that is too long",
       "ADD",
       config,
       call("c1", good.netns, "interface-too-long"),
       4,
       "1.0.0"},
      {"a name that is a folder", "ADD", config, call("c1", good.netns, ".."), 4, "1.0.0"},
      {"no namespace", "ADD", config, call("c1", "", "eth0"), 4, "1.0.0"},
      {"a namespace that is gone",
       "ADD",
       config,
       call("c1", "/run/netns/gone", "eth0"),
       4,
       "1.0.0"},
      {"arguments that are none", "ADD", config, call("c1", good.netns, "eth0", "K8S"), 4, "1.0.0"},
      {"an address that is none",
       "ADD",
       config,
       call("c1", good.netns, "eth0", "IP=x"),
       7,
       "1.0.0"},
      {"a verb of tomorrow", "FLY", config, good, 4, "1.0.0"},
      {"CHECK without a result", "CHECK", config, good, 7, "1.0.0"},
      {"CHECK of a stranger",
       "CHECK",
       with("prevResult", parsed(R"({"cniVersion":"1.0.0","ips":[{"address":"10.9.9.9/32"}]})")),
       good,
       3,
       "1.0.0"},
      {"an MTU that is none", "ADD", with("mtu", -5), good, 7, "1.0.0"},
      {"an IPAM that is not there",
       "ADD",
       with("ipam", {{"type", "no-such-ipam"}}),
       good,
       7,
       "1.0.0"},
      {"an IPAM outside the path", "ADD", with("ipam", {{"type", "../margay"}}), good, 7, "1.0.0"},
      {"a pool that is not there",
       "ADD",
       with("ipam", {{"ipv4_pools", {"red"}}}),
       good,
       100,
       "1.0.0"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.why);
    check_error(list.run("margay", row.verb, row.config, row.attachment), row.code, row.version);
  }
  const CniRun about = list.run("margay", "", config, {});
  CHECK(about.done.rc == 0);
  CHECK(about.done.err.find("0.3.1, 0.4.0, 1.0.0, 1.1.0") != std::string::npos);
  CHECK(world.left() == "");
}

TEST_CASE("without an agent every verb says so at once, and DEL works when it is back") {
  CniWorld world("ft-cni-away");
  CniList list(world.node(), list_of("1.1.0", {margay_plugin()}));
  const CniAttachment one{.container_id = "c1", .netns = world.make_container()};
  REQUIRE(list.add(one).ok());
  Node& node = world.cluster().lab().node("node1");
  REQUIRE(node.kill());
  const CniAttachment two{.container_id = "c2", .netns = world.make_container()};
  check_error(list.add(two).runs.back(), 11, "1.1.0");
  check_error(list.check(one).runs.back(), 11, "1.1.0");
  check_error(list.del(one).runs.back(), 11, "1.1.0");
  check_error(list.status().runs.back(), 50, "1.1.0");
  const std::vector<std::pair<std::string, std::string>> nobody;
  check_error(list.gc(nobody).runs.back(), 11, "1.1.0");
  REQUIRE(node.start());
  REQUIRE(world.cluster().wait_ready("node1"));
  CHECK(list.status().ok());
  CHECK(list.check(one).ok());
  CHECK(list.del(one).ok());
  CHECK(list.del(two).ok());
  CHECK(world.left() == "");
}

TEST_SUITE_END();

}  // namespace margay::lab
