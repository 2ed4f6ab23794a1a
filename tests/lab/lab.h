#pragma once
// A lab: a topology built from network namespaces, veth links and host processes, without Docker.
//
//   auto lab = Lab::up("containerlab/leaf-spine/leaf-spine.clab.yml");
//   lab->node("leaf1").exec({"birdc", "show", "protocols"});
//   auto pod = lab->add_pod("node1", {.name = "web-1", .labels = {{"app", "web"}}});
//   lab->node("web-1").exec({"margay-probe", "connect", "10.244.0.2:80"});
//
// Namespaces are named LAB-NODE and LAB-POD, so several labs stand side by side. The order of up
// is: namespaces, links, `exec` commands, main processes, pods. The destructor takes everything
// down unless keep() was called. exec, spawn and the process functions may be called from several
// threads.

#include "tests/lab/lab_state.h"
#include "tests/lab/process.h"
#include "tests/lab/topology.h"

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace margay::lab {

struct LabOptions {
  std::string name;  // empty: the topology's
  std::filesystem::path state_root = "/dev/shm/margay-lab";
  std::filesystem::path bin_dir;  // where margayd, margay-probe... are; empty: beside this program
  bool start = true;              // main processes and pods; false: a test starts them
  bool run_exec = true;           // the topology's exec commands
  bool replace = false;           // take down a lab of that name first
  Environment env = {};           // of everything in it, beside the topology's
};

struct ExecOptions {
  Environment env = {};
  std::string input = {};
  std::chrono::milliseconds timeout{30000};
};

class Node {
 public:
  Node(const LabState& state, NodeSpec spec, std::string netns, Environment env);

  [[nodiscard]] const std::string& name() const { return spec_.name; }
  [[nodiscard]] const NodeSpec& spec() const { return spec_; }
  [[nodiscard]] const std::string& netns() const { return netns_; }
  [[nodiscard]] std::filesystem::path dir() const { return state_->dir() / spec_.name; }
  [[nodiscard]] std::filesystem::path netns_path() const { return "/run/netns/" + netns_; }

  // A command that cannot be started is rc 127 with the reason in err.
  [[nodiscard]] ExecResult exec(const std::vector<std::string>& argv,
                                const ExecOptions& options = {}) const;
  [[nodiscard]] ExecResult shell(const std::string& script) const {
    return exec({"sh", "-c", script});
  }
  // A process that goes on; its output is in log(role).
  [[nodiscard]] Result<ProcessId> spawn(const std::string& role,
                                        const std::vector<std::string>& argv,
                                        const Environment& env = {}) const;
  [[nodiscard]] std::filesystem::path log(const std::string& role) const {
    return dir() / "log" / (role + ".log");
  }
  [[nodiscard]] std::string read_log(const std::string& role) const;

  // The main processes: bird; zebra, staticd, bgpd; gobgpd; margayd; margay-bgpd. Nothing for linux
  // and pod.
  Result<void> start(const Environment& extra = {});
  Result<void> stop();  // SIGTERM, then waits
  Result<void> kill();  // SIGKILL, then waits
  [[nodiscard]] bool running() const;
  [[nodiscard]] std::vector<ProcessRecord> main_processes() const;

 private:
  friend class Lab;
  [[nodiscard]] Command command(const std::vector<std::string>& argv, const Environment& env) const;
  Result<void> end_main(int signal);

  const LabState* state_;
  NodeSpec spec_;
  std::string netns_;
  Environment env_;
  ProcessId holder_;
};

struct PodSpec {
  std::string name;
  std::string ns = "default";
  std::map<std::string, std::string> labels = {};
  bool ipv6 = false;                // an IPv6 address beside the IPv4 one
  std::string runtime_config = {};  // of CNI, as JSON
};

struct Pod {
  std::string name;
  std::string ns;
  std::string node;
  std::string container_id;
  std::string address;   // without a length
  std::string address6;  // empty: none
  std::chrono::microseconds add_time{};
};

class Lab {
 public:
  static Result<Lab> up(const std::filesystem::path& file, const LabOptions& options = {});
  static Result<Lab> attach(const std::filesystem::path& file,
                            const LabOptions& options = {});  // does not take down
  ~Lab();
  Lab(Lab&&) noexcept;
  Lab& operator=(Lab&&) noexcept;
  Lab(const Lab&) = delete;
  Lab& operator=(const Lab&) = delete;

  [[nodiscard]] const std::string& name() const;
  [[nodiscard]] const Topology& topology() const;
  [[nodiscard]] std::filesystem::path dir() const;  // containerlab's __clabDir__
  [[nodiscard]] bool has_node(const std::string& name) const;
  // A node of the topology or a pod; the name must be known.
  [[nodiscard]] Node& node(const std::string& name);
  [[nodiscard]] std::vector<std::string> nodes_of_kind(NodeKind kind) const;
  // What the topology declares: main processes of every node, then its pods.
  Result<void> start();

  // Runs the CNI plugin as a runtime would, in the node. remove_pod is DEL and then the end of the
  // namespace.
  Result<Pod> add_pod(const std::string& node, const PodSpec& spec);
  Result<void> remove_pod(const std::string& name);
  [[nodiscard]] const std::vector<Pod>& pods() const;
  [[nodiscard]] const Pod& pod(const std::string& name) const;

  Result<void> down();
  void keep();  // the destructor leaves the lab up

 private:
  struct State;
  explicit Lab(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace margay::lab
