#pragma once
// margay-bgpd as a process of a test, in the network namespace the test is in.

#include "tests/lab/process.h"

#include <filesystem>
#include <memory>
#include <string>

namespace margay::bgp::test {

// Moves this process into a fresh network namespace with these addresses ("10.0.0.1/32") on lo.
Result<void> enter_fresh_network(const std::vector<std::string>& addresses);

class Bgpd {
 public:
  // Writes the configuration beside its log in a folder of its own and starts the program.
  static Result<std::unique_ptr<Bgpd>> start(const std::string& name, const std::string& yaml);
  ~Bgpd();  // SIGTERM, then SIGKILL; removes the folder
  Bgpd(const Bgpd&) = delete;
  Bgpd& operator=(const Bgpd&) = delete;

  // Rewrites the configuration and asks for it to be read (SIGHUP).
  void reload(const std::string& yaml);
  // SIGTERM, and waits for the end.
  void finish();

  [[nodiscard]] bool alive() const;
  [[nodiscard]] pid_t pid() const { return process_.pid; }
  // Where its log is; margayctl --run-dir finds its control socket here.
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] const lab::ProcessId& process() const { return process_; }
  [[nodiscard]] std::string log() const;
  [[nodiscard]] std::size_t peak_memory() const;  // bytes that were resident at once
  [[nodiscard]] std::size_t open_files() const;

 private:
  Bgpd() = default;

  void write_config(const std::string& yaml) const;

  std::filesystem::path folder_;
  lab::ProcessId process_;
};

}  // namespace margay::bgp::test
