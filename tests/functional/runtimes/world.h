#pragma once
// What the tests of container runtimes share: two nodes with an agent each, a root file system of
// busybox alone, and commands in the network of a node with the files of the machine.

#include "tests/functional/support/cluster.h"
#include "tests/functional/support/leftovers.h"

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

namespace margay::lab {

void write_file(const std::filesystem::path& path, const std::string& text);
// Runs on the machine, with its files and networks; at most this long.
ExecResult run_shell(const std::string& line,
                     std::chrono::milliseconds timeout = std::chrono::seconds(60));

class RuntimeWorld {
 public:
  // The topology `pair` under this name, both agents ready.
  explicit RuntimeWorld(const std::string& name);
  ~RuntimeWorld();
  RuntimeWorld(const RuntimeWorld&) = delete;
  RuntimeWorld& operator=(const RuntimeWorld&) = delete;

  Cluster& cluster() { return *cluster_; }
  [[nodiscard]] const Node& node(const std::string& name) { return cluster_->lab().node(name); }
  // Files of a node's runtime; gone with the world.
  [[nodiscard]] std::filesystem::path home(const std::string& node) const {
    return scratch_ / node;
  }
  [[nodiscard]] std::filesystem::path rootfs() const { return scratch_ / "rootfs"; }

  // What the first container of a node leaves on purpose is there; more must not come.
  [[nodiscard]] Traces traces(const std::string& name) { return traces_of(node(name)); }
  // Waits until the node is as it was; else says what is left.
  [[nodiscard]] std::string left_since(const std::string& name, const Traces& before);

 private:
  std::filesystem::path scratch_;
  std::unique_ptr<Cluster> cluster_;
};

// The configuration list that a runtime gets, with these capabilities declared on margay itself.
[[nodiscard]] std::string conflist(const std::filesystem::path& run_dir);
// A script of busybox: a web server on port 80 that says `text`, and one that asks such a server.
[[nodiscard]] std::string serving(const std::string& text);
[[nodiscard]] std::string asking(const std::string& host, unsigned port = 80);

// How many containers come and go: `usual`, or as many as a soak asks for (MARGAY_CONTAINERS).
[[nodiscard]] unsigned container_count(unsigned usual);

}  // namespace margay::lab
