#include "tests/lab/lab.h"

#include "tests/lab/node_root.h"
#include "tests/lab/wait.h"
#include "tests/support/cni_driver.h"

#include <algorithm>
#include <csignal>
#include <set>

namespace margay::lab {
namespace {

constexpr auto kAgentTimeout = std::chrono::seconds(30);

std::filesystem::path folder_of_this_program() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

// A router forwards, takes asymmetric paths, and spreads connections over equal paths.
std::map<std::string, std::string> router_sysctls() {
  return {{"net.ipv4.ip_forward", "1"},
          {"net.ipv4.conf.all.rp_filter", "0"},
          {"net.ipv4.conf.default.rp_filter", "0"},
          {"net.ipv4.fib_multipath_hash_policy", "1"},
          {"net.ipv6.conf.all.forwarding", "1"}};
}

Result<void> check(const Result<ExecResult>& done, const std::string& what) {
  if (!done) {
    return fail(done.error(), "{}", what);
  }
  return done->ok()
             ? Result<void>()
             : fail(Errc::kInternal, "{}: exit {}: {}{}", what, done->rc, done->out, done->err);
}

test::CniPod cni_pod(const Node& pod, const PodSpec& spec, const std::string& container_id) {
  return {.container_id = container_id,
          .netns = pod.netns_path().string(),
          .ns = spec.ns,
          .name = spec.name,
          .labels = spec.labels,
          .prev_result = {},
          .runtime_config = spec.runtime_config};
}

}  // namespace

struct Lab::State {
  Topology topology;
  LabOptions options;
  LabState record;
  std::map<std::string, Node> nodes;
  std::vector<Pod> pods;
  unsigned containers = 0;
  bool owned = true;

  [[nodiscard]] const std::string& name() const { return options.name; }
  [[nodiscard]] Environment environment(const NodeSpec& spec) const;
  [[nodiscard]] std::vector<Bind> binds(const NodeSpec& spec) const;
  Result<Node*> add_node(const NodeSpec& spec, std::map<std::string, std::string> sysctls);
  Result<void> remove_node(const std::string& node);
  Result<void> connect();
  Result<void> run_exec();
  Result<void> await_agent(const std::string& node) const;
  // The plugin reaches the agent of the node through the node's run directory.
  [[nodiscard]] test::CniRuntime runtime(const std::string& node) const;
};

Environment Lab::State::environment(const NodeSpec& spec) const {
  Environment env{{"PATH", options.bin_dir.string() + ":" + kSystemPath},
                  {"HOME", "/root"},
                  {"LANG", "C.UTF-8"},
                  {"TERM", "dumb"},
                  {"NO_COLOR", "1"},
                  {"VTYSH_PAGER", "cat"}};
  for (const auto& entry : spec.env) {
    env.emplace_back(entry.first, expand_magic(entry.second, spec.name, record.dir()));
  }
  env.insert(env.end(), options.env.begin(), options.env.end());
  return env;
}

std::vector<Bind> Lab::State::binds(const NodeSpec& spec) const {
  std::vector<Bind> absolute;
  for (Bind bind : spec.binds) {
    const std::string text = expand_magic(bind.source.string(), spec.name, record.dir());
    bind.source = std::filesystem::path(text).is_absolute() ? std::filesystem::path(text)
                                                            : topology.directory() / text;
    if (text.starts_with(record.dir().string())) {
      std::error_code ignored;
      std::filesystem::create_directories(bind.source,
                                          ignored);  // a folder that the lab's nodes share
    }
    bind.target = expand_magic(bind.target, spec.name, record.dir());
    absolute.push_back(std::move(bind));
  }
  return absolute;
}

Result<Node*> Lab::State::add_node(const NodeSpec& spec,
                                   std::map<std::string, std::string> sysctls) {
  const std::string netns = name() + "-" + spec.name;
  NodeRoot root{netns, spec.name, record.dir() / spec.name, binds(spec), std::move(sysctls)};
  for (const auto& entry : spec.sysctls) {
    root.sysctls[entry.first] = entry.second;
  }
  if (auto done = prepare_directories(root); !done) {
    return fail(done.error(), "{}", spec.name);
  }
  if (auto done = record.add_namespace(netns); !done) {
    return fail(done.error(), "{}", spec.name);
  }
  Command add;
  add.argv = {"ip", "netns", "add", netns};
  add.env = {{"PATH", kSystemPath}};
  if (auto done = check(run(add), "add namespace " + netns); !done) {
    return fail(done.error());
  }
  Node node(record, spec, netns, environment(spec));
  Command holder;
  holder.argv = {"sleep", "infinity"};
  holder.env = node.env_;
  holder.log = node.log("holder");
  holder.record = [&](const ProcessId& id) {
    [[maybe_unused]] const auto written =
        record.add_process(ProcessRecord{spec.name, "holder", id});
  };
  holder.prepare = [&] { return enter_fresh_root(root); };
  const auto process = launch(holder);
  if (!process) {
    return fail(process.error(), "{}", spec.name);
  }
  node.holder_ = *process;
  return &nodes.insert_or_assign(spec.name, std::move(node)).first->second;
}

Result<void> Lab::State::remove_node(const std::string& node) {
  const Node& gone = nodes.at(node);
  const auto known = record.read();
  for (const ProcessRecord& process : known ? known->processes : std::vector<ProcessRecord>()) {
    if (process.node == node) {
      send_signal(process.id, SIGKILL);
      if (!wait_gone(process.id, std::chrono::seconds(5))) {
        return fail(Errc::kTimeout, "{}: process {} does not end", node, process.id.pid);
      }
    }
  }
  Command del;
  del.argv = {"ip", "netns", "del", gone.netns()};
  del.env = {{"PATH", kSystemPath}};
  if (auto done = check(run(del), "delete namespace " + gone.netns()); !done) {
    return done;
  }
  std::error_code ignored;
  std::filesystem::remove_all(gone.dir(), ignored);
  nodes.erase(node);
  return {};
}

Result<void> Lab::State::connect() {
  std::string batch;
  std::map<std::string, std::string> up;
  for (const LinkSpec& link : topology.links) {
    const std::string mtu = link.mtu == 0 ? "" : fmt::format(" mtu {}", link.mtu);
    batch += fmt::format("link add name {} netns {}{} type veth peer name {} netns {}{}\n",
                         link.a.interface,
                         nodes.at(link.a.node).netns(),
                         mtu,
                         link.b.interface,
                         nodes.at(link.b.node).netns(),
                         mtu);
    for (const LinkEnd* end : {&link.a, &link.b}) {
      up[end->node] += "link set " + end->interface + " up\n";
    }
  }
  Command links;
  links.argv = {"ip", "-batch", "-"};
  links.env = {{"PATH", kSystemPath}};
  links.input = batch;
  if (auto done = check(run(links), "make links"); !done) {
    return done;
  }
  for (const auto& entry : up) {
    ExecOptions batch_input;
    batch_input.input = entry.second;
    if (auto done = check(nodes.at(entry.first).exec({"ip", "-batch", "-"}, batch_input),
                          entry.first + ": set links up");
        !done) {
      return done;
    }
  }
  return {};
}

Result<void> Lab::State::run_exec() {
  for (const NodeSpec& spec : topology.nodes) {
    const auto node = nodes.find(spec.name);
    for (std::size_t i = 0; i < spec.exec.size() && node != nodes.end(); ++i) {
      const auto words = split_command(expand_magic(spec.exec[i], spec.name, record.dir()));
      const std::string field =
          fmt::format("{}: topology.nodes.{}.exec[{}]", topology.name, spec.name, i);
      if (!words) {
        return fail(words.error(), "{}", field);
      }
      if (auto done = check(node->second.exec(*words), field); !done) {
        return done;
      }
    }
  }
  return {};
}

Result<void> Lab::State::await_agent(const std::string& node) const {
  const std::filesystem::path socket = nodes.at(node).dir() / "run/margay/cni.sock";
  const bool there = wait_until(
      [&] {
        std::error_code error;
        return std::filesystem::exists(socket, error);
      },
      kAgentTimeout);
  return there ? Result<void>()
               : fail(Errc::kTimeout,
                      "{}: margayd does not listen for pods: {}",
                      node,
                      nodes.at(node).read_log("margayd"));
}

test::CniRuntime Lab::State::runtime(const std::string& node) const {
  test::CniRuntime runtime;
  runtime.plugin = (options.bin_dir / "margay").string();
  runtime.run_dir = (nodes.at(node).dir() / "run/margay").string();
  return runtime;
}

Lab::Lab(std::unique_ptr<State> state) : state_(std::move(state)) {}
Lab::Lab(Lab&&) noexcept = default;
Lab& Lab::operator=(Lab&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
Lab::~Lab() {
  if (state_ && state_->owned) {
    if (const auto done = down(); !done) {
      fmt::print(stderr, "take down lab {}: {}\n", name(), done.error().text);
    }
  }
}

Result<Lab> Lab::up(const std::filesystem::path& file, const LabOptions& options) {
  auto topology = load_topology(file);
  if (!topology) {
    return fail(topology.error());
  }
  auto state = std::make_unique<State>();
  state->topology = std::move(*topology);
  state->options = options;
  if (options.name.empty()) {
    state->options.name = state->topology.name;
  }
  if (options.bin_dir.empty()) {
    state->options.bin_dir = folder_of_this_program();
  }
  state->record = LabState(options.state_root, state->options.name);
  if (state->record.exists()) {
    if (!options.replace) {
      return fail(Errc::kExists, "lab {} is up already; take it down first", state->options.name);
    }
    if (auto done = state->record.destroy(); !done) {
      return fail(done.error(), "take down the earlier lab {}", state->options.name);
    }
  }
  if (auto done = state->record.create(state->topology.file); !done) {
    return fail(done.error());
  }
  Lab lab(std::move(state));  // from here on its destructor cleans up
  for (const NodeSpec& spec : lab.topology().nodes) {
    if (spec.kind == NodeKind::kPod) {
      continue;
    }
    if (auto node = lab.state_->add_node(spec, router_sysctls()); !node) {
      return fail(node.error());
    }
  }
  if (auto done = lab.state_->connect(); !done) {
    return fail(done.error());
  }
  if (auto done = options.run_exec ? lab.state_->run_exec() : Result<void>(); !done) {
    return fail(done.error());
  }
  if (auto done = options.start ? lab.start() : Result<void>(); !done) {
    return fail(done.error());
  }
  return lab;
}

Result<void> Lab::start() {
  for (auto& entry : state_->nodes) {
    if (auto done = entry.second.start(); !done) {
      return done;
    }
  }
  for (const NodeSpec& spec : topology().nodes) {
    if (spec.kind != NodeKind::kPod) {
      continue;
    }
    PodSpec pod{spec.name, spec.label("margay-namespace"), {}};
    if (pod.ns.empty()) {
      pod.ns = "default";
    }
    for (const auto& label : spec.labels) {
      if (!label.first.starts_with("margay-")) {
        pod.labels.insert(label);
      }
    }
    pod.ipv6 = spec.label("margay-ipv6") == "true";
    if (auto added = add_pod(spec.label("margay-node"), pod); !added) {
      return fail(added.error());
    }
  }
  return {};
}

Result<Lab> Lab::attach(const std::filesystem::path& file, const LabOptions& options) {
  auto topology = load_topology(file);
  if (!topology) {
    return fail(topology.error());
  }
  auto state = std::make_unique<State>();
  state->topology = std::move(*topology);
  state->options = options;
  if (options.name.empty()) {
    state->options.name = state->topology.name;
  }
  if (options.bin_dir.empty()) {
    state->options.bin_dir = folder_of_this_program();
  }
  state->record = LabState(options.state_root, state->options.name);
  state->owned = false;
  const auto record = state->record.read();
  if (!record) {
    return fail(record.error());
  }
  for (const PodRecord& pod : record->pods) {
    state->pods.push_back(Pod{pod.name, pod.ns, pod.node, pod.container_id, pod.address, {}, {}});
  }
  for (const ProcessRecord& process : record->processes) {
    if (process.role != "holder" || !alive(process.id)) {
      continue;
    }
    const NodeSpec* known = state->topology.find(process.node);
    NodeSpec spec;
    spec.name = process.node;
    spec.kind = NodeKind::kPod;
    Node node(state->record,
              known != nullptr ? *known : spec,
              state->options.name + "-" + process.node,
              state->environment(known != nullptr ? *known : spec));
    node.holder_ = process.id;
    state->nodes.insert_or_assign(process.node, std::move(node));
  }
  return Lab(std::move(state));
}

const std::string& Lab::name() const {
  return state_->options.name;
}
const Topology& Lab::topology() const {
  return state_->topology;
}
std::filesystem::path Lab::dir() const {
  return state_->record.dir();
}
bool Lab::has_node(const std::string& name) const {
  return state_->nodes.contains(name);
}
Node& Lab::node(const std::string& name) {
  const auto found = state_->nodes.find(name);
  MARGAY_ASSERT(found != state_->nodes.end());
  return found->second;
}

std::vector<std::string> Lab::nodes_of_kind(NodeKind kind) const {
  std::vector<std::string> names;
  for (const NodeSpec& spec : topology().nodes) {
    if (spec.kind == kind) {
      names.push_back(spec.name);
    }
  }
  return names;
}

Result<Pod> Lab::add_pod(const std::string& node, const PodSpec& spec) {
  if (has_node(spec.name) || !has_node(node)) {
    return fail(Errc::kInvalid,
                "add pod {} to {}: the node is missing or the name is taken",
                spec.name,
                node);
  }
  if (auto done = state_->await_agent(node); !done) {
    return fail(done.error());
  }
  NodeSpec pod_node;
  pod_node.name = spec.name;
  pod_node.kind = NodeKind::kPod;
  const auto made = state_->add_node(pod_node, {});
  if (!made) {
    return fail(made.error());
  }
  const std::string id = fmt::format("{}-{}-{}", name(), spec.name, ++state_->containers);
  test::CniRuntime runtime = state_->runtime(node);
  runtime.ipv6 = spec.ipv6;
  const auto answer = runtime.add(cni_pod(**made, spec, id));
  if (!answer || answer->addresses.empty()) {
    [[maybe_unused]] const auto removed = state_->remove_node(spec.name);
    return fail(answer ? Error{Errc::kInvalid, "ADD gave no address", 0} : answer.error(),
                "pod {} on {}",
                spec.name,
                node);
  }
  Pod pod{spec.name, spec.ns, node, id, answer->addresses.front().str(), {}, answer->took};
  for (const IpAddr& address : answer->addresses) {
    pod.address6 = address.is_v6() ? address.str() : pod.address6;
  }
  if (auto done = state_->record.add_pod(PodRecord{pod.name, pod.ns, pod.node, id, pod.address});
      !done) {
    return fail(done.error());
  }
  state_->pods.push_back(pod);
  return pod;
}

Result<void> Lab::remove_pod(const std::string& name) {
  const Pod gone = pod(name);
  const auto deleted = state_->runtime(gone.node).del(
      cni_pod(state_->nodes.at(name), PodSpec{name, gone.ns, {}}, gone.container_id));
  if (!deleted) {
    return fail(deleted.error(), "{}", gone.node);
  }
  std::erase_if(state_->pods, [&](const Pod& other) { return other.name == name; });
  if (auto done = state_->record.remove_pod(name); !done) {
    return done;
  }
  return state_->remove_node(name);
}

const std::vector<Pod>& Lab::pods() const {
  return state_->pods;
}

const Pod& Lab::pod(const std::string& name) const {
  const auto found = std::ranges::find(state_->pods, name, &Pod::name);
  MARGAY_ASSERT(found != state_->pods.end());
  return *found;
}

Result<void> Lab::down() {
  state_->owned = false;
  return state_->record.destroy();
}

void Lab::keep() {
  state_->owned = false;
}

}  // namespace margay::lab
