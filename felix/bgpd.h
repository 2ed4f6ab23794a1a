#pragma once
// BgpDaemon: the parts of margay-bgpd put together: the speaker, a kernel thread for its routes,
// the control socket, and a loop that waits for signals.
//
// SIGHUP reads the file again and touches only what changed; a bad file leaves the running
// configuration. At the end the peers are told, and the routes leave the kernel unless graceful
// restart is on.

#include "bgp/bgpd_config.h"
#include "felix/log.h"

#include <functional>
#include <memory>

namespace margay::felix {

class BgpDaemon {
 public:
  using Reload = std::function<Result<bgp::BgpdConfig>()>;

  static Result<std::unique_ptr<BgpDaemon>> create(bgp::BgpdConfig config, Log& log);
  ~BgpDaemon();
  BgpDaemon(const BgpDaemon&) = delete;
  BgpDaemon& operator=(const BgpDaemon&) = delete;

  // Returns after SIGTERM or SIGINT.
  void run(const Reload& reload);

 private:
  struct State;
  explicit BgpDaemon(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace margay::felix
