#pragma once
// SpeakerProcess: a BGP speaker under measurement, ours or another, started anew for every round in
// a network namespace of its own, joined by one link to the namespace of the measuring peers.

#include "bench/bgp/speaker_config.h"
#include "tests/lab/process.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace margay::bench {

// Who is where on the peers' end of the link.
inline constexpr Asn kSenderAsn{65001};
inline constexpr Asn kObserverAsn{65002};
[[nodiscard]] IpAddr sender_address();
[[nodiscard]] IpAddr observer_address();
[[nodiscard]] IpAddr client_address(unsigned number);  // from 0 on

// The namespace of the speakers; it goes away with this object.
class SpeakerNetwork {
 public:
  // Moves this process into another fresh namespace that holds the peers' end of the link.
  static Result<SpeakerNetwork> open(unsigned clients = 0);
  ~SpeakerNetwork();
  SpeakerNetwork(SpeakerNetwork&& other) noexcept;
  SpeakerNetwork& operator=(SpeakerNetwork&& other) = delete;
  SpeakerNetwork(const SpeakerNetwork&) = delete;
  SpeakerNetwork& operator=(const SpeakerNetwork&) = delete;

  [[nodiscard]] int descriptor() const { return fd_; }
  // Runs the function in the namespace of the speakers.
  Result<void> inside(const std::function<Result<void>()>& function) const;

 private:
  SpeakerNetwork() = default;
  int fd_ = -1;
};

class SpeakerProcess {
 public:
  static Result<std::unique_ptr<SpeakerProcess>> start(SpeakerKind kind,
                                                       const SpeakerPlan& plan,
                                                       const SpeakerNetwork& network);
  ~SpeakerProcess();  // SIGKILL: a restart is not measured here
  SpeakerProcess(const SpeakerProcess&) = delete;
  SpeakerProcess& operator=(const SpeakerProcess&) = delete;

  // Of all its processes.
  [[nodiscard]] double peak_memory_mib() const;
  [[nodiscard]] double resident_memory_mib() const;
  [[nodiscard]] double cpu_seconds() const;
  // Waits until it has nothing more to do, for some seconds at most.
  void settle() const;
  // The last line that it wrote to its log, to say why something failed.
  [[nodiscard]] std::string last_words() const;

 private:
  SpeakerProcess() = default;
  Result<void> launch(const SpeakerProgram& program, int network);
  [[nodiscard]] std::vector<pid_t> members() const;

  std::filesystem::path folder_;
  std::vector<lab::ProcessId> processes_;
};

}  // namespace margay::bench
