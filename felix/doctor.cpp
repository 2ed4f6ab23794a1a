#include "felix/doctor.h"

#include "api/proto/control.pb.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>

namespace margay::felix {

namespace v1 = margay::control::v1;

namespace {

class Findings {
 public:
  void error(std::string subject, std::string what, std::string mend) {
    add(v1::Finding::ERROR, std::move(subject), std::move(what), std::move(mend));
  }
  void warning(std::string subject, std::string what, std::string mend) {
    add(v1::Finding::WARNING, std::move(subject), std::move(what), std::move(mend));
  }
  // Errors before warnings, otherwise as they were found.
  v1::Diagnosis take() {
    std::ranges::stable_sort(found_, [](const v1::Finding& a, const v1::Finding& b) {
      return a.severity() > b.severity();
    });
    v1::Diagnosis out;
    for (v1::Finding& finding : found_) {
      *out.add_findings() = std::move(finding);
    }
    return out;
  }

 private:
  void add(v1::Finding::Severity severity,
           std::string subject,
           std::string what,
           std::string mend) {
    v1::Finding finding;
    finding.set_severity(severity);
    finding.set_subject(std::move(subject));
    finding.set_what(std::move(what));
    finding.set_mend(std::move(mend));
    found_.push_back(std::move(finding));
  }
  std::vector<v1::Finding> found_;
};

void look_at_store(const AgentStatus& status, Findings& out) {
  if (!status.store_error.empty()) {
    out.error("datastore",
              status.store_error,
              "bring " + status.datastore +
                  " back; until then the last known state stays in force and no pod can be added");
  } else if (!status.in_sync) {
    out.error("datastore", "has not been read yet", "wait, or look at the agent's log");
  }
}

void look_at_node(const AgentStatus& status, Findings& out) {
  if (!status.node_conflict.empty()) {
    out.error("node " + status.node.str(),
              status.node_conflict,
              "end one of the two, or give each its own --node: they share blocks of addresses");
  }
}

void look_at_kernel(const AgentStatus& status, Findings& out) {
  if (const std::string hung = hung_reason(status, Clock::now()); !hung.empty()) {
    out.error("dataplane", hung, "restart margayd; traffic and policy go on meanwhile");
  }
  for (const auto* report : {&status.dataplane_report, &status.fib_report}) {
    for (const std::string& failure : report->failures) {
      out.error("dataplane",
                failure,
                "it is tried again by itself; a route of another owner must be moved or removed");
    }
  }
}

void look_at_bgp(const Symptoms& symptoms, Findings& out) {
  if (symptoms.status.bgp == BgpMode::kNone) {
    return;
  }
  if (!symptoms.sessions.listen_error.empty()) {
    out.error("BGP",
              symptoms.sessions.listen_error,
              symptoms.status.bgp == BgpMode::kBird
                  ? "see bird.log in the run directory; it is tried again by itself"
                  : "see who else listens there; it is tried again by itself");
  }
  for (const bgp::PeerStatus& peer : symptoms.sessions.peers) {
    if (peer.state != bgp::PeerState::kEstablished) {
      out.error("BGP peer " + peer.config.name,
                fmt::format("is {}{}",
                            bgp::to_string(peer.state),
                            peer.last_error.empty() ? "" : ": " + peer.last_error),
                "check that it is reachable on its port, and AS number and password on both sides");
    }
  }
}

void look_at_bgp_inputs(const Symptoms& symptoms, Findings& out) {
  const std::string node = symptoms.status.node.str();
  if (symptoms.status.drain != Drain::kNone) {
    out.warning("node " + node,
                fmt::format("is drained: {}", to_string(symptoms.status.drain)),
                fmt::format("`margayctl node undrain-bgp {0}`, or `kubectl uncordon {0}` where "
                            "drainCordonedNodes is set, when its work is done",
                            node));
  }
  std::set<std::string> missing;
  for (const BgpPeerInput& peer : symptoms.bgp.peers) {
    for (const BgpFilterInput& filter : peer.filters) {
      if (!filter.filter && missing.insert(filter.name).second) {
        out.error("BGPFilter " + filter.name,
                  fmt::format("is not there: nothing passes BGP peer {} either way", peer.name),
                  "create it, or take its name from the filters of the peer");
      }
    }
  }
}

}  // namespace

v1::Diagnosis diagnose(const Symptoms& symptoms) {
  Findings out;
  look_at_store(symptoms.status, out);
  look_at_node(symptoms.status, out);
  look_at_kernel(symptoms.status, out);
  look_at_bgp(symptoms, out);
  look_at_bgp_inputs(symptoms, out);
  for (const auto& [key, object] : symptoms.invalid) {
    out.error(key.str(),
              "is stored but invalid: " + object.error.text,
              object.last_valid_in_force ? "mend it: its last valid version is in force"
                                         : "mend it: nothing of it is in force");
  }
  for (const std::string& host : symptoms.unresolved_hosts) {
    out.warning("HostEndpoint " + host,
                "governs no interface of this node",
                "check interfaceName and expectedIPs against `ip addr`");
  }
  return out.take();
}

void add(const std::vector<nft::ForeignFilter>& filters, v1::Diagnosis& out) {
  for (const nft::ForeignFilter& filter : filters) {
    const bool forward = filter.hook == nft::HookPoint::kForward;
    v1::Finding& finding = *out.add_findings();
    finding.set_subject(filter.str());
    finding.set_severity(v1::Finding::WARNING);
    finding.set_what(filter.drops_by_policy
                         ? fmt::format("drops {} that no rule of it accepts, whatever Margay says",
                                       forward ? "forwarded packets" : "packets")
                         : fmt::format("has {} rule{} that drop{}, whatever Margay says",
                                       filter.dropping_rules,
                                       filter.dropping_rules == 1 ? "" : "s",
                                       filter.dropping_rules == 1 ? "s" : ""));
    finding.set_mend(forward ? "accept iifname and oifname mgy* there, or take the chain away"
                             : "check that it lets pass what this node needs");
  }
}

}  // namespace margay::felix
