#pragma once
// EndpointService: what the agent does for a CNI call. ADD gives addresses and stores the endpoint
// in one commit, wires the container, and answers when policy and route of the endpoint are in the
// kernel; on any failure everything is undone. DEL is its mirror and may run twice.
//
//   owner's loop        ADD -> blocking work            -> wait for enforcement -> answer
//   store worker               parse, assign, commit, wire      (time-out: undo)
//
// handle() and all callbacks run on the loop; what blocks runs on the store worker, one task after
// the other, so calls about one container never overlap there; ADDs of a burst that wait for it are
// one task, and one commit. What is on its way stands in the state directory, and the next agent
// undoes or finishes it. The objects behind the references of
// Environment must live until both workers have stopped.

#include "api/resource.h"
#include "base/result.h"
#include "cni/config.h"
#include "datastore/store.h"
#include "ipam/pools.h"
#include "kernel/netns.h"
#include "kernel/wiring.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace margay::felix {

// Implemented by the agent: knows what the kernel enforces.
class EnforcementWaiter {
 public:
  EnforcementWaiter() = default;
  EnforcementWaiter(const EnforcementWaiter&) = delete;
  EnforcementWaiter& operator=(const EnforcementWaiter&) = delete;
  virtual ~EnforcementWaiter() = default;

  // Calls back once, on the loop, when the endpoint as of this revision is enforced: its policy is
  // in the kernel and its routes are. At once if that is so already. Never after cancel(key).
  virtual void when_enforced(const api::ResourceKey& endpoint,
                             datastore::Revision revision,
                             std::function<void()> done) = 0;
  virtual void cancel(const api::ResourceKey& endpoint) = 0;
};

// For STATUS.
enum class Readiness : std::uint8_t {
  kReady,
  kNotReady,  // not in sync with store and kernel
  kLimited,   // nor is it sure that what runs is reached: the kernel takes nothing
};

// The kernel side of a container; kernel/wiring.h does it, tests put a fake here.
struct Wiring {
  std::function<Result<WiringResult>(const WiringRequest&)> wire =
      [](const WiringRequest& request) { return wire_container(request); };
  std::function<Result<void>(const IfName&)> unwire = unwire_container;
  std::function<Result<void>(const WiringRequest&)> check = check_container;
  // Whether this is the namespace of the agent, which no container may be wired into.
  std::function<bool(const std::string& netns_path)> is_own = NetNs::is_current;
  // What wire said, once more.
  std::function<Result<WiringResult>(const WiringRequest&)> look = look_at_container;
};

struct CniRequest {
  std::string verb;
  std::string container_id;
  std::string netns;
  std::string ifname;
  std::map<std::string, std::string> args;
  std::string config;
  std::string plugin;     // "margay" or "margay-ipam"
  std::string delegated;  // the answer of an IPAM plugin other than ours
};
struct CniResponse {
  int exit_code = 0;
  std::string output;
  bool wants_addresses = false;  // from the IPAM plugin of the configuration
  // Of an ADD: called once, on the loop, when it is known whether the plugin took the answer. One
  // that was killed before has given nothing to its runtime, so what was made is undone.
  std::function<void(bool taken)> on_taken = nullptr;
};

class EndpointService {
 public:
  using Post = std::function<void(std::function<void()>)>;
  using Reply = std::function<void(CniResponse)>;

  struct Environment {
    datastore::Store& store;
    NodeName node;
    std::string state_dir;      // holds the journal of releases
    ipam::SelectorMatch match;  // over labels, for pools
    EnforcementWaiter& waiter;
    Post to_worker;  // the store worker
    Post to_loop;
    // Runs the function on the loop after a delay.
    std::function<void(std::chrono::milliseconds, std::function<void()>)> after;
    std::function<Readiness()> ready;
    // An address reached over the fabric, for the MTU of containers.
    std::function<std::optional<IpAddr>()> fabric;
    std::function<void(const std::string& line)> log;  // warnings; loop or worker
    Wiring wiring;
    // Where links are removed after the answer of DEL, so that nobody waits for it; null: the store
    // worker.
    Post to_unwire;
    AtStep at_step = nullptr;  // faults on purpose; loop or worker
  };

  explicit EndpointService(Environment environment);
  ~EndpointService();
  EndpointService(const EndpointService&) = delete;
  EndpointService& operator=(const EndpointService&) = delete;

  // Replays the journal of an earlier run and claims a block ahead of the first ADD.
  void start();
  // The store can be reached again: replay what is in the journal.
  void on_store_available();
  // Answers once, on the loop.
  void handle(CniRequest request, Reply reply);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace margay::felix
