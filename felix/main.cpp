// margayd: the node agent. Reads the configuration, composes log and agent, runs the loop until a
// signal ends it.

#include "base/step.h"
#include "felix/agent.h"
#include "felix/cleanup.h"
#include "felix/config.h"
#include "felix/log.h"
#include "felix/notify.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/logger.h>

#include <sys/stat.h>
#include <system_error>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>

namespace margay::felix {
namespace {

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr const char* kDefaultConfigFile = "/etc/margay/margayd.yaml";

struct CommandLine {
  std::string config_file;  // empty: the default one, which may be absent
  ConfigValues flags;
};

// run_dir -> MARGAY_RUN_DIR
std::string environment_name(std::string_view field) {
  std::string name = "MARGAY_";
  std::ranges::transform(field, std::back_inserter(name), [](unsigned char c) {
    return static_cast<char>(std::toupper(c));
  });
  return name;
}

// run_dir -> --run-dir
std::string flag_name(std::string_view field) {
  std::string name = "--" + std::string(field);
  std::ranges::replace(name, '_', '-');
  return name;
}

ConfigValues read_environment() {
  ConfigValues values;
  for (const ConfigField& field : config_fields()) {
    if (const char* value = std::getenv(environment_name(field.name).c_str())) {
      values.emplace(field.name, value);
    }
  }
  return values;
}

Result<AgentConfig> load(const CommandLine& line) {
  const bool default_file = line.config_file.empty();
  const std::string path = default_file ? kDefaultConfigFile : line.config_file;
  ConfigValues file;
  std::error_code errc;
  if (!default_file || std::filesystem::exists(path, errc) || errc) {
    auto read = read_config_file(path);
    if (!read) {
      return fail(read.error());
    }
    file = std::move(*read);
  }
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return make_config(file, read_environment(), line.flags, host.data());
}

int report(const Error& error) {
  std::fprintf(stderr, "margayd: %s\n", error.text.c_str());
  return kFailed;
}

// Runs agents one after the other until a signal says stop: a changed configuration is taken by a
// new agent in the same process, which finds the kernel as the old one left it. One that no agent
// can start with is not taken.
int run(const CommandLine& line, AgentConfig config) {
  Log log(config.log_level, config.log_format);
  std::optional<AgentConfig> before;
  while (true) {
    log.set_level(config.log_level);
    log.set_format(config.log_format);
    auto agent = Agent::create(config, log);
    if (!agent && before) {
      log.make("felix")->error("configuration not taken, the old one stays err=\"{}\"",
                               agent.error().text);
      config = *std::exchange(before, std::nullopt);
      continue;
    }
    if (!agent) {
      return report(agent.error());
    }
    const auto ended = (*agent)->run([&line] { return load(line); });
    if (!ended) {
      return report(ended.error());
    }
    if (!*ended) {
      notify_systemd("STOPPING=1");
      return kDone;
    }
    before = (*agent)->config();
    config = **ended;
  }
}

int print_fault_points() {
  for (const StepName& step : kSteps) {
    fmt::print("{:<18} {:<5} {}\n", step.name, step.during, step.what);
  }
  return kDone;
}

int main_checked(int argc, char** argv) {
  CLI::App app("Margay node agent: routes, network policy and BGP for the containers of one node.",
               "margayd");
  app.set_version_flag("--version", std::string("margayd ") + MARGAY_VERSION);
  app.option_defaults()->always_capture_default(false);
  CommandLine line;
  app.add_option(
      "--config", line.config_file, "configuration file; default /etc/margay/margayd.yaml");
  std::map<std::string, std::string> given;
  for (const ConfigField& field : config_fields()) {
    app.add_option(flag_name(field.name), given[std::string(field.name)], std::string(field.help))
        ->envname("")
        ->expected(1);
  }
  app.fallthrough();  // flags may stand behind the command
  auto* cleanup = app.add_subcommand(
      "cleanup", "remove everything that Margay ever put into this kernel, nothing else");
  auto* fault_points = app.add_subcommand(
      "fault-points", "list the steps that fault_injection can stop an agent at, for tests");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  if (fault_points->parsed()) {
    return print_fault_points();
  }
  for (const ConfigField& field : config_fields()) {
    if (app.count(flag_name(field.name)) > 0) {
      line.flags.emplace(field.name, given[std::string(field.name)]);
    }
  }
  if (const auto good = check_values(line.flags); !good) {
    report(good.error());
    return kUsage;
  }
  auto config = load(line);
  if (!config) {
    return report(config.error());
  }
  if (cleanup->parsed()) {
    const auto done = cleanup_kernel(*config);
    return done ? kDone : report(done.error());
  }
  return run(line, std::move(*config));
}

}  // namespace
}  // namespace margay::felix

int main(int argc, char** argv) {
  ::umask(S_IRWXG | S_IRWXO);
  try {
    return margay::felix::main_checked(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "margayd: cannot start: %s\n", error.what());
    return 1;
  }
}
