// Addresses of another IPAM plugin when something breaks in the middle: an agent that is killed, an
// answer that nobody takes. Neither an address nor a device stays behind.

#include "tests/functional/cni/cni_world.h"
#include "tests/lab/wait.h"
#include "tests/support/cni_spec.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include <cstdio>
#include <future>
#include <string>

namespace margay::lab {
namespace {

namespace json = boost::json;
using std::chrono::seconds;

json::object parsed(const std::string& text) {
  return json::parse(text).as_object();
}

// One address is all there is.
json::object one_address() {
  return parsed(R"({"type": "host-local", "ranges": [[{"subnet": "10.65.0.0/30"}]]})");
}

// An ADD meets the fault and its runtime waits until the next agent answers it.
CniOutcome add_through_kill(CniWorld& world,
                            CniList& list,
                            const CniAttachment& one,
                            const char* step) {
  Node& node = world.cluster().lab().node("node1");
  const auto restart = [&](const std::string& faults) {
    REQUIRE(node.kill());
    REQUIRE(node.start({{"MARGAY_FAULT_INJECTION", faults}}));
  };
  restart(std::string("step:") + step + ":kill");
  REQUIRE(world.cluster().wait_ready("node1"));
  auto adding = std::async(std::launch::async, [&] { return list.add(one); });
  REQUIRE(wait_until([&] { return !node.running(); }, seconds(15)));
  restart("");
  return adding.get();
}

}  // namespace

TEST_SUITE_BEGIN("functional.cni.other_ipam");

TEST_CASE("an agent killed in the middle of an ADD behind host-local: the next one answers it") {
  CniWorld world("ft-cni-killed");
  // What the container sends is limited, so there is a device more.
  json::object limits = parsed(R"({"egressRate": 20000000})");
  const std::string probe = "ip link add probe type ifb && ip link del probe";
  if (!world.node().shell(probe).ok()) {
    std::printf("skipped: limits of killed ADDs: this kernel lacks ifb devices\n");
    limits.clear();
  }
  CniList list(
      world.node(),
      list_of(
          "1.0.0",
          {margay_plugin({{"ipam", one_address()}, {"bandwidth", limits}, {"timeout_s", 30}})}));
  for (const char* step : {"add-begun",
                           "add-noted",
                           "assign-planned",
                           "assign-committed",
                           "link-made",
                           "host-end-set",
                           "add-enforced",
                           "add-forgotten"}) {
    CAPTURE(step);
    const CniAttachment one{.container_id = "c1", .netns = world.make_container()};
    const CniOutcome added = add_through_kill(world, list, one, step);
    REQUIRE_MESSAGE(added.ok(), added.text());
    CHECK(joined(wrong_in(world, added, "1.0.0")) == "");
    const CniOutcome checked = list.check(one);
    CHECK_MESSAGE(checked.ok(), checked.text());
    CHECK(list.del(one).ok());
    world.end_container(one.netns);
    CHECK(world.left() == "");
  }
}

TEST_CASE("an answer behind host-local that cannot be printed gives endpoint and address back") {
  CniWorld world("ft-cni-unprinted");
  const std::string netns = world.make_container();
  json::object plugin = margay_plugin({{"ipam", one_address()}});
  CniList list(world.node(), list_of("1.0.0", {plugin}));
  plugin["cniVersion"] = "1.0.0";
  plugin["name"] = "net";
  plugin["run_dir"] = "/run/margay";
  ExecOptions options;
  options.input = json::serialize(plugin);
  for (int i = 0; i < 3; ++i) {
    const ExecResult added =
        world.node().exec({"env",
                           "CNI_COMMAND=ADD",
                           "CNI_CONTAINERID=c1",
                           "CNI_IFNAME=eth0",
                           "CNI_NETNS=" + netns,
                           "CNI_PATH=" MARGAY_BINARY_DIR "/bin:/usr/lib/cni",
                           "sh",
                           "-c",
                           "exec " MARGAY_BINARY_DIR "/bin/margay > /dev/full"},
                          options);
    CHECK_FALSE(added.ok());
    CHECK_MESSAGE(added.err.find("write the answer") != std::string::npos, added.err);
    CHECK(world.left() == "");
  }
  const CniAttachment one{.container_id = "c1", .netns = netns};
  const CniOutcome added = list.add(one);
  CHECK_MESSAGE(added.ok(), added.text());
  CHECK(list.del(one).ok());
  CHECK(world.left() == "");
}

TEST_SUITE_END();

}  // namespace margay::lab
