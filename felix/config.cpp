#include "felix/config.h"

#include "base/socket_addr.h"
#include "base/text_file.h"
#include "datastore/store.h"
#include "kernel/faults.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>
#include <map>

namespace margay::felix {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(
      out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

Result<std::string> absolute_path(std::string_view field, const std::string& value) {
  if (value.empty() || value.front() != '/') {
    return fail(Errc::kInvalid, "{}: \"{}\": expected an absolute path", field, value);
  }
  return value;
}

Result<void> set_node(AgentConfig& config, const std::string& value) {
  auto node = NodeName::parse(value);
  if (!node) {
    return fail(node.error(), "node");
  }
  config.node = *node;
  return {};
}

Result<void> set_path(std::string& field, std::string_view name, const std::string& value) {
  auto path = absolute_path(name, value);
  if (!path) {
    return fail(path.error());
  }
  field = *path;
  return {};
}

Result<void> set_log_level(AgentConfig& config, const std::string& value) {
  static constexpr std::array<std::string_view, 5> kLevels{
      "error", "warn", "info", "debug", "trace"};
  if (std::ranges::find(kLevels, value) == kLevels.end()) {
    return fail(
        Errc::kInvalid, "log_level: \"{}\": expected error, warn, info, debug or trace", value);
  }
  config.log_level = value;
  config.log_level_given = true;
  return {};
}

Result<void> set_log_format(AgentConfig& config, const std::string& value) {
  if (value != "text" && value != "json") {
    return fail(Errc::kInvalid, "log_format: \"{}\": expected text or json", value);
  }
  config.log_format = value == "json" ? LogFormat::kJson : LogFormat::kText;
  return {};
}

Result<void> set_bgp(AgentConfig& config, const std::string& value) {
  static const std::map<std::string_view, BgpMode> modes{
      {"embedded", BgpMode::kEmbedded}, {"bird", BgpMode::kBird}, {"none", BgpMode::kNone}};
  const auto mode = modes.find(value);
  if (mode == modes.end()) {
    return fail(Errc::kInvalid, "bgp: \"{}\": expected embedded, bird or none", value);
  }
  config.bgp = mode->second;
  return {};
}

Result<void> set_datastore(AgentConfig& config, const std::string& value) {
  if (auto checked = datastore::check_store_url(value); !checked) {
    return checked;
  }
  config.datastore = value;
  return {};
}

Result<void> set_metrics_listen(AgentConfig& config, const std::string& value) {
  if (!value.empty() && !SocketAddr::parse(value)) {
    return fail(
        Errc::kInvalid, "metrics_listen: \"{}\": expected ADDRESS:PORT, or empty for off", value);
  }
  config.metrics_listen = value;
  return {};
}

Result<void> set_fault_injection(AgentConfig& config, const std::string& value) {
  if (const auto faults = parse_faults(value); !faults) {
    return fail(faults.error(), "fault_injection");
  }
  config.fault_injection = value;
  return {};
}

Result<void> set_field(AgentConfig& config, std::string_view field, const std::string& value) {
  using Setter = Result<void> (*)(AgentConfig&, const std::string&);
  static const std::map<std::string_view, Setter> setters{
      {"datastore", set_datastore},
      {"node", set_node},
      {"run_dir",
       [](AgentConfig& to, const std::string& text) {
         return set_path(to.run_dir, "run_dir", text);
       }},
      {"state_dir",
       [](AgentConfig& to, const std::string& text) {
         return set_path(to.state_dir, "state_dir", text);
       }},
      {"log_level", set_log_level},
      {"log_format", set_log_format},
      {"bgp", set_bgp},
      {"metrics_listen", set_metrics_listen},
      {"fault_injection", set_fault_injection},
  };
  return setters.at(field)(config, value);
}

// One field of the file.
Result<void> read_entry(const YAML::Node& name_node,
                        const YAML::Node& value,
                        AgentConfig& checked,
                        ConfigValues& values) {
  if (!name_node.IsScalar()) {
    return fail(Errc::kInvalid, "expected the name of a field");
  }
  const auto& name = name_node.Scalar();
  const auto& fields = config_fields();
  if (std::ranges::find(fields, name, &ConfigField::name) == fields.end()) {
    return fail(Errc::kInvalid, "{}: unknown field", name);
  }
  if (values.contains(name)) {
    return fail(Errc::kInvalid, "{}: given twice", name);
  }
  if (!value.IsScalar() && !value.IsNull()) {
    return fail(Errc::kInvalid, "{}: expected a single value", name);
  }
  values[name] = value.IsNull() ? std::string() : value.Scalar();
  return set_field(checked, name, values[name]);
}

Result<ConfigValues> read_documents(const std::vector<YAML::Node>& documents,
                                    const std::string& path) {
  ConfigValues values;
  if (documents.size() > 1) {
    return fail(Errc::kInvalid,
                "{}: line {}: a second document: expected one",
                path,
                documents[1].Mark().line + 1);
  }
  if (documents.empty() || documents[0].IsNull()) {
    return values;
  }
  const YAML::Node& root = documents[0];
  if (!root.IsMap()) {
    return fail(
        Errc::kInvalid, "{}: line {}: expected a mapping of fields", path, root.Mark().line + 1);
  }
  AgentConfig checked;  // takes each value, to be thrown away
  for (const auto& entry : root) {
    if (auto read = read_entry(entry.first, entry.second, checked, values); !read) {
      return fail(read.error(), "{}: line {}", path, entry.first.Mark().line + 1);
    }
  }
  return values;
}

}  // namespace

std::string_view to_string(BgpMode mode) {
  switch (mode) {
    case BgpMode::kEmbedded:
      return "embedded";
    case BgpMode::kBird:
      return "bird";
    case BgpMode::kNone:
      return "none";
  }
  return "";
}

const std::vector<ConfigField>& config_fields() {
  static const std::vector<ConfigField> fields{
      {"datastore", "datastore URL: sqlite:///PATH"},
      {"node", "name of this node; default: the host name, lower case"},
      {"run_dir", "directory of the sockets; default /run/margay"},
      {"state_dir", "directory of what survives a restart; default /var/lib/margay"},
      {"log_level", "error, warn, info, debug or trace; default info"},
      {"log_format", "text or json; default text"},
      {"bgp", "embedded, bird (an external BIRD 2) or none; default embedded"},
      {"metrics_listen",
       "ADDRESS:PORT of /metrics, /liveness and /readiness, empty: off; default 127.0.0.1:9091"},
      {"fault_injection",
       "for tests only: kernel calls that fail, such as nft:3:fail,routes:5+:delay=200,fib:1:kill"},
  };
  return fields;
}

Result<ConfigValues> read_config_file(const std::string& path) {
  const auto text = read_text_file(path);
  if (!text) {
    return fail(text.error());
  }
  try {
    return read_documents(YAML::LoadAll(*text), path);
  } catch (const YAML::Exception& error) {
    return fail(Errc::kInvalid, "{}: line {}: {}", path, error.mark.line + 1, error.msg);
  }
}

Result<void> check_values(const ConfigValues& values) {
  AgentConfig checked;
  for (const auto& [name, value] : values) {
    if (auto good = set_field(checked, name, value); !good) {
      return good;
    }
  }
  return {};
}

Result<AgentConfig> make_config(const ConfigValues& file,
                                const ConfigValues& environment,
                                const ConfigValues& flags,
                                std::string_view host_name) {
  AgentConfig config;
  bool node_given = false;
  for (const ConfigField& field : config_fields()) {
    for (const ConfigValues* source : {&flags, &environment, &file}) {
      const auto value = source->find(field.name);
      if (value == source->end()) {
        continue;
      }
      if (auto set = set_field(config, field.name, value->second); !set) {
        return fail(set.error());
      }
      node_given = node_given || field.name == "node";
      break;
    }
  }
  if (!node_given) {
    auto node = NodeName::parse(lower(host_name));
    if (!node) {
      return fail(node.error(), "the host name is no node name; give --node");
    }
    config.node = *node;
  }
  return config;
}

}  // namespace margay::felix
