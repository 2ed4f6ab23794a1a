// margay-bgpd: the BGP speaker alone, from one YAML file: route reflector, lab switch, benchmark
// subject.

#include "base/text_file.h"
#include "bgp/monitor/replay.h"
#include "felix/bgpd.h"

#include <CLI/CLI.hpp>

#include <sys/stat.h>

#include <cstdio>
#include <exception>
#include <string>

namespace margay::felix {
namespace {

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;

int report(const Error& error) {
  std::fprintf(stderr, "margay-bgpd: %s\n", error.text.c_str());
  return kFailed;
}

int replay(const std::string& path) {
  const auto text = read_text_file(path);
  if (!text) {
    return report(text.error());
  }
  const auto replayed = bgp::replay_record(*text);
  if (!replayed) {
    return report({Errc::kInvalid, path + ": " + replayed.error().text, 0});
  }
  fmt::print("peer {}, begun {}: {} inputs replayed, {} decisions compared{}\n",
             replayed->peer,
             replayed->time,
             replayed->inputs,
             replayed->decisions,
             replayed->complete ? "" : "; the record has no end");
  if (!replayed->difference.empty()) {
    return report({Errc::kInvalid, path + ": " + replayed->difference, 0});
  }
  return kDone;
}

int main_checked(int argc, char** argv) {
  CLI::App app("Margay's BGP speaker alone, configured by one file.", "margay-bgpd");
  app.set_version_flag("--version", std::string("margay-bgpd ") + MARGAY_VERSION);
  std::string file = "/etc/margay/bgpd.yaml";
  std::string level = "info";
  std::string record;
  bool check = false;
  app.add_option("--config", file, "configuration file; default /etc/margay/bgpd.yaml");
  app.add_option("--log-level", level, "error, warn, info, debug or trace; default info")
      ->check(CLI::IsMember({"error", "warn", "info", "debug", "trace"}));
  app.add_flag("--check", check, "read the configuration, say what is wrong with it, and end");
  app.add_option("--replay", record, "replay the record of a peer, say what differs, and end");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  if (!record.empty()) {
    return replay(record);
  }
  auto config = bgp::read_bgpd_config(file);
  if (!config) {
    return report(config.error());
  }
  if (check) {
    return kDone;
  }
  Log log(level, LogFormat::kText);
  const auto daemon = BgpDaemon::create(std::move(*config), log);
  if (!daemon) {
    return report(daemon.error());
  }
  (*daemon)->run([&file] { return bgp::read_bgpd_config(file); });
  return kDone;
}

}  // namespace
}  // namespace margay::felix

int main(int argc, char** argv) {
  ::umask(S_IRWXG | S_IRWXO);
  try {
    return margay::felix::main_checked(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "margay-bgpd: cannot start: %s\n", error.what());
    return 1;
  }
}
