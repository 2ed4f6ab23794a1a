// margay and margay-ipam: the CNI plugins. Thin: check what the runtime gave, ask the agent of this
// node, print its answer. Which of the two runs is the name of the program.

#include "api/proto/cni.pb.h"
#include "cni/config.h"
#include "cni/environment.h"
#include "cni/error.h"
#include "cni/plugin/agent_call.h"
#include "cni/plugin/delegate.h"
#include "cni/wire.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

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

// What is printed in the end: a result or an error object, and the exit code.
struct Outcome {
  int exit_code = kDone;
  std::string output;
  bool wants_addresses = false;
  std::unique_ptr<AgentCall> call = nullptr;  // whose answer it is; none: not the agent's
  bool delegate_gave = false;                 // addresses, for this ADD
};

Outcome failure(const CniError& error, std::string_view version) {
  std::fprintf(stderr, "margay: %s\n", error.msg.c_str());
  return {.exit_code = kFailed, .output = error_json(error, version)};
}

Outcome ask_agent(const NetworkConfig& config, const Request& request) {
  const std::string socket = config.run_dir + "/cni.sock";
  auto call = std::make_unique<AgentCall>(socket, std::chrono::seconds(config.timeout_s) + kGrace);
  const auto response = call->ask(request);
  if (!response) {
    const Code away = request.verb() == "STATUS" ? Code::kNotAvailable : Code::kTryAgainLater;
    const Code code = response.error().code == Errc::kInvalid ? Code::kIo : away;
    return failure({code,
                    "ask margayd: " + response.error().text,
                    "see that margayd runs on this node and that run_dir is its run directory"},
                   config.cni_version);
  }
  return {.exit_code = response->exit_code(),
          .output = response->output(),
          .wants_addresses = response->wants_addresses(),
          .call = std::move(call)};
}

Outcome ask_delegate(const NetworkConfig& config, const Request& request, const std::string& verb) {
  auto answer = run_delegate(
      config.ipam.type, verb, request.config(), std::chrono::seconds(config.timeout_s));
  return answer ? Outcome{.exit_code = answer->exit_code, .output = std::move(answer->output)}
                : failure(answer.error(), config.cni_version);
}

// Nothing may lead to the address any more when it is given away: without a word of the agent the
// delegate keeps it, until the runtime calls DEL again.
Outcome del_delegated(const NetworkConfig& config, Request request) {
  request.set_verb("DEL");
  Outcome gone = ask_agent(config, request);
  return gone.exit_code == kDone ? ask_delegate(config, request, "DEL") : std::move(gone);
}

// The agent is asked first: it may know the container already, and then nobody must give it a
// second address. Whatever fails later, the delegate takes its address back.
Outcome add_delegated(const NetworkConfig& config, Request request) {
  Outcome known = ask_agent(config, request);
  if (known.exit_code != kDone || !known.wants_addresses) {
    return known;
  }
  Outcome given = ask_delegate(config, request, "ADD");
  if (given.exit_code != kDone) {
    (void)ask_delegate(config, request, "DEL");
    return given;
  }
  request.set_delegated(given.output);
  Outcome added = ask_agent(config, request);
  added.delegate_gave = true;
  if (added.exit_code == kDone) {
    return added;
  }
  if (added.call) {
    (void)ask_delegate(config, request, "DEL");  // the agent has undone its part
  } else {
    (void)del_delegated(config, request);  // it may have wired the container all the same
  }
  return added;
}

// Both are asked whatever the first one says; its error is the one that is told.
template <typename First, typename Second>
Outcome both(First first, Second second) {
  Outcome one = first();
  Outcome two = second();
  return one.exit_code != kDone ? std::move(one) : std::move(two);
}

// With an IPAM plugin other than ours.
Outcome run_delegated(const NetworkConfig& config, const Request& request) {
  const std::string& verb = request.verb();
  const auto agent = [&] { return ask_agent(config, request); };
  const auto delegate = [&] { return ask_delegate(config, request, verb); };
  if (verb == "ADD") {
    return add_delegated(config, request);
  }
  if (verb == "DEL") {
    return del_delegated(config, request);
  }
  if (verb == "GC") {
    // Without a list nothing may be removed, and not every plugin knows that.
    return config.attachments ? both(agent, delegate) : agent();
  }
  return both(agent, delegate);
}

// Whether all of it was taken.
bool print(const Outcome& outcome) {
  const std::string& output = outcome.output;
  return std::fwrite(output.data(), 1, output.size(), stdout) == output.size() &&
         std::fflush(stdout) == 0;
}

// Of an answer that nobody took: the agent undoes its part as it hears no word about it, and the
// delegate gets its address back when that is done.
void take_back(const NetworkConfig& config, const Request& request, Outcome outcome) {
  std::fprintf(stderr, "margay: write the answer to standard output: failed\n");
  outcome.call.reset();
  if (outcome.exit_code == kDone && outcome.delegate_gave) {
    (void)del_delegated(config, request);
  }
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
    return print_versions(asked_version(*input));
  }
  if (auto error = check_environment(environment)) {
    return print_error(*error, asked_version(*input));
  }
  if (!config) {
    return print_error(config.error(), asked_version(*input));
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
  const bool delegated = plugin == "margay" && config->ipam.delegated();
  Outcome outcome = delegated ? run_delegated(*config, request) : ask_agent(*config, request);
  if (!print(outcome)) {
    take_back(*config, request, std::move(outcome));
    return kFailed;
  }
  if (outcome.call) {
    outcome.call->acknowledge();
  }
  return outcome.exit_code;
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
