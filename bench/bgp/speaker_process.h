#pragma once
// SpeakerProcess: a BGP speaker under measurement, ours or BIRD 2, started anew for every round in
// a network namespace of its own, joined by one link to the namespace of the measuring peers.

#include "base/ip_addr.h"
#include "base/strong.h"
#include "tests/lab/process.h"

#include <filesystem>
#include <memory>
#include <string>

namespace margay::bench {

// The two ends of the link, and who is where on it.
inline constexpr Asn kSpeakerAsn{65000};
inline constexpr Asn kSenderAsn{65001};
inline constexpr Asn kObserverAsn{65002};
[[nodiscard]] IpAddr speaker_address();
[[nodiscard]] IpAddr sender_address();
[[nodiscard]] IpAddr observer_address();

enum class SpeakerKind { kMargay, kBird };

// The namespace of the speakers; it goes away with this object.
class SpeakerNetwork {
 public:
  // Moves this process into another fresh namespace that holds the peers' end of the link.
  static Result<SpeakerNetwork> open();
  ~SpeakerNetwork();
  SpeakerNetwork(SpeakerNetwork&& other) noexcept;
  SpeakerNetwork& operator=(SpeakerNetwork&& other) = delete;
  SpeakerNetwork(const SpeakerNetwork&) = delete;
  SpeakerNetwork& operator=(const SpeakerNetwork&) = delete;

  [[nodiscard]] int descriptor() const { return fd_; }

 private:
  SpeakerNetwork() = default;
  int fd_ = -1;
};

class SpeakerProcess {
 public:
  static Result<std::unique_ptr<SpeakerProcess>> start(SpeakerKind kind,
                                                       const SpeakerNetwork& network);
  ~SpeakerProcess();  // SIGKILL: a restart is not measured here
  SpeakerProcess(const SpeakerProcess&) = delete;
  SpeakerProcess& operator=(const SpeakerProcess&) = delete;

  [[nodiscard]] double peak_memory_mib() const;
  [[nodiscard]] std::string log() const;

 private:
  SpeakerProcess() = default;

  std::filesystem::path folder_;
  lab::ProcessId process_;
};

}  // namespace margay::bench
