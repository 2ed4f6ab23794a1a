#pragma once
// A node whose CNI side runs in memory: the real workflow over a store in memory, a fake wiring and
// a waiter that the test rules. One thread; work posted anywhere waits until run().

#include "felix/cni/endpoint_service.h"
#include "ipam/block.h"
#include "tests/support/memory_store.h"

#include <deque>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <unistd.h>

namespace margay::felix {

class FakeWaiter : public EnforcementWaiter {
 public:
  void when_enforced(const api::ResourceKey& endpoint,
                     datastore::Revision,
                     std::function<void()> done) override {
    if (enforcing) {
      return done();
    }
    waiting[endpoint] = std::move(done);
  }
  void cancel(const api::ResourceKey& endpoint) override { waiting.erase(endpoint); }

  bool enforcing = true;
  std::map<api::ResourceKey, std::function<void()>> waiting;
};

// A directory that is gone with its test.
struct TestDirectory {
  std::filesystem::path path;
  TestDirectory() {
    std::string pattern = std::filesystem::temp_directory_path() / "margay-cni-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~TestDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;
};

class NodeInMemory {
 public:
  NodeInMemory(test::MemoryStore& store, std::string state_dir)
      : store_(store), state_dir_(std::move(state_dir)) {
    service_ = make();
    service_->start();
    run();
  }

  // The agent ends and another one starts on the same state directory and kernel.
  void restart() {
    service_.reset();
    work.clear();
    timers.clear();
    service_ = make();
    service_->start();
    run();
  }
  EndpointService& service() { return *service_; }

  void run() {
    while (!work.empty()) {
      const auto task = std::move(work.front());
      work.pop_front();
      task();
    }
  }
  // The clock passes every deadline.
  void expire() {
    auto due = std::move(timers);
    timers.clear();
    for (const auto& timer : due) {
      timer();
    }
    run();
  }

  // Posts a request; the answer is there once something ran and it was given.
  std::shared_ptr<std::optional<CniResponse>> start(const std::string& verb,
                                                    const std::string& container,
                                                    CniRequest request = {}) {
    request.verb = verb;
    request.container_id = container;
    request.netns = request.netns.empty() ? "/netns/" + container : request.netns;
    request.ifname = request.ifname.empty() ? "eth0" : request.ifname;
    request.plugin = request.plugin.empty() ? "margay" : request.plugin;
    request.config =
        request.config.empty() ? R"({"cniVersion":"1.0.0","name":"net"})" : request.config;
    auto answer = std::make_shared<std::optional<CniResponse>>();
    service_->handle(std::move(request), [this, answer](CniResponse response) {
      if (response.on_taken) {
        response.on_taken(plugin_lives);
      }
      *answer = std::move(response);
    });
    run();
    return answer;
  }
  CniResponse call(const std::string& verb, const std::string& container, CniRequest request = {}) {
    const auto answer = start(verb, container, std::move(request));
    return answer->value_or(CniResponse{-1, "no answer"});
  }

  FakeWaiter waiter;
  std::map<IfName, WiringRequest> links;  // host ends in the kernel
  unsigned fail_wiring_in = 0;            // the n-th wiring from now fails
  bool unwire_fails = false;
  Readiness ready = Readiness::kReady;
  bool plugin_lives = true;  // or nobody takes the answer of an ADD
  std::deque<std::function<void()>> work;
  std::vector<std::function<void()>> timers;
  std::vector<std::string> log;

 private:
  std::unique_ptr<EndpointService> make() {
    const auto post = [this](std::function<void()> task) { work.push_back(std::move(task)); };
    return std::make_unique<EndpointService>(EndpointService::Environment{
        .store = store_,
        .node = *NodeName::parse("node1"),
        .state_dir = state_dir_,
        .match = [](std::string_view, const api::Labels&) { return true; },
        .waiter = waiter,
        .to_worker = post,
        .to_loop = post,
        .after = [this](std::chrono::milliseconds,
                        std::function<void()> timer) { timers.push_back(std::move(timer)); },
        .ready = [this] { return ready; },
        .fabric = [] { return std::optional<IpAddr>(); },
        .log = [this](const std::string& line) { log.push_back(line); },
        .wiring = {.wire = [this](const WiringRequest& request) { return wire(request); },
                   .unwire = [this](const IfName& name) { return unwire(name); },
                   .check = [this](const WiringRequest& request) { return check(request); },
                   .is_own = [](const std::string& path) { return path == "/netns/node"; }}});
  }
  Result<WiringResult> wire(const WiringRequest& request) {
    if (fail_wiring_in > 0 && --fail_wiring_in == 0) {
      return fail(Errc::kInternal, "no such luck");
    }
    links[request.host_name] = request;
    return WiringResult{IfIndex(7), {}, *request.container_mac, 1450};
  }
  Result<void> unwire(const IfName& name) {
    if (unwire_fails) {
      return fail(Errc::kInternal, "busy");
    }
    links.erase(name);
    return {};
  }
  Result<void> check(const WiringRequest& request) {
    const auto found = links.find(request.host_name);
    if (found == links.end()) {
      return fail(Errc::kNotFound, "interface {}: not there", request.host_name.str());
    }
    return found->second.addresses == request.addresses ? Result<void>()
                                                        : fail(Errc::kInvalid, "addresses differ");
  }

  test::MemoryStore& store_;
  std::string state_dir_;
  std::unique_ptr<EndpointService> service_;
};

// What the store says about endpoints and addresses.
struct StoreView {
  std::map<std::string, api::Resource> endpoints;  // by container id
  std::set<IpAddr> used;
  std::size_t handles = 0;
};
inline StoreView look(test::MemoryStore& store) {
  StoreView view;
  const auto listing = store.list({.kind = {}, .ns = {}});
  for (const auto& object : listing->objects) {
    if (const auto* endpoint = std::get_if<api::WorkloadEndpoint>(&object.resource->spec)) {
      view.endpoints[endpoint->container_id] = *object.resource;
    }
    if (const auto* block = std::get_if<api::IPAMBlock>(&object.resource->spec)) {
      for (std::uint32_t i = 0; i < ipam::block_size(*block); ++i) {
        if (ipam::holder_of(*block, block->cidr.addr().add(i)) != nullptr) {
          view.used.insert(block->cidr.addr().add(i));
        }
      }
    }
    view.handles += object.key.kind == api::Kind::kIPAMHandle ? 1 : 0;
  }
  return view;
}

}  // namespace margay::felix
