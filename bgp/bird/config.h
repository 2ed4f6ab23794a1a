#pragma once
// A speaker's configuration as a complete configuration file of BIRD 2.
//
// The file is the whole truth: BIRD is started with it and told to read it again, nothing is set
// otherwise. BIRD writes no kernel routes (there is no kernel protocol in it): its routes are read
// back and go the way of the embedded speaker's. Therefore next hops are not resolved in BIRD
// either: a table of its own holds one route to everywhere. Pure; equal values give equal text.

#include "bgp/speaker.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace margay::bgp::bird {

struct Settings {
  std::string log_file;           // of BIRD
  std::vector<Prefix> connected;  // networks of this machine: BFD with peers there is single hop
};

struct Rendered {
  std::string text;
  std::string digest;  // what BIRD says of kDigestName while this text is in force
  std::map<std::string, std::string> protocols;  // BIRD's names of the sessions, to the peers'
  std::map<std::string, std::string> refused;    // peers that BIRD cannot have, and why
};

inline constexpr std::string_view kDigestName = "margay_config";
// Tables and protocols of ours in BIRD; sessions have names that begin otherwise.
inline constexpr std::string_view kTable4 = "master4";
inline constexpr std::string_view kTable6 = "master6";

[[nodiscard]] Rendered render(const SpeakerConfig& config, const Settings& settings);

// BIRD's name of a peer's session: the peer's own with a prefix where it fits.
[[nodiscard]] std::string protocol_name(std::string_view peer);

// Why BIRD cannot have such a session, in words; empty: it can.
[[nodiscard]] std::string refusal(const PeerConfig& peer, const Settings& settings);

}  // namespace margay::bgp::bird
