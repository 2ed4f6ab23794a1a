#include "tests/lab/daemons.h"

namespace margay::lab {
namespace {

// FRR without its supervisor: each daemon in the foreground, then the integrated configuration by
// vtysh.
DaemonPlan frr_plan() {
  DaemonPlan plan;
  for (const std::string daemon : {"zebra", "bfdd", "staticd", "bgpd"}) {
    const std::string vty = "/run/frr/" + daemon + ".vty";
    plan.daemons.push_back(
        Daemon{daemon, {"/usr/lib/frr/" + daemon, "-A", "127.0.0.1", "--log", "stdout"}, vty});
  }
  plan.after = {"vtysh", "-b"};
  return plan;
}

DaemonPlan margay_plan(const NodeSpec& node) {
  const auto store = node.env.find("MARGAY_DATASTORE");
  return {{Daemon{"margayd",
                  {"margayd",
                   "--node",
                   node.name,
                   "--datastore",
                   store != node.env.end() ? store->second : "sqlite:///var/lib/margay/margay.db",
                   "--run-dir",
                   "/run/margay",
                   "--state-dir",
                   "/var/lib/margay",
                   "--metrics-listen",
                   "127.0.0.1:9091"},
                  ""}},
          {}};
}

}  // namespace

DaemonPlan daemons_of(const NodeSpec& node) {
  switch (node.kind) {
    case NodeKind::kBird:
      return {{Daemon{"bird",
                      {"bird",
                       "-f",
                       "-c",
                       "/etc/bird/bird.conf",
                       "-s",
                       "/run/bird/bird.ctl",
                       "-P",
                       "/run/bird/bird.pid"},
                      "/run/bird/bird.ctl"}},
              {}};
    case NodeKind::kFrr:
      return frr_plan();
    case NodeKind::kGobgp:
      return {{Daemon{"gobgpd", {"gobgpd", "-f", "/etc/gobgp/gobgp.toml"}, ""}}, {}};
    case NodeKind::kMargay:
      return margay_plan(node);
    case NodeKind::kSpeaker:
      return {{Daemon{"margay-bgpd",
                      {"margay-bgpd", "--config", "/etc/margay/bgpd.yaml"},
                      "/run/margay/margayd.sock"}},
              {}};
    case NodeKind::kLinux:
    case NodeKind::kPod:
      return {};
  }
  return {};
}

}  // namespace margay::lab
