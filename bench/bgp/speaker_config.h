#pragma once
// What each speaker under measurement is called, told and started with. The same plan means the
// same to all of them: who the neighbours are, whether routes go into the kernel.

#include "base/ip_addr.h"
#include "base/strong.h"

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace margay::bench {

enum class SpeakerKind { kMargay, kBird, kFrr, kFrrEager, kGobgp, kOpenbgpd };

inline constexpr Asn kSpeakerAsn{65000};
[[nodiscard]] IpAddr speaker_address();

struct Neighbor {
  IpAddr address;
  Asn asn;  // kSpeakerAsn: internal
};

struct SpeakerPlan {
  std::vector<Neighbor> neighbors;  // all connect to the speaker; one network for all
  bool reflector = false;           // internal neighbours are its clients
  bool kernel_routes = false;
  // Interval, three of them, with internal neighbours, which are told nothing then; zero: none.
  // Ours only.
  std::chrono::milliseconds bfd{};
};

struct SpeakerProgram {
  std::vector<std::string> argv;
  std::filesystem::path ready;  // the next program needs this; empty: nothing
};

[[nodiscard]] std::string_view name_of(SpeakerKind kind);
// GoBGP has no kernel access of its own, OpenBGPD none on Linux.
[[nodiscard]] bool writes_kernel_routes(SpeakerKind kind);
// Writes the files of this speaker into the folder; the programs to start, in order.
[[nodiscard]] std::vector<SpeakerProgram> prepare_speaker(SpeakerKind kind,
                                                          const SpeakerPlan& plan,
                                                          const std::filesystem::path& folder);

}  // namespace margay::bench
