#include "tests/functional/agent/world.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <set>
#include <sstream>
#include <string>

// What goes leaves nothing behind.

namespace margay::lab {
namespace {

using std::chrono::seconds;

std::string routes(Cluster& cluster, const std::string& node) {
  return cluster.lab().node(node).exec({"ip", "route", "show"}).out;
}

// Lines that only one of the two has.
std::string changed_lines(const std::string& before, const std::string& after) {
  const auto lines = [](const std::string& text) {
    std::istringstream stream(text);
    std::multiset<std::string> out;
    for (std::string line; std::getline(stream, line);) {
      out.insert(line);
    }
    return out;
  };
  const auto old_lines = lines(before);
  const auto new_lines = lines(after);
  std::string out;
  for (const std::string& line : old_lines) {
    out += new_lines.count(line) < old_lines.count(line) ? "- " + line + "\n" : "";
  }
  for (const std::string& line : new_lines) {
    out += old_lines.count(line) < new_lines.count(line) ? "+ " + line + "\n" : "";
  }
  return out;
}

}  // namespace

TEST_SUITE("functional.agent.lifecycle") {
  TEST_CASE(
      "a removed pod's route is gone at once, its address leaves the sets and is free again") {
    const auto cluster = make_pair("ft-remove");
    REQUIRE(cluster->apply(admit("far-admits-near", "far", "near")) == "");
    const std::string address = cluster->lab().pod("near").address;
    const auto ruleset_of = [&](const char* node) {
      return cluster->lab().node(node).exec({"nft", "list", "ruleset"}).out;
    };
    REQUIRE(wait_until([&] { return ruleset_of("node2").find(address) != std::string::npos; },
                       seconds(10)));
    REQUIRE(routes(*cluster, "node1").find(address + " dev") != std::string::npos);
    REQUIRE(cluster->ctl({"ipam", "show", "--ip", address}).out.find("near") != std::string::npos);

    const auto removed = cluster->lab().remove_pod("near");
    REQUIRE_MESSAGE(removed, (removed ? "" : removed.error().text));
    CHECK(routes(*cluster, "node1").find(address + " dev") ==
          std::string::npos);  // at once: no waiting here
    CHECK(ruleset_of("node1").find(address) == std::string::npos);
    CHECK(wait_until([&] { return ruleset_of("node2").find(address) == std::string::npos; },
                     seconds(5)));
    CHECK(wait_until(
        [&] {
          return cluster->ctl({"ipam", "show", "--ip", address}).out.find("near") ==
                 std::string::npos;
        },
        seconds(5)));
    CHECK(cluster->ctl({"get", "workloadendpoints", "-A", "-o", "name"}).out.find("near") ==
          std::string::npos);
    CHECK(wait_until(
        [&] {
          return cluster->lab().node("node1").exec({"ip", "-o", "link"}).out.find("mgy") ==
                 std::string::npos;
        },
        seconds(5)));
  }

  TEST_CASE("the kernel after adding and removing twenty pods is the kernel before") {
    const auto cluster = make_pair("ft-churn");
    const std::string before = cluster->kernel_state("node1");
    for (int i = 0; i < 20; ++i) {
      const auto pod = cluster->lab().add_pod(
          "node1", {.name = fmt::format("churn-{}", i), .labels = {{"app", "churn"}}});
      REQUIRE_MESSAGE(pod, (pod ? "" : pod.error().text));
    }
    CHECK(cluster->kernel_state("node1") != before);
    for (int i = 0; i < 20; ++i) {
      REQUIRE(cluster->lab().remove_pod(fmt::format("churn-{}", i)));
    }
    std::string after;
    CHECK_MESSAGE(
        wait_until([&] { return (after = cluster->kernel_state("node1")) == before; }, seconds(10)),
        after);
  }

  TEST_CASE("filters of others are left alone, and named by doctor where they drop") {
    const auto cluster = make_cluster("single", "ft-foreign", false);
    Node& node = cluster->lab().node("node1");
    // As Docker and kube-proxy leave them with iptables-nft.
    constexpr const char* kOthers =
        "add table ip filter; add chain ip filter DOCKER-USER; add chain ip filter FORWARD { type "
        "filter hook forward priority 0; policy drop; }; add rule ip filter FORWARD jump "
        "DOCKER-USER; add table ip nat; add chain ip nat KUBE-SERVICES; add chain ip nat "
        "PREROUTING "
        "{ type nat hook prerouting priority -100; }; add rule ip nat PREROUTING jump "
        "KUBE-SERVICES; add table inet guard; add chain inet guard input { type filter hook input "
        "priority 10; }; add rule inet guard input tcp dport 25 drop";
    REQUIRE(node.shell(std::string("nft '") + kOthers + "'").ok());
    const auto others = [&] {
      return node
          .shell("nft list table ip filter; nft list table ip nat; nft list table inet guard")
          .out;
    };
    const std::string before = others();
    REQUIRE(node.start());
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), node.read_log("margayd"));
    for (const std::string pod : {"near", "far"}) {
      REQUIRE(cluster->add_server(
                  "node1", {.name = pod, .labels = {{"app", pod}}}, {{"tcp", 80}}) == "");
    }
    const std::string target = cluster->lab().pod("far").address + ":80";
    CHECK_FALSE(cluster->connects("near", target));
    const auto sick = cluster->ctl({"doctor"});
    CHECK(sick.out.find("warning table ip filter chain FORWARD: drops forwarded packets that no "
                        "rule of it accepts") != std::string::npos);
    CHECK(sick.out.find("warning table inet guard chain input: has 1 rule that drops") !=
          std::string::npos);
    CHECK(sick.out.find("ip nat") == std::string::npos);
    // As it says.
    REQUIRE(node.shell("nft add rule ip filter DOCKER-USER iifname 'mgy*' accept").ok());
    CHECK(cluster->connects("near", target));
    REQUIRE(node.shell("nft delete rule ip filter DOCKER-USER handle $(nft -a list chain ip filter "
                       "DOCKER-USER | grep -o 'handle [0-9]*$' | tail -1 | cut -d' ' -f2)")
                .ok());
    CHECK(others() == before);

    REQUIRE(
        cluster->apply("{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: "
                       "lost}, spec: {node: node1, expectedIPs: [203.0.113.7]}}") == "");
    CHECK(wait_until(
        [&] {
          return cluster->ctl({"doctor"}).out.find("HostEndpoint lost: governs no interface") !=
                 std::string::npos;
        },
        seconds(5)));
    REQUIRE(node.shell("nft delete table ip filter; nft delete table inet guard").ok());
    REQUIRE(cluster->ctl({"delete", "hep", "lost"}).ok());
    CHECK(
        wait_until([&] { return cluster->ctl({"doctor"}).out == "nothing wrong\n"; }, seconds(5)));
    CHECK(cluster->ctl({"doctor"}).ok());
  }

  TEST_CASE("after cleanup the kernel is as it was before Margay came") {
    const auto cluster = make_cluster("single", "ft-cleanup", false);
    Node& node = cluster->lab().node("node1");
    // Of others, beside ours.
    REQUIRE(node.shell("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 && "
                       "nft add table ip docker && nft add chain ip docker forward '{ type filter "
                       "hook forward priority 0; }' && ip link add veth-other type veth peer name "
                       "veth-peer && ip link set veth-other up && ip route add 198.51.100.0/24 dev "
                       "veth-other proto 80")
                .ok());
    const auto kernel = [&] {
      return node
          .shell(
              "nft list ruleset; ip -o link | cut -d: -f2; ip -o addr; ip rule; ip route "
              "show table all; ip -6 route show table all; ip neigh show nud permanent; "
              "sysctl -a 2>/dev/null | grep -E '^net.(ipv4|ipv6|netfilter)' | grep -vE "
              "'conntrack_count|random|dentry|stable_secret|mem =|tcp_fastopen_key'")
          .out;
    };
    const std::string before = kernel();
    REQUIRE(before.find("net.ipv4.ip_forward = 0") != std::string::npos);
    const auto cleanup = [&] {
      return node.exec(
          {"margayd", "cleanup", "--run-dir", "/run/margay", "--state-dir", "/var/lib/margay"});
    };
    for (int round = 0; round < 2; ++round) {
      REQUIRE(node.start());
      REQUIRE_MESSAGE(cluster->wait_ready("node1"), node.read_log("margayd"));
      const auto pod = cluster->lab().add_pod(
          "node1", {.name = fmt::format("far-{}", round), .labels = {{"app", "far"}}});
      REQUIRE_MESSAGE(pod, (pod ? "" : pod.error().text));
      REQUIRE(cluster->apply(admit("p", "far", "near")) == "");
      REQUIRE(kernel() != before);
      const auto refused = cleanup();
      CHECK(refused.rc == 1);
      CHECK(refused.err.find("an agent is running in /run/margay: stop it first") !=
            std::string::npos);
      REQUIRE(node.kill());
      CHECK(wait_until([&] { return cleanup().ok(); }, seconds(5)));
      CHECK(changed_lines(before, kernel()) == "");
    }
  }

  TEST_CASE("what nobody uses is free after the time of grace, and what a removed node held") {
    const auto cluster = make_pair("ft-collect");
    REQUIRE(cluster->apply("apiVersion: projectcalico.org/v3\nkind: KubeControllersConfiguration\n"
                           "metadata: {name: default}\nspec: {controllers: {node: "
                           "{reconcilerPeriod: 1s, leakGracePeriod: 2s}}}\n") == "");
    const auto check = [&] { return cluster->ctl({"ipam", "check"}).out; };
    const auto blocks = [&] { return cluster->ctl({"ipam", "show", "--blocks"}).out; };
    const auto lose_endpoint = [&](const std::string& pod) {
      std::istringstream names(cluster->ctl({"get", "wep", "-n", "default", "-o", "name"}).out);
      for (std::string name; std::getline(names, name);) {
        if (name.find(pod) != std::string::npos) {
          const auto deleted = cluster->ctl(
              {"delete", "wep", "-n", "default", name.substr(name.find_last_of('/') + 1)});
          CHECK_MESSAGE(deleted.ok(), name << ": " << deleted.err);
          return deleted.ok();
        }
      }
      return false;
    };

    // Its endpoint is lost, as if an agent had died between two steps.
    const auto lost = cluster->lab().add_pod("node1", {.name = "lost"});
    REQUIRE(lost);
    REQUIRE(lose_endpoint("lost"));
    CHECK(check().find(lost->address) != std::string::npos);
    CHECK_MESSAGE(
        wait_until([&] { return check().find(lost->address) == std::string::npos; }, seconds(15)),
        check() << cluster->lab().node("node1").read_log("margayd"));
    CHECK(cluster->lab().node("node1").read_log("margayd").find(
              "leaked address freed address=" + lost->address) != std::string::npos);
    const std::string target = cluster->lab().pod("far").address + ":80";
    CHECK(cluster->connects("near", target));

    const auto held_by_node2 = [&] { return blocks().find("node2") != std::string::npos; };
    REQUIRE_MESSAGE(held_by_node2(), blocks());
    REQUIRE(cluster->lab().node("node2").stop());
    REQUIRE(cluster->ctl({"delete", "node", "node2"}).ok());
    CHECK(wait_until([&] { return !cluster->connects("near", target); }, seconds(10)));
    CHECK(held_by_node2());  // an endpoint is still on it
    REQUIRE(lose_endpoint("far"));
    CHECK_MESSAGE(wait_until([&] { return !held_by_node2(); }, seconds(15)), blocks());
    CHECK_MESSAGE(wait_until(
                      [&] {
                        return cluster->ctl({"ipam", "check"}).ok();
                      },
                      seconds(15)),
                  check());
  }

  TEST_CASE("a removed node's block is withdrawn from the leaves") {
    const auto cluster = make_cluster("leaf-spine", "ft-leaf");
    const std::vector<std::string> nodes{"node1", "node2", "node3", "node4"};
    for (const std::string& node : nodes) {
      REQUIRE_MESSAGE(cluster->wait_ready(node), cluster->lab().node(node).read_log("margayd"));
      REQUIRE(cluster->add_server(node, {.name = "on-" + node}, {{"tcp", 80}}) == "");
    }
    const auto block_of = [&](const std::string& node) {
      const std::string line =
          cluster->lab().node(node).exec({"ip", "route", "show", "proto", "92"}).out;
      const auto begin = line.find("10.244.");
      return begin == std::string::npos ? "none"
                                        : line.substr(begin, line.find(' ', begin) - begin);
    };
    const std::string gone = block_of("node4");
    const std::string stays = block_of("node3");
    REQUIRE(gone.starts_with("10.244."));
    const auto leaf_has = [&](const char* leaf, const std::string& block) {
      return routes(*cluster, leaf).find(block) != std::string::npos;
    };
    for (const char* leaf : {"leaf1", "leaf2"}) {
      REQUIRE(
          wait_until([&] { return leaf_has(leaf, gone) && leaf_has(leaf, stays); }, seconds(30)));
    }
    REQUIRE(wait_until(
        [&] {
          return cluster->connects("on-node1", cluster->lab().pod("on-node4").address + ":80");
        },
        seconds(30)));

    REQUIRE(cluster->lab().remove_pod("on-node4"));
    const ExecResult deleted = cluster->ctl({"delete", "node", "node4"});
    REQUIRE_MESSAGE(deleted.ok(), deleted.err);
    REQUIRE(cluster->lab().node("node4").stop());
    for (const char* leaf : {"leaf1", "leaf2"}) {
      CHECK(wait_until([&] { return !leaf_has(leaf, gone); }, seconds(30)));
      CHECK(leaf_has(leaf, stays));
    }
    CHECK(cluster->connects("on-node1", cluster->lab().pod("on-node3").address + ":80"));
  }
}

}  // namespace margay::lab
