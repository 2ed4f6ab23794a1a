#include "tests/unit/felix/calc/states.h"

#include <initializer_list>
#include <string>

namespace margay::test {
namespace {

State state_of(std::initializer_list<ResourcePtr> resources) {
  State state;
  for (const ResourcePtr& object : resources) {
    state.emplace(object->key(), object);
  }
  return state;
}

}  // namespace

ResourcePtr pod(const std::string& name,
                const std::string& node,
                const std::string& address,
                const std::string& labels,
                const std::string& ns,
                const std::string& profile) {
  return resource("{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: " +
                  name + ", namespace: " + ns + ", labels: {" + labels +
                  "}}, spec: {node: " + node + ", orchestrator: cni, interfaceName: mgy" + name +
                  ", ipNetworks: [" + address + "], profiles: [" + profile + "]}}");
}
namespace {

ResourcePtr ns(const std::string& name, const std::string& labels) {
  return resource("{apiVersion: v1, kind: Namespace, metadata: {name: " + name + ", labels: {" +
                  labels + "}}}");
}
ResourcePtr gnp(const std::string& name, const std::string& spec) {
  return resource(
      "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: " + name +
      "}, spec: {" + spec + "}}");
}
ResourcePtr np(const std::string& name,
               const std::string& spec,
               const std::string& in = "default") {
  return resource("{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: " +
                  name + ", namespace: " + in + "}, spec: {" + spec + "}}");
}
ResourcePtr knp(const std::string& name, const std::string& spec) {
  return resource("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: " +
                  name + ", namespace: default}, spec: {" + spec + "}}");
}
ResourcePtr tier(const std::string& name, const std::string& spec) {
  return resource("{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: " + name +
                  "}, spec: {" + spec + "}}");
}

ResourcePtr local_on(const std::string& name, const std::string& interface) {
  return resource("{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: " +
                  name + ", namespace: default, labels: {app: " + name +
                  "}}, spec: {node: n1, interfaceName: " + interface + ", ipNetworks: [10.244.0." +
                  std::to_string(name[0]) + "/32], profiles: [kns.default]}}");
}
// Names the interface of local_web().
ResourcePtr same_interface(const std::string& name) {
  return local_on(name, "mgyweb");
}

}  // namespace

const ResourcePtr& local_web() {
  static const ResourcePtr pod1 = pod("web", "n1", "10.244.0.1/32", "app: web");
  return pod1;
}
const ResourcePtr& remote_api() {
  static const ResourcePtr pod2 = pod("api", "n2", "10.244.1.1/32", "app: api");
  return pod2;
}
const ResourcePtr& from_api() {
  static const ResourcePtr policy = np("from-api",
                                       "selector: app == 'web', ingress: [{action: Allow, "
                                       "protocol: TCP, source: {selector: app == 'api'}, "
                                       "destination: {ports: [80]}}]");
  return policy;
}

namespace {

std::vector<NamedState> first_states() {
  return {
      {"empty", {}},
      {"one local endpoint, no policy", state_of({local_web()})},
      {"one remote endpoint", state_of({remote_api()})},
      {"a policy that selects nobody", state_of({from_api()})},
      {"policy, local and remote endpoint", state_of({local_web(), remote_api(), from_api()})},
      {"the remote endpoint lost its label",
       state_of({local_web(), pod("api", "n2", "10.244.1.1/32", "app: other"), from_api()})},
      {"the remote endpoint has another address",
       state_of({local_web(), pod("api", "n2", "10.244.1.9/32", "app: api"), from_api()})},
      {"the peer is local, too",
       state_of({local_web(), pod("api", "n1", "10.244.0.2/32", "app: api"), from_api()})},
      {"two endpoints with one address, both match",
       state_of({local_web(),
                 remote_api(),
                 pod("api2", "n2", "10.244.1.1/32", "app: api"),
                 from_api()})},
      {"two local endpoints claim one address",
       state_of({local_web(), pod("zeb", "n1", "10.244.0.1/32")})},
      {"the policy moved to a tier that exists",
       state_of({local_web(),
                 remote_api(),
                 tier("sec", "order: 10"),
                 np("from-api",
                    "tier: sec, selector: app == 'web', ingress: [{action: Pass, source: "
                    "{selector: app == 'api'}}]")})},
      {"the policy is in a tier that is missing",
       state_of({local_web(),
                 remote_api(),
                 np("from-api",
                    "tier: sec, selector: app == 'web', ingress: [{action: Pass, source: "
                    "{selector: app == 'api'}}]")})},
      {"a tier whose default is Pass",
       state_of({local_web(),
                 remote_api(),
                 from_api(),
                 tier("sec", "order: 10, defaultAction: Pass"),
                 gnp("log", "tier: sec, selector: all(), ingress: [{action: Log}]")})},
      {"an empty tier", state_of({local_web(), from_api(), tier("sec", "order: 10")})},
      {"two tiers, Pass in the first, decided in the second",
       state_of({local_web(),
                 remote_api(),
                 from_api(),
                 tier("sec", "order: 10"),
                 gnp("pass-api",
                     "tier: sec, selector: all(), ingress: [{action: Pass, source: {selector: app "
                     "== 'api'}}, {action: Deny}]")})},
      {"policies in the order of their order",
       state_of({local_web(),
                 gnp("a", "order: 20, selector: all(), ingress: [{action: Deny}]"),
                 gnp("b", "order: 10, selector: all(), ingress: [{action: Allow}]")})},
      {"the same with orders swapped",
       state_of({local_web(),
                 gnp("a", "order: 10, selector: all(), ingress: [{action: Deny}]"),
                 gnp("b", "order: 20, selector: all(), ingress: [{action: Allow}]")})},
      {"egress only",
       state_of({local_web(),
                 remote_api(),
                 np("out",
                    "selector: all(), egress: [{action: Allow, destination: {nets: [10.0.0.0/8, "
                    "192.168.0.0/16]}}]")})},
      {"both directions in one policy",
       state_of({local_web(),
                 remote_api(),
                 np("both",
                    "selector: all(), types: [Ingress, Egress], ingress: [{action: Allow}], "
                    "egress: [{action: Deny, protocol: UDP}]")})},
      {"namespace labels decide",
       state_of({local_web(),
                 pod("api", "n2", "10.244.1.1/32", "app: api", "prod"),
                 ns("prod", "env: prod"),
                 np("env",
                    "selector: app == 'web', ingress: [{action: Allow, source: {namespaceSelector: "
                    "env == 'prod'}}]")})},
      {"the namespace lost its label",
       state_of({local_web(),
                 pod("api", "n2", "10.244.1.1/32", "app: api", "prod"),
                 ns("prod", "env: test"),
                 np("env",
                    "selector: app == 'web', ingress: [{action: Allow, source: {namespaceSelector: "
                    "env == 'prod'}}]")})},
      {"the namespace has no object",
       state_of({local_web(),
                 pod("api", "n2", "10.244.1.1/32", "app: api", "prod"),
                 np("env",
                    "selector: app == 'web', ingress: [{action: Allow, source: {namespaceSelector: "
                    "env == 'prod'}}]")})},
      {"Kubernetes isolation",
       state_of({local_web(), knp("deny", "podSelector: {}, policyTypes: [Ingress]")})},
      {"Kubernetes peers",
       state_of({local_web(),
                 remote_api(),
                 knp("peers",
                     "podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: "
                     "{matchLabels: {app: api}}}, {ipBlock: {cidr: 10.0.0.0/8, except: "
                     "[10.1.0.0/16]}}], "
                     "ports: [{port: 80}, {protocol: UDP, port: 53, endPort: 60}]}]")})},
      {"no profile: closed",
       state_of({pod("web", "n1", "10.244.0.1/32", "app: web", "default", "other")})},
      {"IPv6 and IPv4",
       state_of({pod("web", "n1", "10.244.0.1/32, fd00::1/128", "app: web"),
                 pod("api", "n2", "fd00::2/128", "app: api"),
                 from_api()})},
      {"negated selector",
       state_of({local_web(),
                 remote_api(),
                 np("not",
                    "selector: app == 'web', ingress: [{action: Deny, source: {notSelector: app == "
                    "'api'}}, {action: Allow}]")})},
      {"two policies share a selector",
       state_of({local_web(),
                 remote_api(),
                 from_api(),
                 np("again",
                    "selector: all(), ingress: [{action: Allow, protocol: UDP, source: {selector: "
                    "app == \"api\"}, destination: {ports: [53, '100:200']}}]")})},
      {"the endpoint moved to another node",
       state_of({pod("web", "n2", "10.244.0.1/32", "app: web"), remote_api(), from_api()})},
      {"the interface has another name",
       state_of({resource("{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: "
                          "{name: web, namespace: default, labels: {app: web}}, spec: "
                          "{node: n1, interfaceName: mgyother, ipNetworks: [10.244.0.1/32], "
                          "profiles: [kns.default]}}"),
                 remote_api(),
                 from_api()})},
      {"two local endpoints name one interface",
       state_of({local_web(), remote_api(), from_api(), same_interface("zeb")})},
      {"the first of the two is gone", state_of({remote_api(), from_api(), same_interface("zeb")})},
      {"an earlier one names it, too",
       state_of({local_web(), remote_api(), from_api(), same_interface("aaa")})},
      {"two endpoints swapped their interfaces",
       state_of({local_on("web", "mgyapi"), local_on("api", "mgyweb"), from_api()})},
      {"and back", state_of({local_on("web", "mgyweb"), local_on("api", "mgyapi"), from_api()})},
      {"hosts may be reached",
       state_of({local_web(),
                 resource("{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: "
                          "{name: default}, spec: {defaultEndpointToHostAction: Accept}}")})},
  };
}

// ---- documents as text, for states in which only the details differ

std::string document(const std::string& version,
                     const std::string& kind,
                     const std::string& metadata,
                     const std::string& spec) {
  return "apiVersion: " + version + "\nkind: " + kind + "\nmetadata: {" + metadata + "}\n" +
         (spec.empty() ? "" : "spec: {" + spec + "}\n") + "---\n";
}
std::string calico(const std::string& kind, const std::string& metadata, const std::string& spec) {
  return document("projectcalico.org/v3", kind, metadata, spec);
}

std::string endpoint(const std::string& name,
                     const std::string& node,
                     const std::string& addresses,
                     const std::string& labels,
                     const std::string& rest) {
  return calico("WorkloadEndpoint",
                "name: " + name + ", namespace: default, labels: {" + labels + "}",
                "node: " + node + ", orchestrator: cni, interfaceName: mgy" + name +
                    ", ipNetworks: [" + addresses + "], " + rest);
}
std::string wep(const std::string& name,
                const std::string& node,
                const std::string& addresses,
                const std::string& labels) {
  return endpoint(name, node, addresses, labels, "profiles: [kns.default]");
}
std::string wep_with_profiles(const std::string& name,
                              const std::string& node,
                              const std::string& addresses,
                              const std::string& labels,
                              const std::string& profiles) {
  return endpoint(name, node, addresses, labels, "profiles: [" + profiles + "]");
}
std::string wep_with_account(const std::string& name,
                             const std::string& node,
                             const std::string& addresses,
                             const std::string& account) {
  return endpoint(name,
                  node,
                  addresses,
                  "app: " + name,
                  "profiles: [kns.default], serviceAccountName: " + account);
}
std::string wep_with_port(const std::string& name,
                          const std::string& node,
                          const std::string& addresses,
                          const std::string& port,
                          const std::string& protocol,
                          int number) {
  return endpoint(name,
                  node,
                  addresses,
                  "app: " + name,
                  "profiles: [kns.default], ports: [{name: " + port + ", protocol: " + protocol +
                      ", port: " + std::to_string(number) + "}]");
}
std::string web() {
  return wep("web", "n1", "10.244.0.1/32", "app: web");
}
std::string api_pod() {
  return wep("api", "n2", "10.244.1.1/32", "app: api");
}
std::string global_policy(const std::string& name, const std::string& spec) {
  return calico("GlobalNetworkPolicy", "name: " + name, spec);
}
std::string from_api_text() {
  return calico("NetworkPolicy",
                "name: from-api, namespace: default",
                "selector: app == 'web', ingress: [{action: Allow, protocol: TCP, source: "
                "{selector: app == 'api'}, destination: {ports: [80]}}]");
}
std::string to_service() {
  return global_policy("svc",
                       "selector: app == 'web', egress: [{action: Allow, destination: {services: "
                       "{name: dns, namespace: default}}}]");
}
std::string to_named() {
  return global_policy("named",
                       "selector: app starts with 'web', ingress: [{action: Allow, protocol: TCP, "
                       "source: {selector: app == 'api'}, destination: {ports: [http]}}]");
}
std::string profile(const std::string& name, const std::string& spec) {
  return calico("Profile", "name: " + name, spec);
}
std::string account(const std::string& name, const std::string& labels) {
  return document("v1",
                  "ServiceAccount",
                  "name: " + name + ", namespace: default, labels: {" + labels + "}",
                  "");
}
std::string network_set(const std::string& name,
                        const std::string& labels,
                        const std::string& nets) {
  return calico("NetworkSet",
                "name: " + name + ", namespace: default, labels: {" + labels + "}",
                "nets: [" + nets + "]");
}
std::string global_network_set(const std::string& name,
                               const std::string& labels,
                               const std::string& nets) {
  return calico(
      "GlobalNetworkSet", "name: " + name + ", labels: {" + labels + "}", "nets: [" + nets + "]");
}
std::string slice(const std::string& name,
                  const std::string& service,
                  const std::string& addresses,
                  const std::string& protocol,
                  int port) {
  return "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " + name +
         ", namespace: default, labels: {kubernetes.io/service-name: " + service +
         "}}\naddressType: IPv4\nendpoints: [{addresses: [" + addresses +
         "]}]\nports: [{name: p, protocol: " + protocol + ", port: " + std::to_string(port) +
         "}]\n---\n";
}
std::string a_tier(const std::string& name, const std::string& spec) {
  return calico("Tier", "name: " + name, spec);
}
std::string staged(const std::string& name, const std::string& spec) {
  return calico("StagedGlobalNetworkPolicy", "name: " + name, spec);
}
std::string admin(const std::string& name, int priority, const std::string& rules) {
  return document(
      "policy.networking.k8s.io/v1alpha1",
      "AdminNetworkPolicy",
      "name: " + name,
      "priority: " + std::to_string(priority) + ", subject: {namespaces: {}}, " + rules);
}
std::string baseline(const std::string& rules) {
  return document("policy.networking.k8s.io/v1alpha1",
                  "BaselineAdminNetworkPolicy",
                  "name: default",
                  "subject: {namespaces: {}}, " + rules);
}
std::string a_node(const std::string& name, const std::string& labels, const std::string& address) {
  return calico("Node",
                "name: " + name + ", labels: {" + labels + "}",
                "addresses: [{address: " + address + ", type: InternalIP}]");
}
std::string pool(const std::string& name, const std::string& cidr, const std::string& rest) {
  return calico("IPPool", "name: " + name, "cidr: " + cidr + (rest.empty() ? "" : ", " + rest));
}
std::string felix(const std::string& spec) {
  return calico("FelixConfiguration", "name: default", spec);
}
std::string host_endpoint(const std::string& name, const std::string& spec) {
  return calico("HostEndpoint", "name: " + name + ", labels: {role: host}", "node: n1, " + spec);
}

State state_of_text(const std::string& documents) {
  State state;
  for (const api::Document& document : api::decode_documents(documents)) {
    REQUIRE_MESSAGE(
        document.resource,
        (document.resource ? std::string() : document.resource.error().text + "\n" + documents));
    state.emplace(document.resource->key(),
                  std::make_shared<const api::Resource>(*document.resource));
  }
  return state;
}

struct TextState {
  const char* name;
  std::string documents;
};

std::vector<TextState> unusual_states() {
  return {
      {"two remote endpoints with one address, one of them left",
       web() + from_api_text() + wep("api2", "n2", "10.244.1.1/32", "app: api")},
      {"an endpoint without an address",
       web() + from_api_text() + wep("api", "n2", "", "app: api")},
      {"an endpoint with many addresses",
       web() + from_api_text() +
           wep("api", "n2", "10.244.1.1/32, 10.244.1.2/32, fd00::1/128, fd00::2/128", "app: api")},
      {"an address that moved from a remote endpoint to a local one",
       from_api_text() + wep("web", "n1", "10.244.1.1/32", "app: web")},
      {"a label that looks inherited",
       web() + from_api_text() + wep("api", "n2", "10.244.1.1/32", "app: x, pcns.env: prod") +
           global_policy("env",
                         "selector: app == 'web', ingress: [{action: Allow, source: "
                         "{namespaceSelector: env == 'prod'}}]")},
      {"a label with an empty value",
       web() + wep("api", "n2", "10.244.1.1/32", "app: \"\"") +
           global_policy(
               "empty",
               "selector: app == 'web', ingress: [{action: Allow, source: {selector: has(app)}}]")},
      {"labels inherited from a profile",
       web() + wep_with_profiles("api", "n2", "10.244.1.1/32", "x: y", "own") +
           profile("own", "labelsToApply: {app: api}") + from_api_text()},
      {"the profile applies another label",
       web() + wep_with_profiles("api", "n2", "10.244.1.1/32", "x: y", "own") +
           profile("own", "labelsToApply: {app: other}") + from_api_text()},
      {"the profile is gone, its user is not",
       web() + wep_with_profiles("api", "n2", "10.244.1.1/32", "x: y", "own") + from_api_text()},
      {"the profile is left by one of two endpoints",
       web() + wep_with_profiles("api", "n2", "10.244.1.1/32", "x: y", "own") +
           wep("api2", "n2", "10.244.1.2/32", "x: y") +
           profile("own", "labelsToApply: {app: api}") + from_api_text()},
      {"a profile with rules decides where no policy does",
       wep_with_profiles("web", "n1", "10.244.0.1/32", "app: web", "own") +
           profile("own",
                   "ingress: [{action: Allow, source: {selector: app == 'api'}}], egress: "
                   "[{action: Allow}]") +
           api_pod()},
      {"two profiles, the first knows one flow",
       wep_with_profiles("web", "n1", "10.244.0.1/32", "app: web", "own, other") +
           profile("own", "ingress: [{action: Deny, protocol: UDP}]") +
           profile("other", "ingress: [{action: Allow}]")},
      {"the profile of the namespace has rules of its own",
       web() + profile("kns.default", "ingress: [{action: Deny}]")},
      {"a service account's labels decide",
       web() + wep_with_account("api", "n2", "10.244.1.1/32", "sa1") +
           account("sa1", "role: client") +
           global_policy("sa",
                         "selector: app == 'web', ingress: [{action: Allow, source: "
                         "{serviceAccounts: {selector: role == 'client'}}}]")},
      {"the account lost its label",
       web() + wep_with_account("api", "n2", "10.244.1.1/32", "sa1") +
           account("sa1", "role: none") +
           global_policy("sa",
                         "selector: app == 'web', ingress: [{action: Allow, source: "
                         "{serviceAccounts: {selector: role == 'client'}}}]")},
      {"the account has no object; the name is enough",
       web() + wep_with_account("api", "n2", "10.244.1.1/32", "sa1") +
           global_policy("sa",
                         "selector: app == 'web', ingress: [{action: Allow, source: "
                         "{serviceAccounts: {names: [sa1]}}}]")},
      {"the subject is told by its account",
       wep_with_account("web", "n1", "10.244.0.1/32", "sa1") +
           global_policy("sa",
                         "serviceAccountSelector: role == 'server', ingress: [{action: Deny}]") +
           account("sa1", "role: server")},
      {"a network set matches",
       web() + from_api_text() +
           network_set("partners", "app: api", "198.51.100.0/24, 203.0.113.7/32")},
      {"networks of a set that hold each other",
       web() + from_api_text() +
           network_set(
               "partners", "app: api", "10.0.0.0/8, 10.1.0.0/16, 10.1.2.0/24, 10.1.2.3/32")},
      {"the middle one goes away under its ancestor",
       web() + from_api_text() +
           network_set("partners", "app: api", "10.0.0.0/8, 10.1.2.0/24, 10.1.2.3/32")},
      {"the ancestor goes away",
       web() + from_api_text() + network_set("partners", "app: api", "10.1.2.0/24, 10.1.2.3/32")},
      {"two sets with overlapping networks",
       web() + from_api_text() + network_set("one", "app: api", "10.0.0.0/8") +
           network_set("two", "app: api", "10.0.0.0/9, 10.128.0.0/9")},
      {"one of the two is left",
       web() + from_api_text() + network_set("two", "app: api", "10.0.0.0/9, 10.128.0.0/9")},
      {"a global network set, for a global policy",
       web() +
           global_policy("partners",
                         "selector: app == 'web', ingress: [{action: Allow, source: {selector: "
                         "kind == 'partner'}}]") +
           global_network_set("partners", "kind: partner", "198.51.100.0/24, 2001:db8::/32")},
      {"every address there is",
       web() +
           global_policy("partners",
                         "selector: app == 'web', ingress: [{action: Allow, source: {selector: "
                         "kind == 'partner'}}]") +
           global_network_set("partners", "kind: partner", "0.0.0.0/0, ::/0")},
      {"a set whose one network is a host's, which an endpoint has, too",
       web() + api_pod() + from_api_text() + network_set("host", "app: api", "10.244.1.1/32")},
      {"a negated selector meets a network set",
       web() +
           global_policy("not",
                         "selector: app == 'web', ingress: [{action: Allow, source: {notSelector: "
                         "kind == 'partner'}}]") +
           global_network_set("partners", "kind: partner", "198.51.100.0/24")},
      {"a service leads to two endpoints",
       web() + to_service() + slice("dns-1", "dns", "10.244.1.1, 10.244.1.2", "UDP", 53)},
      {"the slice has other addresses",
       web() + to_service() + slice("dns-1", "dns", "10.244.1.3", "UDP", 53)},
      {"a second slice overlaps",
       web() + to_service() + slice("dns-1", "dns", "10.244.1.1", "UDP", 53) +
           slice("dns-2", "dns", "10.244.1.1, 10.244.1.4", "UDP", 53)},
      {"the second one has another port",
       web() + to_service() + slice("dns-1", "dns", "10.244.1.1", "UDP", 53) +
           slice("dns-2", "dns", "10.244.1.1", "TCP", 5353)},
      {"a slice of another service",
       web() + to_service() + slice("dns-1", "other", "10.244.1.1", "UDP", 53)},
      {"a service as the source",
       web() +
           global_policy("svc",
                         "selector: app == 'web', ingress: [{action: Allow, source: {services: "
                         "{name: dns, namespace: default}}}]") +
           slice("dns-1", "dns", "10.244.1.1", "UDP", 53)},
      {"nobody has made the service", web() + to_service()},
      {"a named port of two numbers",
       api_pod() + wep_with_port("web", "n1", "10.244.0.1/32", "http", "TCP", 80) +
           wep_with_port("web2", "n1", "10.244.0.2/32", "http", "TCP", 8080) + to_named()},
      {"the name has another protocol",
       api_pod() + wep_with_port("web", "n1", "10.244.0.1/32", "http", "UDP", 80) +
           wep_with_port("web2", "n1", "10.244.0.2/32", "http", "TCP", 8080) + to_named()},
      {"a negated named port",
       wep_with_port("web", "n1", "10.244.0.1/32", "http", "TCP", 80) +
           global_policy("notport",
                         "selector: all(), ingress: [{action: Allow, protocol: TCP, destination: "
                         "{notPorts: [http, 22]}}]")},
      {"a name beside numbers and a selector",
       web() + wep_with_port("api", "n2", "10.244.1.1/32", "http", "TCP", 80) +
           global_policy("out",
                         "selector: app == 'web', egress: [{action: Allow, protocol: TCP, "
                         "destination: {selector: has(app), ports: [http, 443, '8000:8010']}}]")},
      {"more ports than Calico takes in one rule",
       web() + global_policy(
                   "many",
                   "selector: all(), ingress: [{action: Allow, protocol: TCP, destination: {ports: "
                   "[1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, '100:200']}}]")},
      {"and as many that are excluded",
       web() +
           global_policy(
               "many",
               "selector: all(), ingress: [{action: Allow, protocol: TCP, destination: {notPorts: "
               "[1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, '100:200']}}]")},
      {"networks on both sides, some excluded",
       web() + global_policy("nets",
                             "selector: all(), ingress: [{action: Allow, source: {nets: "
                             "[10.0.0.0/8, 192.168.0.0/16], notNets: [10.1.0.0/16, 10.2.0.0/16]}, "
                             "destination: {nets: [10.244.0.0/16, 10.245.0.0/16]}}]")},
      {"a family that networks leave empty",
       web() + global_policy("v6",
                             "selector: all(), ingress: [{action: Allow, ipVersion: 4, source: "
                             "{nets: [10.0.0.0/8]}}, {action: Deny, protocol: ICMPv6}]")},
      {"ICMP by type and code, and without them",
       web() +
           global_policy("icmp",
                         "selector: all(), ingress: [{action: Allow, protocol: ICMP, icmp: {type: "
                         "8}}, {action: Deny, protocol: ICMP, notICMP: {type: 3, code: 4}}, "
                         "{action: Allow, protocol: ICMPv6, icmp: {type: 128, code: 0}}]")},
      {"Log before Deny",
       web() + global_policy("log",
                             "selector: all(), ingress: [{action: Log, protocol: TCP}, {action: "
                             "Deny, protocol: TCP}, {action: Log}]")},
      {"Pass in the last tier",
       web() + global_policy("pass", "selector: all(), ingress: [{action: Pass}]")},
      {"a policy without rules, both directions",
       web() + global_policy("none", "selector: all(), types: [Ingress, Egress]")},
      {"a policy that lost a direction",
       web() + global_policy("none", "selector: all(), types: [Egress]")},
      {"only staged policies in a tier",
       web() + a_tier("sec", "order: 10") +
           staged("sec.try", "tier: sec, selector: all(), ingress: [{action: Deny}]")},
      {"a staged policy between enforced ones",
       web() + api_pod() + from_api_text() +
           staged("try", "order: 1, selector: all(), ingress: [{action: Deny}]")},
      {"administrators before and behind",
       web() + api_pod() + from_api_text() +
           admin("first", 5, "ingress: [{action: Pass, from: [{namespaces: {}}]}]") +
           admin("second",
                 10,
                 "ingress: [{action: Deny, from: [{namespaces: {}}], ports: [{portNumber: "
                 "{protocol: TCP, port: 22}}]}]") +
           baseline("ingress: [{action: Deny, from: [{namespaces: {}}]}]")},
      {"their priorities swapped",
       web() + api_pod() + from_api_text() +
           admin("first", 10, "ingress: [{action: Pass, from: [{namespaces: {}}]}]") +
           admin("second",
                 5,
                 "ingress: [{action: Deny, from: [{namespaces: {}}], ports: [{portNumber: "
                 "{protocol: TCP, port: 22}}]}]")},
      {"nodes as peers",
       web() + a_node("n2", "rack: one", "192.0.2.2") + a_node("n3", "rack: two", "192.0.2.3") +
           admin(
               "nodes", 5, "egress: [{action: Deny, to: [{nodes: {matchLabels: {rack: one}}}]}]")},
      {"two nodes with one address",
       web() + a_node("n2", "rack: one", "192.0.2.2") + a_node("n3", "rack: one", "192.0.2.2") +
           admin(
               "nodes", 5, "egress: [{action: Deny, to: [{nodes: {matchLabels: {rack: one}}}]}]")},
      {"one of the two has another rack",
       web() + a_node("n2", "rack: one", "192.0.2.2") + a_node("n3", "rack: two", "192.0.2.2") +
           admin(
               "nodes", 5, "egress: [{action: Deny, to: [{nodes: {matchLabels: {rack: one}}}]}]")},
      {"names as peers, and who is trusted with them",
       web() +
           admin("names",
                 5,
                 "egress: [{action: Allow, to: [{domainNames: [www.example.org, "
                 "'*.example.net']}]}]") +
           felix("dnsTrustedServers: [192.0.2.53, 10.96.0.0/24, k8s-service:default/dns]") +
           slice("dns-1", "dns", "10.244.1.1", "UDP", 53)},
      {"the same names, trusted to nobody",
       web() +
           admin("names",
                 5,
                 "egress: [{action: Allow, to: [{domainNames: [www.example.org, "
                 "'*.example.net']}]}]") +
           felix("dnsTrustedServers: []")},
      {"two endpoints that may send from elsewhere",
       felix("workloadSourceSpoofing: Any") +
           endpoint("web",
                    "n1",
                    "10.244.0.1/32",
                    "app: web",
                    "profiles: [kns.default], allowSpoofedSourcePrefixes: [198.51.100.0/24]") +
           endpoint("zeb",
                    "n1",
                    "10.244.0.2/32",
                    "app: web",
                    "profiles: [kns.default], allowSpoofedSourcePrefixes: [198.51.100.0/24]")},
      {"one of them from another network, too",
       felix("workloadSourceSpoofing: Any") + web() +
           endpoint("zeb",
                    "n1",
                    "10.244.0.2/32",
                    "app: web",
                    "profiles: [kns.default], allowSpoofedSourcePrefixes: [198.51.100.0/24, "
                    "203.0.113.0/24]")},
      {"and now nobody may",
       felix("workloadSourceSpoofing: Disabled") + web() +
           endpoint("zeb",
                    "n1",
                    "10.244.0.2/32",
                    "app: web",
                    "profiles: [kns.default], allowSpoofedSourcePrefixes: [198.51.100.0/24, "
                    "203.0.113.0/24]")},
      {"a pool that is masqueraded, beside one that is not",
       web() + pool("pods", "10.244.0.0/16", "natOutgoing: true") +
           pool("other", "10.245.0.0/16", "disabled: true") + a_node("n2", "", "192.0.2.2") +
           a_node("n3", "", "10.245.0.9")},
      {"a pool inside another, and a node that is gone",
       web() + pool("pods", "10.244.0.0/16", "natOutgoing: true") +
           pool("part", "10.244.64.0/18", "natOutgoing: true") + a_node("n3", "", "192.0.2.3")},
      {"only to pools are packets left alone, both families",
       web() + pool("pods", "10.244.0.0/16", "natOutgoing: true") +
           pool("pods6", "fd00:10:244::/64", "natOutgoing: true") + a_node("n2", "", "192.0.2.2") +
           felix("natOutgoingExclusions: IPPoolsOnly, natPortRange: '32768:65535'")},
      {"nothing is masqueraded any more",
       web() + pool("pods", "10.244.0.0/16", "") + a_node("n2", "", "192.0.2.2")},
      {"a published port, at every address and at one of both families",
       endpoint("web",
                "n1",
                "10.244.0.2/32, 'fd00::2/128'",
                "app: web",
                "ports: [{protocol: TCP, port: 80, hostPort: 8080}, {protocol: UDP, port: 53, "
                "hostPort: 53, hostIP: 192.0.2.1}]")},
      {"two workloads claim the port, one leads it elsewhere",
       endpoint("web",
                "n1",
                "10.244.0.2/32, 'fd00::2/128'",
                "app: web",
                "ports: [{protocol: TCP, port: 81, hostPort: 8080}]") +
           endpoint("aaa",
                    "n1",
                    "10.244.0.3/32",
                    "app: web",
                    "ports: [{protocol: TCP, port: 80, hostPort: 8080, hostIP: 0.0.0.0}]")},
      {"a published port beside natOutgoing",
       endpoint("web",
                "n1",
                "10.244.0.2/32",
                "app: web",
                "ports: [{protocol: TCP, port: 80, hostPort: 8080}]") +
           pool("pods", "10.244.0.0/16", "natOutgoing: true")},
      {"a host endpoint by name",
       web() + host_endpoint("uplink", "interfaceName: eth0") +
           global_policy("hosts",
                         "selector: role == 'host', ingress: [{action: Allow, protocol: TCP, "
                         "destination: {ports: [9100]}}]")},
      {"forward, pre-DNAT and untracked policies",
       web() + host_endpoint("uplink", "interfaceName: eth0") +
           global_policy("fwd",
                         "selector: role == 'host', applyOnForward: true, egress: [{action: Deny, "
                         "protocol: UDP}]") +
           global_policy("pre",
                         "selector: role == 'host', applyOnForward: true, preDNAT: true, types: "
                         "[Ingress], ingress: [{action: Deny, source: {nets: [203.0.113.0/24]}}]") +
           global_policy("raw",
                         "selector: role == 'host', applyOnForward: true, doNotTrack: true, "
                         "ingress: [{action: Allow, protocol: UDP}]")},
      {"the untracked policy is tracked now",
       web() + host_endpoint("uplink", "interfaceName: eth0") +
           global_policy("raw",
                         "selector: role == 'host', applyOnForward: true, ingress: [{action: "
                         "Allow, protocol: UDP}]")},
      {"a host endpoint for all interfaces, and local workloads",
       web() + host_endpoint("all", "interfaceName: '*'") +
           global_policy("hosts", "selector: all(), ingress: [{action: Deny, protocol: UDP}]")},
      {"a host endpoint that follows an address, failsafes with networks",
       web() + host_endpoint("uplink", "expectedIPs: [192.0.2.1]") +
           felix("failsafeInboundHostPorts: [{protocol: TCP, port: 22, net: 10.0.0.0/8}], "
                 "failsafeOutboundHostPorts: []")},
      {"host endpoints of others are peers",
       web() +
           "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: far, labels: "
           "{app: api}}\nspec: {node: n2, interfaceName: eth0, expectedIPs: [192.0.2.2]}\n---\n" +
           global_policy("from-hosts",
                         "selector: app == 'web', ingress: [{action: Allow, source: {selector: app "
                         "== 'api'}}]")},
  };
}

}  // namespace

std::vector<NamedState> all_states() {
  std::vector<NamedState> states = first_states();
  for (const TextState& state : unusual_states()) {
    states.push_back({state.name, state_of_text(state.documents)});
  }
  return states;
}

}  // namespace margay::test
