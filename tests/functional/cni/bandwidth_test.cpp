// Limits of bandwidth, measured by what really arrives, in both directions.

#include "tests/functional/cni/cni_world.h"
#include "tests/lab/wait.h"
#include "tests/support/cni_spec.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <thread>

namespace margay::lab {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr double kMegabit = 1e6 / 8;  // bytes

json::object parsed(const std::string& text) {
  return json::parse(text).as_object();
}

// Bytes that came in at eth0 of the container.
double received(CniWorld& world, const std::string& netns) {
  boost::system::error_code errc;
  const json::value links = json::parse(world.in(netns, "ip -j -s link show dev eth0").out, errc);
  return errc ? -1 : links.at(0).at("stats64").at("rx").at("bytes").to_number<double>();
}

// TCP as fast as it goes from one container to the other: bytes a second at the receiver, once the
// buckets are empty.
double throughput(CniWorld& world,
                  const std::string& from,
                  const std::string& to,
                  const std::string& target) {
  const auto in =
      [&world](const std::string& netns, const std::string& role, const std::string& command) {
        return world.node().spawn(role, {"nsenter", "--net=" + netns, "sh", "-c", command});
      };
  const auto sink = in(to, "sink", "tail -f /dev/null | busybox nc -l -p 5001 >/dev/null");
  REQUIRE(sink);
  std::optional<ProcessId> source;
  const double before = received(world, to);
  constexpr double kStarted = 200'000;  // bytes: beyond the first burst's handshake
  const bool flows = wait_until(
      [&] {
        if (!source || !alive(*source)) {
          const auto started = in(from, "source", "exec busybox nc " + target + " 5001 </dev/zero");
          source = started ? std::optional(*started) : std::nullopt;
        }
        return received(world, to) - before > kStarted;
      },
      std::chrono::seconds(10),
      std::chrono::milliseconds(50));
  REQUIRE(flows);
  // A measurement, not a wait for something: half a second for the buckets, two to count.
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const double first = received(world, to);
  const auto begin = Clock::now();
  std::this_thread::sleep_for(std::chrono::seconds(2));
  const double second = received(world, to);
  const double took = std::chrono::duration<double>(Clock::now() - begin).count();
  for (const auto& process : {*source, *sink}) {
    send_signal(process, SIGKILL);
    (void)wait_gone(process, std::chrono::seconds(5));
  }
  return (second - first) / took;
}

// The kernel has what limits need; else the test is skipped by name.
bool can_limit(const CniOutcome& added) {
  if (!added.ok() && added.text().find("this kernel lacks") != std::string::npos) {
    std::printf("skipped: bandwidth: %s\n",
                added.text().substr(0, added.text().find('\n')).c_str());
    return false;
  }
  REQUIRE_MESSAGE(added.ok(), added.text());
  return true;
}

}  // namespace

TEST_SUITE_BEGIN("functional.cni.bandwidth");

TEST_CASE("a container sends and receives at the rate that was asked for, others as they like") {
  CniWorld world("ft-cni-rate");
  CniList list(world.node(), list_of("1.0.0", {margay_plugin()}));
  const CniAttachment free{.container_id = "free", .netns = world.make_container()};
  const CniAttachment slow{
      .container_id = "slow",
      .netns = world.make_container(),
      .capabilities = parsed(R"({"bandwidth": {"ingressRate": 16000000, "ingressBurst": 1600000,
        "egressRate": 40000000, "egressBurst": 4294967295}})")};
  const CniAttachment other{.container_id = "other", .netns = world.make_container()};
  const CniOutcome limited = list.add(slow);
  if (!can_limit(limited)) {
    return;
  }
  const CniOutcome free_added = list.add(free);
  const CniOutcome other_added = list.add(other);
  REQUIRE(free_added.ok());
  REQUIRE(other_added.ok());

  const double in = throughput(world, free.netns, slow.netns, limited.addresses()[0]);
  const double out = throughput(world, slow.netns, free.netns, free_added.addresses()[0]);
  const double unlimited = throughput(world, free.netns, other.netns, other_added.addresses()[0]);
  std::printf("bandwidth: in %.2f of the rate, out %.2f, without a limit %.0f Mbit/s\n",
              in / (16 * kMegabit),
              out / (40 * kMegabit),
              unlimited / kMegabit);
  constexpr double kLeast = 0.7;
  constexpr double kMost = 1.25;
  CHECK(in / (16 * kMegabit) > kLeast);
  CHECK(in / (16 * kMegabit) < kMost);
  CHECK(out / (40 * kMegabit) > kLeast);
  CHECK(out / (40 * kMegabit) < kMost);
  CHECK(unlimited > 3 * 40 * kMegabit);

  // IPv6 goes through the same buckets.
  const double six = throughput(world, free.netns, slow.netns, limited.addresses()[1]);
  CHECK(six / (16 * kMegabit) > kLeast);
  CHECK(six / (16 * kMegabit) < kMost);

  const CniOutcome again = list.add(slow);
  CHECK((again.result == limited.result));
  CHECK(list.check(slow).ok());
  const std::string host = json::serialize(limited.result.at("interfaces").at(0).at("name"));
  REQUIRE(world.node().shell("tc qdisc del dev " + host + " root").ok());
  const CniOutcome checked = list.check(slow);
  CHECK_FALSE(checked.ok());
  CHECK_MESSAGE(checked.out().find("bytes a second") != std::string::npos, checked.text());
  for (const CniAttachment* each : {&free, &slow, &other}) {
    CHECK(list.del(*each).ok());
  }
  CHECK(world.left() == "");
}

TEST_CASE(
    "limits leave nothing when the namespace ends before the DEL, and none is made on failure") {
  CniWorld world("ft-cni-rate-gone");
  CniList list(world.node(),
               list_of("1.0.0", {margay_plugin({{"bandwidth", {{"egressRate", 8000000}}}})}));
  const CniAttachment one{.container_id = "c1", .netns = world.make_container()};
  if (!can_limit(list.add(one))) {
    return;
  }
  CHECK(world.node().shell("ip -o link show type ifb | grep -c mgyi").out == "1\n");
  world.end_container(one.netns);
  CHECK(list.del(one).ok());
  CHECK(world.left() == "");

  const CniAttachment taken{.container_id = "c2", .netns = world.make_container()};
  REQUIRE(world.in(taken.netns, "ip link add eth0 type veth peer name other").ok());
  CHECK_FALSE(list.add(taken).ok());
  CHECK(world.left() == "");
  // A rate that is none is refused by name.
  CniList wrong(world.node(),
                list_of("1.0.0", {margay_plugin({{"bandwidth", {{"ingressRate", 4}}}})}));
  const CniOutcome refused = wrong.add(taken);
  CHECK_FALSE(refused.ok());
  CHECK_MESSAGE(refused.code() == 7, refused.text());
}

TEST_CASE("the plugin bandwidth chained behind margay limits its host end") {
  CniWorld world("ft-cni-rate-chained");
  CniList list(world.node(),
               list_of("1.0.0",
                       {margay_plugin({{"capabilities", {{"ips", true}}}}),
                        {{"type", "bandwidth"}, {"capabilities", {{"bandwidth", true}}}}}));
  const CniAttachment one{
      .container_id = "c1",
      .netns = world.make_container(),
      .capabilities = parsed(R"({"bandwidth": {"ingressRate": 16000000, "ingressBurst": 1600000,
        "egressRate": 16000000, "egressBurst": 1600000}})")};
  const CniOutcome added = list.add(one);
  if (!added.ok() && added.text().find("not supported") != std::string::npos) {
    std::printf("skipped: bandwidth chained: %s\n", added.text().c_str());
    return;
  }
  REQUIRE_MESSAGE(added.ok(), added.text());
  CHECK(world.node().shell("tc qdisc | grep -q tbf").ok());
  CHECK(joined(test::wrong_in_result(json::serialize(added.result),
                                     {.version = "1.0.0", .ifname = "eth0", .netns = one.netns})) ==
        "");
  CHECK(list.del(one).ok());
  CHECK(world.left() == "");
}

TEST_SUITE_END();

}  // namespace margay::lab
