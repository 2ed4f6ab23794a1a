// margay-lab: builds a containerlab topology from network namespaces, without Docker.

#include "tests/lab/lab.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>
#include <unistd.h>

namespace margay::lab {
namespace {

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;
using Words = std::span<char* const>;

int failed(const Error& error) {
  fmt::print(stderr, "margay-lab: {}\n", error.text);
  return kFailed;
}

int up(const std::string& file, Words words) {
  LabOptions options;
  options.replace = !words.empty() && std::string_view(words[0]) == "--replace";
  auto lab = Lab::up(file, options);
  if (!lab) {
    return failed(lab.error());
  }
  lab->keep();
  fmt::print("lab {} is up: {} nodes, {} links, {} pods\n",
             lab->name(),
             lab->topology().nodes.size() - lab->nodes_of_kind(NodeKind::kPod).size(),
             lab->topology().links.size(),
             lab->pods().size());
  return kDone;
}

int down(const std::string& file, Words /*words*/) {
  const auto topology = load_topology(file);
  if (!topology) {
    return failed(topology.error());
  }
  const LabState state(LabOptions().state_root, topology->name);
  const bool existed = state.exists();
  if (const auto done = state.destroy(); !done) {
    return failed(done.error());
  }
  fmt::print("lab {} {}\n", topology->name, existed ? "is down" : "was not up");
  return kDone;
}

int exec(const std::string& file, Words words) {
  std::vector<std::string> argv(words.begin(), words.end());
  if (argv.size() > 1 && argv[1] == "--") {
    argv.erase(argv.begin() + 1);
  }
  if (argv.size() < 2) {
    fmt::print(stderr, "usage: margay-lab exec FILE NODE [--] COMMAND [ARGUMENT...]\n");
    return kUsage;
  }
  auto lab = Lab::attach(file);
  if (!lab) {
    return failed(lab.error());
  }
  if (!lab->has_node(argv[0])) {
    return failed(Error{Errc::kNotFound, "no node or pod " + argv[0], 0});
  }
  const Node& node = lab->node(argv[0]);
  argv.erase(argv.begin());
  ExecOptions options;
  options.timeout = std::chrono::hours(24);
  if (::isatty(STDIN_FILENO) == 0) {
    std::array<char, 4096> buffer{};
    while (const auto n = std::fread(buffer.data(), 1, buffer.size(), stdin)) {
      options.input.append(buffer.data(), n);
    }
  }
  const ExecResult done = node.exec(argv, options);
  std::fputs(done.out.c_str(), stdout);
  std::fputs(done.err.c_str(), stderr);
  return done.rc;
}

int inspect(const std::string& file, Words /*words*/) {
  auto lab = Lab::attach(file);
  if (!lab) {
    return failed(lab.error());
  }
  fmt::print("{:<14} {:<8} {:<28} {}\n", "NODE", "KIND", "NAMESPACE", "PROCESSES");
  for (const NodeSpec& spec : lab->topology().nodes) {
    if (!lab->has_node(spec.name)) {
      fmt::print("{:<14} {:<8} {:<28} gone\n", spec.name, to_string(spec.kind), "-");
      continue;
    }
    std::string processes;
    for (const ProcessRecord& process : lab->node(spec.name).main_processes()) {
      processes += fmt::format("{}({}) ", process.role, process.id.pid);
    }
    fmt::print("{:<14} {:<8} {:<28} {}\n",
               spec.name,
               to_string(spec.kind),
               lab->node(spec.name).netns(),
               processes.empty() ? "-" : processes);
  }
  for (const Pod& pod : lab->pods()) {
    fmt::print("pod {}/{} on {}: {}\n", pod.ns, pod.name, pod.node, pod.address);
  }
  return kDone;
}

// The topology's own check.sh, with the means to reach the nodes.
int check(const std::string& file, Words /*words*/) {
  const auto topology = load_topology(file);
  if (!topology) {
    return failed(topology.error());
  }
  const std::string script = (topology->directory() / "check.sh").string();
  std::error_code error;
  ::setenv("MARGAY_LAB", std::filesystem::read_symlink("/proc/self/exe", error).c_str(), 1);
  ::setenv("MARGAY_LAB_FILE", topology->file.c_str(), 1);
  ::execl(script.c_str(), script.c_str(), static_cast<char*>(nullptr));
  return failed(Error{Errc::kNotFound, "cannot run " + script, 0});
}

int list(const std::string& /*file*/, Words /*words*/) {
  for (const std::string& lab : list_labs(LabOptions().state_root)) {
    const auto record = LabState(LabOptions().state_root, lab).read();
    fmt::print("{:<24} {:>3} namespaces  {}\n",
               lab,
               record ? record->namespaces.size() : 0,
               record ? record->topology_file : "");
  }
  return kDone;
}

struct Verb {
  std::string_view name;
  std::string_view arguments;
  std::string_view help;
  bool needs_file;
  int (*run)(const std::string& file, Words words);
};

constexpr auto kVerbs = std::to_array<Verb>({
    {"up", "FILE [--replace]", "build the lab and start what its nodes run", true, up},
    {"down", "FILE", "remove everything the lab put into the system", true, down},
    {"exec", "FILE NODE [--] COMMAND...", "run a command in a node or pod", true, exec},
    {"inspect", "FILE", "nodes, their processes, pods and addresses", true, inspect},
    {"check", "FILE", "run the topology's check.sh", true, check},
    {"list", "", "labs that are up", false, list},
});

int help(std::FILE* out) {
  fmt::print(out, "margay-lab: containerlab topologies from network namespaces\n\n");
  for (const Verb& verb : kVerbs) {
    fmt::print(out, "  margay-lab {:<8} {:<26} {}\n", verb.name, verb.arguments, verb.help);
  }
  return out == stdout ? kDone : kUsage;
}

int run_program(Words words) {
  if (words.empty()) {
    return help(stderr);
  }
  const std::string_view name = words[0];
  if (name == "--help") {
    return help(stdout);
  }
  if (name == "--version") {
    fmt::print("margay-lab {}\n", MARGAY_VERSION);
    return kDone;
  }
  for (const Verb& verb : kVerbs) {
    if (verb.name == name && words.size() >= (verb.needs_file ? 2U : 1U)) {
      return verb.run(verb.needs_file ? words[1] : "", words.subspan(verb.needs_file ? 2 : 1));
    }
  }
  return help(stderr);
}

}  // namespace
}  // namespace margay::lab

int main(int argc, char** argv) {
  return margay::lab::run_program(margay::lab::Words(argv + 1, static_cast<std::size_t>(argc - 1)));
}
