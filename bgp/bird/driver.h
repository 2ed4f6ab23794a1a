#pragma once
// Driver: an external BIRD 2 in the place of the embedded speaker.
//
//   SpeakerConfig --render--> bird.conf --bird -p--> `configure` --> asked for its digest
//   `show protocols all`, `show route all` --read--> status, routes, next hops for the kernel
//
// It starts a BIRD of its own in the run directory, with its own files and control socket, looks
// after it (a BIRD that ended is started again, with growing pauses), and touches no other: what
// answers on the socket must be the process that was started on these files. BIRD goes on when the
// driver ends, and the next driver finds it. BIRD cannot tell of changes by itself: it is asked
// kPoll after kPoll for its counters, and for its routes when those moved. Callbacks run on the
// driver's thread, where also everything blocks that must; functions may be called from any thread.

#include "base/result.h"
#include "bgp/speaker.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace margay::bgp::bird {

inline constexpr std::chrono::milliseconds kPoll{100};

class Driver : public SpeakerControl {
 public:
  // Fails when there is no BIRD 2 on this machine.
  static Result<std::unique_ptr<Driver>> create(const std::string& run_dir,
                                                Speaker::Callbacks callbacks);
  // BIRD goes on.
  ~Driver() override;
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  void configure(SpeakerConfig config) override;
  void status(std::function<void(SpeakerStatus)> reply) override;
  void routes(RouteQuery query, std::function<void(RoutesView)> reply) override;
  void neighbor(std::string peer, std::function<void(std::optional<NeighborView>)> reply) override;
  // BIRD does not say which rule decided.
  void exports(std::string peer,
               std::optional<Prefix> prefix,
               std::function<void(std::optional<ExportsView>)> reply) override;
  void dump_table(std::function<void(const Result<TableDump>&)> reply) override;

 private:
  class Loop;
  explicit Driver(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

// For a machine that is to have no BIRD of ours any more: ends it, if it is there, and removes its
// files. `leave_routes`: its peers are to keep our routes (RFC 4724), as another speaker takes
// over.
[[nodiscard]] Result<void> remove_bird(const std::string& run_dir, bool leave_routes);

}  // namespace margay::bgp::bird
