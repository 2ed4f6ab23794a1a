#pragma once
// A lab as written in containerlab's own *.clab.yml: nodes, links, files bound into nodes,
// commands.
//
// Only what a lab without Docker needs is read; fields that matter to containers alone (image,
// ports, mgmt...) are tolerated, as containerlab itself tolerates what a kind does not use. What
// runs inside a node is decided by the label `margay-kind`, so that `kind: linux` stays what
// containerlab deploys. Settings cascade defaults < kinds < groups < node.

#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace margay::lab {

enum class NodeKind : std::uint8_t { kLinux, kBird, kFrr, kGobgp, kMargay, kSpeaker, kPod };

std::string_view to_string(NodeKind kind);

struct Bind {
  std::filesystem::path source;  // absolute, or relative to the topology file
  std::string target;
  bool read_only = false;

  bool operator==(const Bind&) const = default;
};

struct NodeSpec {
  std::string name;
  NodeKind kind = NodeKind::kLinux;
  std::vector<Bind> binds;
  std::vector<std::string> exec;  // split like a shell would, run without one
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> env;
  std::map<std::string, std::string> sysctls;

  [[nodiscard]] std::string label(const std::string& key) const;  // "" when absent

  bool operator==(const NodeSpec&) const = default;
};

struct LinkEnd {
  std::string node;
  std::string interface;

  bool operator==(const LinkEnd&) const = default;
};

struct LinkSpec {
  LinkEnd a;
  LinkEnd b;
  std::uint32_t mtu = 0;  // 0: the kernel's default

  bool operator==(const LinkSpec&) const = default;
};

struct Topology {
  std::string name;
  std::filesystem::path file;
  std::vector<NodeSpec> nodes;  // in the order of the file
  std::vector<LinkSpec> links;

  [[nodiscard]] const NodeSpec* find(std::string_view node) const;
  [[nodiscard]] std::filesystem::path directory() const { return file.parent_path(); }
};

// Errors name file and field: `a.clab.yml: topology.links[3].endpoints[0]: node "leaf9" is not in
// topology.nodes`.
Result<Topology> load_topology(const std::filesystem::path& file);
Result<Topology> parse_topology(std::string_view text, const std::filesystem::path& file);

// Splits a command line by white space with single quotes, double quotes and backslash; no
// expansion.
Result<std::vector<std::string>> split_command(std::string_view line);

// Replaces containerlab's magic variables __clabNodeName__, __clabDir__ and __clabNodeDir__.
std::string expand_magic(std::string text,
                         const std::string& node,
                         const std::filesystem::path& lab_dir);

}  // namespace margay::lab
