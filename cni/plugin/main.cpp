// margay and margay-ipam: the CNI plugins. Thin: check what the runtime gave, ask the agent of this
// node, print its answer. Which of the two runs is the name of the program.

#include "api/proto/cni.pb.h"
#include "cni/config.h"
#include "cni/environment.h"
#include "cni/error.h"
#include "cni/plugin/agent_call.h"
#include "cni/wire.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>
#include <unistd.h>

namespace margay::cni {
namespace {

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;
// The agent keeps the time limit; the plugin only guards against an agent that hangs.
constexpr std::chrono::seconds kGrace{5};

int print_error(const CniError& error, std::string_view version) {
  const std::string text = error_json(error, version);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fprintf(stderr, "margay: %s\n", error.msg.c_str());
  return kFailed;
}

std::optional<std::string> read_input() {
  std::string input;
  std::array<char, 16384> buffer{};
  while (input.size() <= kMaxMessage) {
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got == 0) {
      return input;
    }
    if (got > 0) {
      input.append(buffer.data(), static_cast<std::size_t>(got));
    } else if (errno != EINTR) {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

int print_versions(std::string_view asked) {
  std::string list;
  for (const std::string_view version : kVersions) {
    list += (list.empty() ? "" : ",") + quoted(version);
  }
  std::printf("{\"cniVersion\":%s,\"supportedVersions\":[%s]}\n",
              quoted(is_supported(asked) ? asked : kVersions.back()).c_str(),
              list.c_str());
  return kDone;
}

int ask_agent(const NetworkConfig& config, const Request& request) {
  const std::string socket = config.run_dir + "/cni.sock";
  AgentCall call(socket, std::chrono::seconds(config.timeout_s) + kGrace);
  const auto response = call.ask(request);
  if (!response) {
    const Code code = response.error().code == Errc::kInvalid ? Code::kIo : Code::kTryAgainLater;
    return print_error({code,
                        "ask margayd: " + response.error().text,
                        "see that margayd runs on this node and that run_dir is its run directory"},
                       config.cni_version);
  }
  const std::string& output = response->output();
  const bool printed = std::fwrite(output.data(), 1, output.size(), stdout) == output.size() &&
                       std::fflush(stdout) == 0;
  if (!printed) {
    std::fprintf(stderr, "margay: write the answer to standard output: failed\n");
    return kFailed;
  }
  call.acknowledge();
  return response->exit_code();
}

int run(std::string_view plugin) {
  const Environment environment = read_environment();
  if (environment.command.empty()) {
    std::fprintf(stderr,
                 "%.*s " MARGAY_VERSION
                 ": CNI plugin of Margay; a container runtime runs it\nversions: %s\n",
                 static_cast<int>(plugin.size()),
                 plugin.data(),
                 version_list().c_str());
    return kDone;
  }
  const auto input = read_input();
  if (!input) {
    return print_error({Code::kIo, "read standard input: failed or above 1 MiB", {}}, {});
  }
  auto config = parse_config(*input);
  if (environment.command == "VERSION") {
    return print_versions(config ? config->cni_version : kVersions.back());
  }
  if (auto error = check_environment(environment)) {
    return print_error(*error, config ? config->cni_version : kVersions.back());
  }
  if (!config) {
    return print_error(config.error(), kVersions.back());
  }
  std::map<std::string, std::string> args;
  if (auto error = parse_args(environment.args, args)) {
    return print_error(*error, config->cni_version);
  }
  Request request;
  request.set_verb(environment.command);
  request.set_container_id(environment.container_id);
  request.set_netns(environment.netns);
  request.set_ifname(environment.ifname);
  request.mutable_args()->insert(args.begin(), args.end());
  request.set_config(*input);
  request.set_plugin(std::string(plugin));
  request.set_acknowledges(true);
  return ask_agent(*config, request);
}

}  // namespace
}  // namespace margay::cni

int main(int argc, char** argv) {
  std::string_view plugin = argc > 0 ? argv[0] : "margay";
  plugin.remove_prefix(plugin.rfind('/') == std::string_view::npos ? 0 : plugin.rfind('/') + 1);
  if (argc > 1) {
    const std::string_view option = argv[1];
    if (option == "--version") {
      std::printf("%.*s %s\n", static_cast<int>(plugin.size()), plugin.data(), MARGAY_VERSION);
      return margay::cni::kDone;
    }
    std::FILE* out = option == "--help" ? stdout : stderr;
    std::fprintf(out,
                 "usage: %.*s [--version | --help]\nA CNI plugin: a container runtime runs it with "
                 "CNI_COMMAND and a configuration on standard input.\n",
                 static_cast<int>(plugin.size()),
                 plugin.data());
    return option == "--help" ? margay::cni::kDone : margay::cni::kUsage;
  }
  return margay::cni::run(plugin);
}
