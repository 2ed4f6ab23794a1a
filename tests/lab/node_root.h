#pragma once
// What makes a node look like a machine of its own: its network namespace, plus a mount and a UTS
// namespace.
//
//   /run              private (shares /run/netns with the host, so that namespaces of pods are seen
//   by path) /etc, /var        the host's, with the node's own changes on top (overlay) /sys that
//   of the node's network namespace binds             files of the topology at their targets
//
// A process that does nothing holds the namespaces; its death and the deletion of the network
// namespace remove all.

#include "tests/lab/process.h"
#include "tests/lab/topology.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace margay::lab {

struct NodeRoot {
  std::string netns;  // name below /run/netns
  std::string hostname;
  std::filesystem::path dir;                   // the node's files on the host: run/ etc/ var/ log/
  std::vector<Bind> binds;                     // absolute sources
  std::map<std::string, std::string> sysctls;  // "net.ipv4.ip_forward" -> "1"
};

// Makes the directories on the host side.
Result<void> prepare_directories(const NodeRoot& root);

// Enters fresh namespaces and builds the view above. Runs in a forked child, before exec.
Result<void> enter_fresh_root(const NodeRoot& root);

}  // namespace margay::lab
