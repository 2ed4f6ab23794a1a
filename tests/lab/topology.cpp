#include "tests/lab/topology.h"

#include "base/strong.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

namespace margay::lab {
namespace {

constexpr std::size_t kMaxInterfaceLength = 15;  // IFNAMSIZ - 1

struct KindName {
  std::string_view name;
  NodeKind kind;
};
constexpr auto kKinds = std::to_array<KindName>({{"linux", NodeKind::kLinux},
                                                 {"bird", NodeKind::kBird},
                                                 {"frr", NodeKind::kFrr},
                                                 {"gobgp", NodeKind::kGobgp},
                                                 {"margay", NodeKind::kMargay},
                                                 {"margay-bgpd", NodeKind::kSpeaker},
                                                 {"pod", NodeKind::kPod}});

// The first error wins; later reads go on with empty values, so that the code reads straight down.
class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}

  template <typename... Args>
  void error(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
    if (!error_) {
      error_ = Error{
          Errc::kInvalid,
          fmt::format("{}: {}: {}", file_, path, fmt::format(format, std::forward<Args>(args)...)),
          0};
    }
  }

  std::string scalar(const YAML::Node& node, const std::string& path) {
    if (!node.IsScalar()) {
      error(path, "expected a text");
      return {};
    }
    return node.Scalar();
  }

  void merge_map(const YAML::Node& node,
                 const std::string& path,
                 std::map<std::string, std::string>& into) {
    if (!node || node.IsNull()) {
      return;
    }
    if (!node.IsMap()) {
      return error(path, "expected a mapping");
    }
    for (const auto& entry : node) {
      const std::string key = entry.first.Scalar();
      into[key] =
          entry.second.IsNull() ? "" : scalar(entry.second, fmt::format("{}.{}", path, key));
    }
  }

  std::vector<std::string> list(const YAML::Node& node, const std::string& path) {
    std::vector<std::string> out;
    if (!node || node.IsNull()) {
      return out;
    }
    if (!node.IsSequence()) {
      error(path, "expected a list");
      return out;
    }
    for (std::size_t i = 0; i < node.size(); ++i) {
      out.push_back(scalar(node[i], fmt::format("{}[{}]", path, i)));
    }
    return out;
  }

  [[nodiscard]] const std::optional<Error>& first_error() const { return error_; }

 private:
  std::string file_;
  std::optional<Error> error_;
};

void read_bind(Reader& reader, const std::string& text, const std::string& path, NodeSpec& node) {
  const auto colon = text.find(':');
  if (colon == std::string::npos || colon == 0) {
    return reader.error(path, "\"{}\": expected SOURCE:TARGET[:ro]", text);
  }
  Bind bind;
  bind.source = text.substr(0, colon);
  bind.target = text.substr(colon + 1);
  const auto options = bind.target.find(':');
  if (options != std::string::npos) {
    const std::string words = bind.target.substr(options + 1);
    bind.read_only = words == "ro" || words.starts_with("ro,") || words.ends_with(",ro");
    bind.target.resize(options);
  }
  if (!bind.target.starts_with('/')) {
    return reader.error(path, "\"{}\": the target must be an absolute path", text);
  }
  node.binds.push_back(std::move(bind));
}

// One layer of settings over what the earlier ones gave: maps merge, lists append.
void apply_settings(Reader& reader,
                    const YAML::Node& yaml,
                    const std::string& path,
                    NodeSpec& node) {
  if (!yaml || yaml.IsNull()) {
    return;
  }
  if (!yaml.IsMap()) {
    return reader.error(path, "expected a mapping");
  }
  reader.merge_map(yaml["labels"], path + ".labels", node.labels);
  reader.merge_map(yaml["env"], path + ".env", node.env);
  reader.merge_map(yaml["sysctls"], path + ".sysctls", node.sysctls);
  const auto binds = reader.list(yaml["binds"], path + ".binds");
  for (std::size_t i = 0; i < binds.size(); ++i) {
    read_bind(reader, binds[i], fmt::format("{}.binds[{}]", path, i), node);
  }
  for (auto& line : reader.list(yaml["exec"], path + ".exec")) {
    node.exec.push_back(std::move(line));
  }
}

// The first layer that has the field, from the node outwards.
std::string inherited(const YAML::Node& topology,
                      const YAML::Node& node,
                      const std::string& field) {
  if (node.IsMap() && node[field]) {
    return node[field].Scalar();
  }
  const YAML::Node defaults = topology["defaults"];
  return defaults && defaults.IsMap() && defaults[field] ? defaults[field].Scalar() : "";
}

NodeSpec read_node(Reader& reader,
                   const YAML::Node& topology,
                   const std::string& name,
                   const YAML::Node& yaml) {
  const std::string path = "topology.nodes." + name;
  NodeSpec node;
  node.name = name;
  if (!is_dns_label(name)) {
    reader.error(path, "a node's name is lower-case letters, digits and '-'");
  }
  apply_settings(reader, topology["defaults"], "topology.defaults", node);
  const std::string kind = inherited(topology, yaml, "kind");
  if (topology["kinds"] && topology["kinds"].IsMap() && !kind.empty()) {
    apply_settings(reader, topology["kinds"][kind], "topology.kinds." + kind, node);
  }
  const std::string group = inherited(topology, yaml, "group");
  if (topology["groups"] && topology["groups"].IsMap() && !group.empty()) {
    apply_settings(reader, topology["groups"][group], "topology.groups." + group, node);
  }
  apply_settings(reader, yaml, path, node);

  const auto label = node.labels.find("margay-kind");
  const std::string wanted = label != node.labels.end() ? label->second : "linux";
  const auto* known = std::ranges::find(kKinds, wanted, &KindName::name);
  if (known == kKinds.end()) {
    reader.error(path + ".labels.margay-kind",
                 "\"{}\": expected linux, bird, frr, gobgp, margay, margay-bgpd or pod",
                 wanted);
  } else {
    node.kind = known->kind;
  }
  if (label == node.labels.end() && !kind.empty() && kind != "linux") {
    reader.error(path + ".kind",
                 "\"{}\" cannot be built from a network namespace; expected linux (with a label "
                 "margay-kind)",
                 kind);
  }
  return node;
}

LinkEnd read_end(Reader& reader,
                 const Topology& topology,
                 const std::string& text,
                 const std::string& path) {
  const auto colon = text.find(':');
  if (colon == std::string::npos) {
    reader.error(path, "\"{}\": expected NODE:INTERFACE", text);
    return {};
  }
  LinkEnd end{text.substr(0, colon), text.substr(colon + 1)};
  if (topology.find(end.node) == nullptr) {
    reader.error(path, "node \"{}\" is not in topology.nodes", end.node);
  }
  if (!IfName::parse(end.interface)) {
    reader.error(path,
                 "\"{}\" is not an interface name of at most {} bytes",
                 end.interface,
                 kMaxInterfaceLength);
  }
  return end;
}

void read_links(Reader& reader, const YAML::Node& links, Topology& topology) {
  if (!links || links.IsNull()) {
    return;
  }
  if (!links.IsSequence()) {
    return reader.error("topology.links", "expected a list");
  }
  std::set<std::pair<std::string, std::string>> used;
  for (std::size_t i = 0; i < links.size(); ++i) {
    const std::string path = fmt::format("topology.links[{}]", i);
    const auto ends = reader.list(links[i]["endpoints"], path + ".endpoints");
    if (ends.size() != 2) {
      reader.error(path + ".endpoints", "{} entries, expected two NODE:INTERFACE", ends.size());
      return;
    }
    LinkSpec link;
    link.a = read_end(reader, topology, ends[0], path + ".endpoints[0]");
    link.b = read_end(reader, topology, ends[1], path + ".endpoints[1]");
    for (const auto* end : {&link.a, &link.b}) {
      if (!used.emplace(end->node, end->interface).second) {
        reader.error(path, "{}:{} is used twice", end->node, end->interface);
      }
    }
    if (const YAML::Node mtu = links[i]["mtu"]) {
      if (!YAML::convert<std::uint32_t>::decode(mtu, link.mtu)) {
        reader.error(path + ".mtu", "expected a number");
      }
    }
    topology.links.push_back(std::move(link));
  }
}

Result<Topology> read_topology(const YAML::Node& root, const std::filesystem::path& file) {
  Reader reader(file.filename().string());
  Topology topology;
  topology.file = file;
  if (!root.IsMap() || !root["name"]) {
    return fail(Errc::kInvalid, "{}: name: missing", file.filename().string());
  }
  topology.name = reader.scalar(root["name"], "name");
  if (!is_dns_label(topology.name)) {
    reader.error("name", "\"{}\": expected lower-case letters, digits and '-'", topology.name);
  }
  const YAML::Node body = root["topology"];
  if (!body || !body.IsMap() || !body["nodes"] || !body["nodes"].IsMap()) {
    return fail(Errc::kInvalid, "{}: topology.nodes: missing", file.filename().string());
  }
  for (const auto& entry : body["nodes"]) {
    topology.nodes.push_back(read_node(reader, body, entry.first.Scalar(), entry.second));
  }
  read_links(reader, body["links"], topology);
  for (const NodeSpec& node : topology.nodes) {
    const NodeSpec* host = topology.find(node.label("margay-node"));
    if (node.kind == NodeKind::kPod && (host == nullptr || host->kind != NodeKind::kMargay)) {
      reader.error("topology.nodes." + node.name + ".labels.margay-node",
                   "\"{}\": a pod names the margay node it runs on",
                   node.label("margay-node"));
    }
  }
  if (reader.first_error()) {
    return fail(*reader.first_error());
  }
  return topology;
}

void replace_all(std::string& text, std::string_view from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

}  // namespace

std::string_view to_string(NodeKind kind) {
  return std::ranges::find(kKinds, kind, &KindName::kind)->name;
}

std::string NodeSpec::label(const std::string& key) const {
  const auto found = labels.find(key);
  return found == labels.end() ? "" : found->second;
}

const NodeSpec* Topology::find(std::string_view node) const {
  const auto found = std::ranges::find(nodes, node, &NodeSpec::name);
  return found == nodes.end() ? nullptr : &*found;
}

Result<Topology> parse_topology(std::string_view text, const std::filesystem::path& file) {
  try {
    return read_topology(YAML::Load(std::string(text)), file);
  } catch (const YAML::Exception& error) {
    return fail(Errc::kInvalid, "{}: {}", file.filename().string(), error.what());
  }
}

Result<Topology> load_topology(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) {
    return fail(Errc::kNotFound, "read {}: no such file", file.string());
  }
  std::ostringstream text;
  text << stream.rdbuf();
  std::error_code ignored;
  return parse_topology(text.str(), std::filesystem::absolute(file, ignored));
}

Result<std::vector<std::string>> split_command(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      word += line[++i];
      in_word = true;
    } else if (quote != 0 ? c == quote : (c == '\'' || c == '"')) {
      quote = quote != 0 ? '\0' : c;
      in_word = true;
    } else if (quote == 0 && (c == ' ' || c == '\t' || c == '\n')) {
      if (std::exchange(in_word, false)) {
        words.push_back(std::exchange(word, {}));
      }
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0) {
    return fail(Errc::kInvalid, "command \"{}\": quote is not closed", line);
  }
  if (in_word) {
    words.push_back(word);
  }
  if (words.empty()) {
    return fail(Errc::kInvalid, "command is empty");
  }
  return words;
}

std::string expand_magic(std::string text,
                         const std::string& node,
                         const std::filesystem::path& lab_dir) {
  replace_all(text, "__clabNodeName__", node);
  replace_all(text, "__clabNodeDir__", (lab_dir / node).string());
  replace_all(text, "__clabDir__", lab_dir.string());
  return text;
}

}  // namespace margay::lab
