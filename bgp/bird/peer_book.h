#pragma once
// PeerBook: the configured peers and what BIRD says of their sessions, one question after the
// other. What BIRD does not keep is kept here: flaps, and why a session ended last. Pure.

#include "bgp/bird/config.h"
#include "bgp/bird/routes.h"
#include "bgp/bird/sessions.h"

#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace margay::bgp::bird {

class PeerBook {
 public:
  // Peers in the order of their names.
  void configure(const SpeakerConfig& config, const Rendered& rendered);
  // BIRD's answer to a question; what happened since the one before. `recovering`: peers have not
  // all said their routes since BIRD was started.
  [[nodiscard]] std::vector<SpeakerEvent> on_sessions(const std::vector<Session>& sessions,
                                                      bool recovering);
  void on_bfd(std::map<std::string, std::string> states) { bfd_ = std::move(states); }
  // BIRD is gone, and so are its sessions.
  [[nodiscard]] std::vector<SpeakerEvent> on_end(std::chrono::system_clock::time_point now);

  // By name or address; null when there is none.
  [[nodiscard]] const PeerConfig* find(const std::string& text) const;
  [[nodiscard]] PeerStatus status(const PeerConfig& peer) const;
  [[nodiscard]] std::vector<PeerStatus> statuses() const;
  [[nodiscard]] PathSources sources() const;
  [[nodiscard]] std::vector<std::pair<PeerId, std::string>> names() const;
  [[nodiscard]] bool any_bfd() const;
  // Some session uses BFD, and what kind follows from the networks of this machine.
  [[nodiscard]] bool bfd_by_networks() const;

 private:
  struct Known {
    Session session;
    std::uint32_t flaps = 0;
    std::string last_error;
  };

  void take(const std::string& peer, const Session& session, std::vector<SpeakerEvent>& events);
  [[nodiscard]] PeerId id_of(const PeerConfig& peer) const;

  std::vector<PeerConfig> peers_;
  std::map<std::string, std::string> protocols_;  // BIRD's names to the peers'
  std::map<std::string, std::string> refused_;
  std::map<std::string, Known> known_;  // by peer
  std::map<std::string, std::string> bfd_;
  bool recovering_ = false;
};

}  // namespace margay::bgp::bird
