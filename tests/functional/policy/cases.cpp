#include "tests/functional/policy/cases.h"

#include <algorithm>

namespace margay::lab {
namespace {

// A NetworkPolicy; the specification is one line of flow YAML.
std::string np(const std::string& name, const std::string& spec, const std::string& ns = "x") {
  return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + name +
         ", namespace: " + ns + "}\nspec: " + spec + "\n---\n";
}

const std::string kPodA = "podSelector: {matchLabels: {pod: a}}, ";

// A policy on pod x/a with one ingress rule.
std::string into_a(const std::string& rule) {
  return np("p", "{" + kPodA + "policyTypes: [Ingress], ingress: [{" + rule + "}]}");
}
std::string out_of_a(const std::string& rule) {
  return np("p", "{" + kPodA + "policyTypes: [Egress], egress: [{" + rule + "}]}");
}
std::string on_all(const std::string& rest) {
  return np("p", "{podSelector: {}, " + rest + "}");
}

// ---- admin tiers

std::string admin(const std::string& name, int priority, const std::string& rest) {
  return "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: "
         "{name: " +
         name + "}\nspec: {priority: " + std::to_string(priority) + ", " + rest + "}\n---\n";
}
std::string baseline(const std::string& rest) {
  return "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\n"
         "metadata: {name: default}\nspec: {" +
         rest + "}\n---\n";
}
std::string cluster(const std::string& name, const std::string& rest) {
  return "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: "
         "{name: " +
         name + "}\nspec: {tier: Admin, priority: 10, " + rest + "}\n---\n";
}

const std::string kOnX = "subject: {namespaces: {matchLabels: {ns: x}}}, ";
const std::string kOnXa =
    "subject: {pods: {namespaceSelector: {matchLabels: {ns: x}}, podSelector: {matchLabels: {pod: "
    "a}}}}, ";
const std::string kFromY = "from: [{namespaces: {matchLabels: {ns: y}}}]";
const std::string kFromAll = "from: [{namespaces: {}}]";

bool is_xa(std::string_view pod) {
  return pod == "xa";
}

std::vector<PolicyCase> ingress_cases() {
  return {
      {"1: no policy, all allowed", {{"", [](const Flow&) { return true; }}}},
      {"2: x, all pods, ingress nothing",
       {{on_all("policyTypes: [Ingress]"), [](const Flow& f) { return !f.to_ns('x'); }}}},
      {"5: x/a admits x/b",
       {{into_a("from: [{podSelector: {matchLabels: {pod: b}}}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.from == "xb"; }}}},
      {"6: deny all ingress of x, x/a admits any pod of any namespace",
       {{on_all("policyTypes: [Ingress]") +
             np("q",
                "{" + kPodA +
                    "policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {}}]}]}"),
         [](const Flow& f) { return !f.to_ns('x') || is_xa(f.to); }}}},
      {"7: x/a admits all namespaces",
       {{into_a("from: [{namespaceSelector: {}}]"), [](const Flow&) { return true; }}}},
      {"8: x/a admits namespace y",
       {{into_a("from: [{namespaceSelector: {matchLabels: {ns: y}}}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.from_ns('y'); }}}},
      {"9: x/a admits pod In (b)",
       {{into_a(
             "from: [{podSelector: {matchExpressions: [{key: pod, operator: In, values: [b]}]}}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.from == "xb"; }}}},
      {"10: x/a admits namespaces In (y)",
       {{into_a("from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: In, values: "
                "[y]}]}}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.from_ns('y'); }}}},
      {"11: x/a admits namespaces NotIn (x), or pod b",
       {{into_a("from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: "
                "[x]}]}}, "
                "{podSelector: {matchLabels: {pod: b}}}]"),
         [](const Flow& f) { return !is_xa(f.to) || !f.from_ns('x') || f.from == "xb"; }}}},
      {"12: x/a admits pod b of namespaces NotIn (x)",
       {{into_a("from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: "
                "[x]}]}, "
                "podSelector: {matchLabels: {pod: b}}}]"),
         [](const Flow& f) { return !is_xa(f.to) || (!f.from_ns('x') && f.from_pod('b')); }}}},
      {"13: x/a admits pods In (b, c) of namespaces NotIn (x)",
       {{into_a("from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: "
                "[x]}]}, "
                "podSelector: {matchExpressions: [{key: pod, operator: In, values: [b, c]}]}}]"),
         [](const Flow& f) { return !is_xa(f.to) || (!f.from_ns('x') && !f.from_pod('a')); }}}},
      {"14: x/a admits two peers",
       {{into_a("from: [{podSelector: {matchLabels: {pod: b}}}, {podSelector: {matchLabels: {pod: "
                "c}}}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.from == "xb" || f.from == "xc"; }}}},
      {"15: x/a admits pod a of namespace y",
       {{into_a("from: [{namespaceSelector: {matchLabels: {ns: y}}, podSelector: {matchLabels: "
                "{pod: a}}}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.from == "ya"; }}}},
      {"27: x admits its own namespace",
       {{on_all("policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]"),
         [](const Flow& f) { return !f.to_ns('x') || f.from_ns('x'); }}}},
      {"36: x/a may go to y/b's address only",
       {{out_of_a("to: [{ipBlock: {cidr: @yb@/32}}]"),
         [](const Flow& f) { return !is_xa(f.from) || f.to == "yb"; }}}},
      {"44: namespace selected by kubernetes.io/metadata.name",
       {{into_a("from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: y}}}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.from_ns('y'); }}}},
  };
}

std::vector<PolicyCase> port_cases() {
  return {
      {"16, 17: x/a admits y on TCP 81, then also on TCP 80",
       {{into_a("from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{protocol: TCP, "
                "port: 81}]"),
         [](const Flow& f) { return !is_xa(f.to) || (f.from_ns('y') && f.is("tcp", 81)); }},
        {np("q",
            "{" + kPodA +
                "policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "
                "y}}}], "
                "ports: [{protocol: TCP, port: 80}]}]}"),
         [](const Flow& f) {
           return !is_xa(f.to) || (f.from_ns('y') && (f.is("tcp", 80) || f.is("tcp", 81)));
         }}}},
      {"18: an empty ingress rule allows all",
       {{on_all("policyTypes: [Ingress], ingress: [{}]"), [](const Flow&) { return true; }}}},
      {"30: x/a admits x/b, and may go out to port 80",
       {{np("p",
            "{" + kPodA +
                "policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: "
                "{pod: b}}}]}], "
                "egress: [{ports: [{protocol: TCP, port: 80}]}]}"),
         [](const Flow& f) {
           return (!is_xa(f.to) || f.from == "xb") && (!is_xa(f.from) || f.is("tcp", 80));
         }}}},
      {"32: protocol TCP without a port",
       {{into_a("ports: [{protocol: TCP}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.protocol == "tcp"; }}}},
      {"33: x admits TCP 80, then a second policy admits all",
       {{on_all("policyTypes: [Ingress], ingress: [{ports: [{protocol: TCP, port: 80}]}]"),
         [](const Flow& f) { return !f.to_ns('x') || f.is("tcp", 80); }},
        {np("q", "{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}"),
         [](const Flow&) { return true; }}}},
      {"34: x may go out to TCP 80, then a second policy lets all out",
       {{on_all("policyTypes: [Egress], egress: [{ports: [{protocol: TCP, port: 80}]}]"),
         [](const Flow& f) { return !f.from_ns('x') || f.is("tcp", 80); }},
        {np("q", "{podSelector: {}, policyTypes: [Egress], egress: [{}]}"),
         [](const Flow&) { return true; }}}},
      {"43: x/a admits UDP 81 only",
       {{into_a("ports: [{protocol: UDP, port: 81}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.is("udp", 81); }}}},
      {"46: a range of ports by endPort",
       {{into_a("ports: [{protocol: TCP, port: 80, endPort: 81}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.is("tcp", 80) || f.is("tcp", 81); }}}},
      {"47: two ports of two protocols",
       {{into_a("ports: [{protocol: TCP, port: 80}, {protocol: UDP, port: 81}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.is("tcp", 80) || f.is("udp", 81); }}}},
  };
}

// Pods name their ports serve-80-tcp and so on; "web" is 80, 81 or 82 in pods a, b and c.
std::vector<PolicyCase> named_port_cases() {
  return {
      {"19: x admits only the named port serve-81-tcp",
       {{on_all("policyTypes: [Ingress], ingress: [{ports: [{port: serve-81-tcp}]}]"),
         [](const Flow& f) { return !f.to_ns('x') || f.is("tcp", 81); }}}},
      {"20: x/a admits y on serve-80-tcp",
       {{into_a("from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: "
                "serve-80-tcp}]"),
         [](const Flow& f) { return !is_xa(f.to) || (f.from_ns('y') && f.is("tcp", 80)); }}}},
      {"21: x may go out only to serve-80-tcp",
       {{on_all("policyTypes: [Egress], egress: [{ports: [{port: serve-80-tcp}]}]"),
         [](const Flow& f) { return !f.from_ns('x') || f.is("tcp", 80); }}}},
      {"22: one name, another number in each pod",
       {{on_all("policyTypes: [Ingress], ingress: [{ports: [{port: web}]}]"),
         [](const Flow& f) {
           return !f.to_ns('x') || f.is("tcp", static_cast<std::uint16_t>(80 + (f.to[1] - 'a')));
         }}}},
      {"23: a name with the other protocol, and a name that nobody has",
       {{into_a("ports: [{protocol: UDP, port: serve-80-tcp}, {port: nobody}]"),
         [](const Flow& f) { return !is_xa(f.to); }}}},
      {"81: a named port in an admin policy",
       {{admin("a",
               10,
               kOnX + "ingress: [{action: Deny, " + kFromAll + ", ports: [{namedPort: web}]}]"),
         [](const Flow& f) {
           return !f.to_ns('x') || !f.is("tcp", static_cast<std::uint16_t>(80 + (f.to[1] - 'a')));
         }}}},
  };
}

std::vector<PolicyCase> sctp_and_type_cases() {
  return {
      {"41: x admits nobody; x/a SCTP 81",
       {{on_all("policyTypes: [Ingress]") +
             np("q",
                "{" + kPodA +
                    "policyTypes: [Ingress], ingress: [{ports: [{protocol: SCTP, port: 81}]}]}"),
         [](const Flow& f) { return !f.to_ns('x') || (is_xa(f.to) && f.is("sctp", 81)); }}}},
      {"42: x/a admits SCTP 80 only",
       {{into_a("ports: [{protocol: SCTP, port: 80}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.is("sctp", 80); }}}},
      {"48: type Egress with only a list of ingress",
       {{on_all("policyTypes: [Egress], ingress: [{from: [{podSelector: {matchLabels: {pod: "
                "nobody}}}]}]"),
         [](const Flow& f) { return !f.from_ns('x'); }}}},
      {"49: types missing, a list of egress is there",
       {{on_all("egress: [{to: [{podSelector: {matchLabels: {pod: nobody}}}]}]"),
         [](const Flow& f) { return !f.from_ns('x') && !f.to_ns('x'); }}}},
      {"50: an empty list of peers, and none",
       {{into_a("from: []"), [](const Flow&) { return true; }},
        {into_a("ports: [{protocol: TCP}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.protocol == "tcp"; }}}},
  };
}

std::vector<PolicyCase> egress_cases() {
  const std::string both = on_all("policyTypes: [Ingress, Egress]");
  const std::string except = out_of_a("to: [{ipBlock: {cidr: 10.244.0.0/16, except: [@xb@/32]}}]");
  return {
      {"3: x, all pods, egress nothing",
       {{on_all("policyTypes: [Egress]"), [](const Flow& f) { return !f.from_ns('x'); }}}},
      {"4, 35: x, both nothing, then the policy is deleted",
       {{both, [](const Flow& f) { return !f.from_ns('x') && !f.to_ns('x'); }},
        {both, [](const Flow&) { return true; }, true}}},
      {"24: allow all ingress is changed to deny all",
       {{on_all("policyTypes: [Ingress], ingress: [{}]"), [](const Flow&) { return true; }},
        {on_all("policyTypes: [Ingress], ingress: []"),
         [](const Flow& f) { return !f.to_ns('x'); }}}},
      {"29: x/a, egress nothing",
       {{np("p", "{" + kPodA + "policyTypes: [Egress]}"),
         [](const Flow& f) { return !is_xa(f.from); }}}},
      {"31: x/a may go to y/a only; y/a and y/b both admit x/a",
       {{out_of_a("to: [{namespaceSelector: {matchLabels: {ns: y}}, podSelector: {matchLabels: "
                  "{pod: a}}}]") +
             np("q",
                "{podSelector: {matchExpressions: [{key: pod, operator: In, values: [a, b]}]}, "
                "policyTypes: [Ingress], "
                "ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}, podSelector: "
                "{matchLabels: {pod: a}}}]}]}",
                "y"),
         [](const Flow& f) {
           const bool into_y = f.to == "ya" || f.to == "yb";
           return (!into_y || is_xa(f.from)) && (!is_xa(f.from) || f.to == "ya");
         }}}},
      {"37, 38: x/a may go to the whole pool except x/b, then a second policy lets it",
       {{except, [](const Flow& f) { return !is_xa(f.from) || f.to != "xb"; }},
        {np("q",
            "{" + kPodA + "policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: @xb@/32}}]}]}"),
         [](const Flow&) { return true; }}}},
      {"40: x/a, egress all, ingress nothing",
       {{np("p", "{" + kPodA + "policyTypes: [Ingress, Egress], egress: [{}]}"),
         [](const Flow& f) { return !is_xa(f.to); }}}},
      {"45: x/a may go to namespaces NotIn (y)",
       {{out_of_a("to: [{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: "
                  "[y]}]}}]"),
         [](const Flow& f) { return !is_xa(f.from) || !f.to_ns('y'); }}}},
  };
}

std::vector<PolicyCase> admin_cases() {
  return {
      {"70: admin Deny beats an allowing NetworkPolicy",
       {{admin("a", 10, kOnX + "ingress: [{action: Deny, " + kFromY + "}]") +
             on_all("ingress: [{}]"),
         [](const Flow& f) { return !f.to_ns('x') || !f.from_ns('y'); }}}},
      {"71: admin Accept beats an isolating NetworkPolicy",
       {{cluster("a", kOnX + "ingress: [{action: Accept, " + kFromY + "}]") +
             on_all("policyTypes: [Ingress]"),
         [](const Flow& f) { return !f.to_ns('x') || f.from_ns('y'); }}}},
      {"72: admin Pass hands to NetworkPolicy",
       {{admin("a", 5, kOnX + "ingress: [{action: Pass, " + kFromY + "}]") +
             admin("b", 10, kOnX + "ingress: [{action: Deny, " + kFromAll + "}]") +
             on_all("ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}]}]"),
         [](const Flow& f) { return !f.to_ns('x') || f.from_ns('y'); }}}},
      {"73: Pass without a NetworkPolicy: baseline decides",
       {{admin("a", 5, kOnX + "ingress: [{action: Pass, " + kFromY + "}]") +
             baseline(kOnX + "ingress: [{action: Deny, " + kFromAll + "}]"),
         [](const Flow& f) { return !f.to_ns('x'); }}}},
      {"74: baseline Deny, a NetworkPolicy allows",
       {{baseline(kOnX + "ingress: [{action: Deny, " + kFromAll + "}]") +
             on_all("ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}]}]"),
         [](const Flow& f) { return !f.to_ns('x') || f.from_ns('y'); }}}},
      {"75: baseline Deny, a NetworkPolicy isolates and allows nobody",
       {{baseline(kOnX + "ingress: [{action: Deny, " + kFromY + "}]") +
             on_all("policyTypes: [Ingress]"),
         [](const Flow& f) { return !f.to_ns('x'); }}}},
      {"76: of two admin policies the lower number wins",
       {{admin("a", 5, kOnX + "ingress: [{action: Allow, " + kFromY + "}]") +
             admin("b", 10, kOnX + "ingress: [{action: Deny, " + kFromAll + "}]"),
         [](const Flow& f) { return !f.to_ns('x') || f.from_ns('y'); }},
        {admin("a", 20, kOnX + "ingress: [{action: Allow, " + kFromY + "}]"),
         [](const Flow& f) { return !f.to_ns('x'); }}}},
      {"77: the first match inside one policy",
       {{cluster("a",
                 kOnX + "ingress: [{action: Accept, " + kFromY +
                     ", protocols: [{tcp: {destinationPort: {number: 80}}}]}, {action: Deny, " +
                     kFromY + "}]"),
         [](const Flow& f) { return !f.to_ns('x') || !f.from_ns('y') || f.is("tcp", 80); }},
        {cluster("a",
                 kOnX + "ingress: [{action: Deny, " + kFromY + "}, {action: Accept, " + kFromY +
                     ", protocols: [{tcp: {destinationPort: {number: 80}}}]}]"),
         [](const Flow& f) { return !f.to_ns('x') || !f.from_ns('y'); }}}},
      {"78: an admin policy isolates nobody by itself",
       {{cluster("a", kOnX + "ingress: [{action: Accept, " + kFromY + "}]"),
         [](const Flow&) { return true; }}}},
      {"79: networks hit pods too; a Pass before spares them",
       {{cluster("a", kOnXa + "egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]"),
         [](const Flow& f) { return !is_xa(f.from); }},
        {cluster("a",
                 kOnXa + "egress: [{action: Pass, to: [{namespaces: {}}]}, {action: Deny, to: "
                         "[{networks: [0.0.0.0/0]}]}]"),
         [](const Flow&) { return true; }}}},
      {"82: the ends of a port range",
       {{admin("a",
               10,
               kOnXa + "ingress: [{action: Deny, " + kFromAll +
                   ", ports: [{portRange: {protocol: TCP, start: 80, end: 81}}]}]"),
         [](const Flow& f) { return !is_xa(f.to) || f.protocol != "tcp" || f.port == 82; }}}},
      {"83: a peer of a kind that is not known here fails closed",
       {{cluster("a", kOnXa + "egress: [{action: Deny, to: [{ofTomorrow: {}}]}]"),
         [](const Flow& f) { return !is_xa(f.from); }},
        {cluster("a", kOnXa + "egress: [{action: Accept, to: [{ofTomorrow: [x]}]}]") +
             np("p", "{" + kPodA + "policyTypes: [Egress]}"),
         [](const Flow& f) { return !is_xa(f.from); }}}},
      {"86: the source may go, the destination does not admit",
       {{cluster("a", kOnXa + "egress: [{action: Accept, to: [{namespaces: {}}]}]") +
             admin("b",
                   10,
                   "subject: {namespaces: {matchLabels: {ns: y}}}, ingress: [{action: Deny, from: "
                   "[{namespaces: {matchLabels: {ns: x}}}]}]"),
         [](const Flow& f) { return !f.from_ns('x') || !f.to_ns('y'); }}}},
  };
}

}  // namespace

std::vector<PolicyCase> policy_cases() {
  std::vector<PolicyCase> all = ingress_cases();
  for (auto more :
       {port_cases(), named_port_cases(), sctp_and_type_cases(), egress_cases(), admin_cases()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

std::string in_family(std::string documents,
                      Family family,
                      const std::map<std::string, std::string>& addresses) {
  const bool v6 = family == Family::kIpv6;
  std::map<std::string, std::string> words;
  for (const auto& [pod, address] : addresses) {
    words["@" + pod + "@/32"] = address + (v6 ? "/128" : "/32");
  }
  if (v6) {
    words["10.244.0.0/16"] = "fd00:10:244::/64";
    words["0.0.0.0/0"] = "\"::/0\"";
  }
  for (const auto& [from, to] : words) {
    for (auto at = documents.find(from); at != std::string::npos; at = documents.find(from)) {
      documents.replace(at, from.size(), to);
    }
  }
  return documents;
}

bool names_addresses(const PolicyCase& one) {
  return std::ranges::any_of(one.steps, [](const Step& step) {
    return step.policies.find('@') != std::string::npos ||
           step.policies.find("10.244.") != std::string::npos ||
           step.policies.find("0.0.0.0/0") != std::string::npos;
  });
}

}  // namespace margay::lab
