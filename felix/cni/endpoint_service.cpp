#include "felix/cni/endpoint_service.h"

#include "cni/annotations.h"
#include "cni/chain.h"
#include "cni/result.h"
#include "felix/cni/endpoint_work.h"
#include "felix/cni/identity.h"
#include "felix/cni/unwire_queue.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

namespace margay::felix {

namespace {

using cni::Code;

constexpr int kFailedExit = 1;

CniResponse failed(const cni::CniError& error, std::string_view version) {
  return {.exit_code = kFailedExit,
          .output = cni::error_json(error, version),
          .wants_addresses = false};
}

// The annotations of the pod win over the configuration, but not over what the runtime asks for.
std::optional<cni::CniError> apply_annotations(cni::NetworkConfig& config) {
  const auto asked = cni::read_annotations(config.annotations);
  if (!asked) {
    return asked.error();
  }
  if (config.addresses.empty()) {
    config.addresses = asked->addresses;
  }
  config.ipam.ipv4_pools = asked->ipv4_pools.value_or(config.ipam.ipv4_pools);
  config.ipam.ipv6_pools = asked->ipv6_pools.value_or(config.ipam.ipv6_pools);
  if (asked->families) {
    config.ipam.assign_ipv4 = asked->families->ipv4;
    config.ipam.assign_ipv6 = asked->families->ipv6;
  }
  config.mac = config.mac ? config.mac : asked->mac;
  return std::nullopt;
}

std::int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Waits up to 1 ms, 2 ms, 4 ms ... 32 ms, at random: who lost a race should not meet the winner
// again. Runs on the store worker.
std::function<void(unsigned)> random_back_off() {
  return [engine = std::minstd_rand(std::random_device{}())](unsigned attempt) mutable {
    constexpr unsigned kMaxShift = 5;
    constexpr unsigned kUnitUs = 1000;
    std::uniform_int_distribution<unsigned> spread(0, kUnitUs << std::min(attempt - 1, kMaxShift));
    std::this_thread::sleep_for(std::chrono::microseconds(spread(engine)));
  };
}

}  // namespace

struct EndpointService::State : std::enable_shared_from_this<State> {
  // One request on its way. Only `expired` is read by both threads.
  struct Call {
    CniRequest request;
    cni::NetworkConfig config;
    Identity identity;
    Reply reply;
    std::optional<IpAddr> fabric;
    std::atomic<bool> expired{false};
    bool waiting = false;  // for enforcement
    std::string answer;    // what ADD prints when enforced
    bool answered = false;
  };
  using CallPtr = std::shared_ptr<Call>;

  // ADDs that the worker will take together, so that one commit serves all: those that came before
  // it had time for the first. Anything else that is posted closes the batch, so nothing overtakes.
  class AddBatch {
   public:
    // Bounds how long the last one waits for the first one's wiring.
    static constexpr std::size_t kMost = 64;

    // False: it is taken or full, or has an ADD of this endpoint already.
    bool join(const CallPtr& call) {
      const std::lock_guard lock(mutex_);
      const bool same = std::ranges::any_of(calls_, [&call](const CallPtr& other) {
        return other->identity.key() == call->identity.key() ||
               other->identity.host_name == call->identity.host_name;
      });
      if (taken_ || same || calls_.size() >= kMost) {
        return false;
      }
      calls_.push_back(call);
      return true;
    }
    std::vector<CallPtr> take() {
      const std::lock_guard lock(mutex_);
      taken_ = true;
      return std::move(calls_);
    }

   private:
    std::mutex mutex_;
    std::vector<CallPtr> calls_;
    bool taken_ = false;
  };

  // What the ADDs on their way make of one host interface. The last of them undoes it, unless the
  // runtime has had an answer about it.
  struct Making {
    CallPtr latest;
    bool undelivered = false;  // made by these ADDs, and no runtime knows yet
  };

  explicit State(Environment environment)
      : env(std::move(environment)),
        work(env.store,
             ipam::Allocator::Environment{
                 env.node, env.match, unix_now, random_back_off(), env.at_step},
             env.state_dir,
             env.wiring,
             env.at_step,
             env.log) {}

  // Removes what is queued by now, one after the other.
  void drain_unwire() {
    for (auto name = unwire_queue.take(); name; name = unwire_queue.take()) {
      if (const auto done = env.wiring.unwire(*name); !done) {
        env.log("remove interface " + name->str() + ": " + done.error().text);
      }
      pass(env.at_step, Step::kLinkRemoved);
      forget(*name);
      unwire_queue.done();
    }
  }
  void unwire_later(const IfName& name) {
    unwire_queue.add(name);
    const Post& post = env.to_unwire ? env.to_unwire : env.to_worker;
    post([self = shared_from_this()] { self->drain_unwire(); });
  }

  // From the loop.
  void on_worker(std::function<void()> task) {
    open_batch.reset();
    env.to_worker(std::move(task));
  }

  void answer(const CallPtr& call, CniResponse response) {
    if (!call->answered) {
      call->answered = true;
      // Let go of: who waits for the answer may keep it, and its on_taken keeps the call.
      const auto reply = std::exchange(call->reply, nullptr);
      reply(std::move(response));
    }
  }
  void answer_error(const CallPtr& call, const cni::CniError& error) {
    answer(call, failed(error, call->config.cni_version));
  }
  // From the worker: the outcome of a verb that prints nothing.
  void answer_from_worker(const CallPtr& call, const Result<void, cni::CniError>& outcome) {
    env.to_loop([self = shared_from_this(), call, outcome] {
      outcome ? self->answer(call, {}) : self->answer_error(call, outcome.error());
    });
  }

  void dispatch(const CallPtr& call) {
    const std::string& verb = call->request.verb;
    const bool ipam_only = call->request.plugin == "margay-ipam";
    if (verb == "STATUS") {
      return status(call);
    }
    if (verb == "GC" && !call->config.attachments) {
      return answer(call, {});  // without a list nothing may be removed
    }
    if (verb == "GC") {
      return collect(call);
    }
    if (verb == "CHECK" && call->config.cni_version == "0.3.1") {
      return answer_error(
          call,
          {Code::kIncompatibleVersion, "cniVersion 0.3.1 has no CHECK", "use 0.4.0 or later"});
    }
    if (verb == "DEL" && check_names(call->identity)) {
      return answer(call, {});  // no ADD of it was ever taken, and its names belong into no file
    }
    if (ipam_only) {
      return ipam_verb(call);
    }
    if (verb == "ADD") {
      return add(call);
    }
    if (verb == "CHECK") {
      return check(call);
    }
    if (verb == "DEL") {
      return remove(call);
    }
    answer_error(call, {Code::kBadEnvironment, "CNI_COMMAND \"" + verb + "\" is not known", {}});
  }

  void status(const CallPtr& call) {
    switch (env.ready()) {
      case Readiness::kReady:
        return answer(call, {});
      case Readiness::kNotReady:
        return answer_error(call,
                            {Code::kNotAvailable,
                             "margayd is not in sync with its datastore and kernel yet",
                             "see `margayctl node status`"});
      case Readiness::kLimited:
        return answer_error(call,
                            {Code::kLimited,
                             "the kernel does not take what margayd writes: containers that run "
                             "may be cut off",
                             "see `margayctl node status`"});
    }
  }

  void start_clock(const CallPtr& call) {
    env.after(std::chrono::seconds(call->config.timeout_s),
              [self = shared_from_this(), call] { self->on_expired(call); });
  }

  void on_expired(const CallPtr& call) {
    if (call->answered) {
      return;
    }
    call->expired = true;
    if (!call->waiting) {
      return;  // the worker has it; what it made is undone when it comes back
    }
    env.waiter.cancel(call->identity.key());
    give_up(call);
  }

  cni::CniError too_late(const CallPtr& call) const {
    return {Code::kTryAgainLater,
            call->request.verb + " of container " + call->identity.container_id +
                ": policy and route were not in the kernel within " +
                std::to_string(call->config.timeout_s) + " s",
            "the node may be loading a lot of policy; the call may be repeated"};
  }

  // The time is up: undo an ADD, then answer.
  void give_up(const CallPtr& call) { fail_made(call, too_late(call)); }
  void fail_made(const CallPtr& call, const cni::CniError& error) {
    call->waiting = false;
    if (call->request.verb != "ADD" || !is_to_undo(call)) {
      return answer_error(call, error);
    }
    on_worker([self = shared_from_this(), call, error] {
      self->work.undo(call->identity);
      self->env.to_loop([self, call, error] { self->answer_error(call, error); });
    });
  }

  // An ADD is over without an answer that reached its runtime. True: what was made goes, too.
  bool is_to_undo(const CallPtr& call) {
    const auto found = making.find(call->identity.host_name);
    if (found == making.end() || found->second.latest != call) {
      return false;  // a later ADD has it
    }
    const bool undo = found->second.undelivered;
    making.erase(found);
    return undo;
  }
  void on_taken(const CallPtr& call, bool taken) {
    if (!taken) {
      if (is_to_undo(call)) {
        env.log("nobody took the answer of an ADD container=" + call->identity.container_id);
        on_worker([self = shared_from_this(), call] { self->work.undo(call->identity); });
      }
      return;
    }
    const auto found = making.find(call->identity.host_name);
    if (found == making.end()) {
      return;
    }
    found->second.undelivered = false;
    if (found->second.latest == call) {
      making.erase(found);
    }
  }

  void wait_enforced(const CallPtr& call, datastore::Revision revision) {
    if (call->expired) {
      return give_up(call);
    }
    call->waiting = true;
    env.waiter.when_enforced(call->identity.key(), revision, [self = shared_from_this(), call] {
      if (call->waiting) {
        call->waiting = false;
        self->on_enforced(call);
      }
    });
  }

  void on_enforced(const CallPtr& call) {
    if (call->request.verb != "ADD") {
      return answer(call, {.exit_code = 0, .output = call->answer, .wants_addresses = false});
    }
    pass(env.at_step, Step::kAddEnforced);
    answer_added(call);
  }
  // From here on the next agent leaves it alone.
  void answer_added(const CallPtr& call) {
    if (const auto ended = work.end_call(call->identity.host_name); !ended) {
      return fail_made(call,
                       {Code::kIo,
                        "end the ADD in the state directory: " + ended.error().text,
                        "the agent must be allowed to write its state directory"});
    }
    pass(env.at_step, Step::kAddForgotten);
    answer(call,
           {.exit_code = 0,
            .output = call->answer,
            .wants_addresses = false,
            .on_taken = [self = shared_from_this(), call](bool taken) {
              self->on_taken(call, taken);
            }});
  }

  void add(const CallPtr& call) {
    call->fabric = env.fabric();
    start_clock(call);
    making[call->identity.host_name].latest = call;
    if (open_batch && open_batch->join(call)) {
      return;
    }
    auto batch = std::make_shared<AddBatch>();
    batch->join(call);
    on_worker([self = shared_from_this(), batch] { self->work_on(batch->take()); });
    open_batch = batch;
  }

  // On the worker.
  void work_on(const std::vector<CallPtr>& calls) {
    std::vector<EndpointWork::AddTask> tasks;
    for (const CallPtr& call : calls) {
      if (call->expired) {
        env.to_loop([self = shared_from_this(), call] { self->give_up(call); });
        continue;
      }
      const bool owed = unwire_queue.claim(call->identity.host_name);
      tasks.push_back(EndpointWork::AddTask{
          call->request,
          call->config,
          call->identity,
          call->fabric,
          [self = shared_from_this(), call, owed](
              Result<EndpointWork::Added, cni::CniError> added) {
            if (owed && (!added || added->wants_addresses)) {
              self->unwire_later(call->identity.host_name);
            }
            auto shared =
                std::make_shared<Result<EndpointWork::Added, cni::CniError>>(std::move(added));
            self->env.to_loop([self, call, shared] { self->on_added(call, *shared); });
          }});
    }
    work.add_all(std::move(tasks));
    work.claim_ahead();
  }

  // What ADD prints: with the results of plugins in front of this one, where there are some.
  static std::string result_text(const CallPtr& call, cni::AddResult result) {
    if (call->config.dns != cni::Dns{}) {
      result.dns = call->config.dns;
    }
    if (call->config.previous) {
      if (auto whole = cni::result_behind(call->request.config, result, call->config.cni_version)) {
        return std::move(*whole);
      }
    }
    return cni::result_json(result, call->config.cni_version);
  }

  // Nothing is stored of the container, so nothing of earlier ADDs is left to undo either.
  void answer_wanting(const CallPtr& call) {
    const auto found = making.find(call->identity.host_name);
    if (found != making.end() && found->second.latest == call) {
      making.erase(found);
    }
    answer(call, {.exit_code = 0, .output = {}, .wants_addresses = true});
  }

  void on_added(const CallPtr& call, const Result<EndpointWork::Added, cni::CniError>& added) {
    if (!added) {
      return fail_made(call, added.error());
    }
    if (added->wants_addresses) {
      return answer_wanting(call);
    }
    Making& made = making[call->identity.host_name];
    made.undelivered = made.undelivered || !added->existed;
    call->answer = result_text(call, added->result);
    wait_enforced(call, added->revision);
  }

  void check(const CallPtr& call) {
    start_clock(call);
    on_worker([self = shared_from_this(), call] {
      auto checked = std::make_shared<Result<datastore::Revision, cni::CniError>>(
          self->work.check(call->request, call->config, call->identity));
      self->env.to_loop([self, call, checked] {
        if (*checked) {
          self->wait_enforced(call, **checked);
        } else {
          self->answer_error(call, checked->error());
        }
      });
    });
  }

  // The answer does not wait for the link: with the endpoint gone from the store, nothing routes to
  // it, and deleting it takes the kernel some 20 ms.
  void remove(const CallPtr& call) {
    on_worker([self = shared_from_this(), call] {
      self->work.note_del(call->identity);
      const auto released = self->work.release(call->identity);
      self->answer_from_worker(call,
                               released ? Result<void, cni::CniError>() : fail(released.error()));
      self->env.to_loop([self, call] { self->on_removed(call->identity.host_name); });
      if (released && *released) {
        self->unwire_later(call->identity.host_name);
      } else if (released) {
        self->forget(call->identity.host_name);
      }
    });
  }

  // An ADD that a DEL overtook while it waited: what it waits for never comes.
  void on_removed(const IfName& host_name) {
    const auto found = making.find(host_name);
    if (found == making.end() || !found->second.latest->waiting) {
      return;
    }
    const CallPtr call = found->second.latest;
    env.waiter.cancel(call->identity.key());
    fail_made(call,
              {Code::kTryAgainLater,
               "ADD of container " + call->identity.container_id + ": a DEL of it came meanwhile",
               "the runtime called both at once; the call may be repeated"});
  }

  void forget(const IfName& host_name) const {
    if (const auto ended = work.end_call(host_name); !ended) {
      env.log(ended.error().text);
    }
  }

  void collect(const CallPtr& call) {
    on_worker([self = shared_from_this(), call] {
      self->answer_from_worker(call,
                               call->request.plugin == "margay-ipam"
                                   ? self->work.ipam_collect(call->config)
                                   : self->work.collect(call->config));
    });
  }

  void ipam_verb(const CallPtr& call) {
    if (call->request.verb == "ADD") {
      making[call->identity.host_name].latest = call;
    }
    on_worker([self = shared_from_this(), call] {
      if (call->request.verb == "CHECK") {
        return self->answer_from_worker(call, self->work.ipam_check(call->config, call->identity));
      }
      if (call->request.verb == "DEL") {
        const auto released = self->work.release(call->identity);
        return self->answer_from_worker(
            call, released ? Result<void, cni::CniError>() : fail(released.error()));
      }
      auto added = std::make_shared<Result<EndpointWork::IpamAdded, cni::CniError>>(
          self->work.ipam_add(call->request, call->config, call->identity));
      self->env.to_loop([self, call, added] {
        if (!*added) {
          return self->fail_made(call, added->error());
        }
        self->making[call->identity.host_name].undelivered = (*added)->made;
        call->answer = cni::result_json((*added)->result, call->config.cni_version);
        self->answer_added(call);
      });
    });
  }

  Environment env;
  EndpointWork work;  // for the store worker only, but for end_call()
  std::map<IfName, Making> making;
  std::shared_ptr<AddBatch> open_batch;
  UnwireQueue unwire_queue;
};

EndpointService::EndpointService(Environment environment)
    : state_(std::make_shared<State>(std::move(environment))) {}

EndpointService::~EndpointService() = default;

void EndpointService::start() {
  state_->on_worker([state = state_] {
    state->work.replay_journal();
    state->work.claim_ahead();
  });
}

void EndpointService::on_store_available() {
  start();
}

void EndpointService::handle(CniRequest request, Reply reply) {
  auto config = cni::parse_config(request.config);
  if (!config) {
    return reply(failed(config.error(), cni::asked_version(request.config)));
  }
  // podman says the MAC this way; the capability wins.
  const auto mac = request.args.find("MAC");
  if (!config->mac && mac != request.args.end()) {
    const auto parsed = MacAddr::parse(mac->second);
    if (!parsed) {
      return reply(failed({Code::kBadEnvironment, "CNI_ARGS MAC: " + parsed.error().text, {}},
                          config->cni_version));
    }
    config->mac = *parsed;
  }
  if (auto error = apply_annotations(*config)) {
    return reply(failed(*error, config->cni_version));
  }
  auto call = std::make_shared<State::Call>();
  call->identity = identify(request, *config, state_->env.node);
  call->request = std::move(request);
  call->config = std::move(*config);
  call->reply = std::move(reply);
  state_->dispatch(call);
}

}  // namespace margay::felix
