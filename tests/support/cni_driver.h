#pragma once
// A small container runtime's CNI side: runs a plugin as a runtime does (environment and standard
// input), and keeps what came back.
//
//   CniRuntime runtime{.plugin = bin + "/margay", .run_dir = lab + "/node1/run"};
//   const auto added = runtime.add({.container_id = "c1", .netns = "/var/run/netns/c1"});
//   added->addresses[0]  // 10.244.3.64
//   runtime.del({.container_id = "c1"});
//
// Everything may be called from several threads at once.

#include "base/ip_addr.h"
#include "base/result.h"

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace margay::test {

// One execution of a plugin. Empty variables are set empty, absent ones not at all.
struct CniCall {
  std::string plugin;  // path of the program
  std::map<std::string, std::string> environment;
  std::string config;  // standard input
  std::chrono::milliseconds limit{30000};
};
struct CniAnswer {
  int exit_code = -1;  // 128 + signal when killed; -1 when it could not be started
  std::string out;
  std::string err;
  std::chrono::microseconds took{0};  // start to exit
};
[[nodiscard]] CniAnswer run_cni(const CniCall& call);

struct CniPod {
  std::string container_id;
  std::string netns;  // path; may be empty for DEL
  std::string ifname = "eth0";
  std::string ns;    // K8S_POD_NAMESPACE; both empty: no Kubernetes identity
  std::string name;  // K8S_POD_NAME
  std::map<std::string, std::string> labels;
  std::string prev_result;     // JSON of the ADD, for CHECK and DEL
  std::string runtime_config;  // JSON of the capabilities' arguments; empty: none
};

struct CniAdded {
  std::vector<IpAddr> addresses;
  std::string host_interface;
  std::string json;  // the whole result
  std::chrono::microseconds took{0};
};

struct CniRuntime {
  std::string plugin;
  std::string run_dir;
  std::string version = "1.0.0";
  std::string network = "margay";
  unsigned timeout_s = 10;
  bool ipv4 = true;
  bool ipv6 = false;
  std::vector<std::string> ipv4_pools;
  std::chrono::milliseconds kill_after{0};  // the plugin gets SIGKILL then; 0: never

  [[nodiscard]] std::string config(const CniPod& pod) const;
  [[nodiscard]] CniAnswer call(const std::string& verb, const CniPod& pod) const;
  // Errors carry the plugin's code and msg: `ADD c1: code 11: ...`.
  [[nodiscard]] Result<CniAdded> add(const CniPod& pod) const;
  [[nodiscard]] Result<void> del(const CniPod& pod) const;
  [[nodiscard]] Result<void> check(const CniPod& pod) const;
};

}  // namespace margay::test
