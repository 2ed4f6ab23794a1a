// The real plugin against the real workflow: socket, SQLite store and kernel wiring, without the
// rest of the agent. The node is a network namespace of its own.

#include "felix/cni/cni_server.h"
#include "felix/cni/endpoint_service.h"
#include "felix/worker.h"
#include "kernel/link_kernel.h"
#include "kernel/netns.h"
#include "tests/support/cni_driver.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <doctest/doctest.h>

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <set>
#include <thread>
#include <unistd.h>

namespace margay {
namespace {

namespace asio = boost::asio;
using test::CniPod;
using test::CniRuntime;

class EnforcedAtOnce : public felix::EnforcementWaiter {
 public:
  void when_enforced(const api::ResourceKey&,
                     datastore::Revision,
                     std::function<void()> done) override {
    if (!stuck) {
      done();
    }
  }
  void cancel(const api::ResourceKey&) override {}
  std::atomic<bool> stuck{false};
};

struct Directory {
  std::string path;
  Directory() {
    std::string pattern = std::filesystem::temp_directory_path() / "margay-plugin-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
};

// Runs a function inside a namespace and hands its result out.
template <typename T>
Result<T> inside(const NetNs& ns, const std::function<Result<T>()>& function) {
  std::optional<Result<T>> result;
  const auto ran = ns.run([&]() -> Result<void> {
    result = function();
    return {};
  });
  return ran ? std::move(*result) : Result<T>(fail(ran.error()));
}

class Node {
 public:
  Node() : ns_(*NetNs::create()) {
    store_ = std::move(*datastore::open_store("sqlite://" + directory_.path + "/margay.db"));
    api::Resource pool;
    pool.metadata.name = "blue";
    api::IPPool spec;
    spec.cidr = *Prefix::parse("10.9.0.0/16");
    pool.spec = spec;
    REQUIRE(store_->create(pool));
    api::Resource six;
    six.metadata.name = "six";
    spec.cidr = *Prefix::parse("fd00:9::/64");
    spec.block_size = 122;
    six.spec = spec;
    REQUIRE(store_->create(six));
    worker_ = std::make_unique<felix::Worker>("store");
    service_ = std::make_unique<felix::EndpointService>(environment());
    service_->start();
    auto opened = felix::CniServer::open(
        io_, socket_path(), [this](felix::CniRequest request, felix::EndpointService::Reply reply) {
          service_->handle(std::move(request), std::move(reply));
        });
    REQUIRE(opened);
    server_ = std::move(*opened);
    loop_ = std::thread([this] { io_.run(); });
  }
  // NOLINTNEXTLINE(bugprone-exception-escape): a test may end here
  ~Node() {
    asio::post(io_, [this] {
      server_.reset();
      guard_.reset();
      io_.stop();
    });
    loop_.join();
    worker_->stop();
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  [[nodiscard]] std::string socket_path() const { return directory_.path + "/cni.sock"; }
  [[nodiscard]] CniRuntime runtime() const {
    return {.plugin = MARGAY_BINARY_DIR "/bin/margay",
            .run_dir = directory_.path,
            .timeout_s = 5,
            .ipv6 = true};
  }
  datastore::Store& store() { return *store_; }
  felix::Worker& worker() { return *worker_; }

  // Names of the host ends in the node's namespace.
  std::set<std::string> links() {
    std::set<std::string> names;
    const auto done = ns_.run([&names]() -> Result<void> {
      const auto kernel = open_link_kernel();
      const auto links =
          kernel ? (*kernel)->links() : Result<std::vector<LinkState>>(fail(kernel.error()));
      if (!links) {
        return fail(links.error());
      }
      for (const LinkState& link : *links) {
        if (link.name.starts_with("mgy")) {
          names.insert(link.name);
        }
      }
      return {};
    });
    REQUIRE(done);
    return names;
  }
  // Deletion of links goes on after the answer of DEL.
  bool links_gone() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!links().empty()) {
      if (std::chrono::steady_clock::now() > deadline) {
        return false;
      }
      std::this_thread::yield();
    }
    return true;
  }
  std::size_t stored(api::Kind kind) {
    const auto listing = store_->list({.kind = kind, .ns = {}});
    REQUIRE(listing);
    return listing->objects.size();
  }

  EnforcedAtOnce waiter;

 private:
  felix::EndpointService::Environment environment() {
    return {.store = *store_,
            .node = *NodeName::parse("node1"),
            .state_dir = directory_.path + "/state",
            .match = [](std::string_view, const api::Labels&) { return true; },
            .waiter = waiter,
            .to_worker = [this](std::function<void()> task) { worker_->post(std::move(task)); },
            .to_loop = [this](std::function<void()> task) { asio::post(io_, std::move(task)); },
            .after =
                [this](std::chrono::milliseconds delay, const std::function<void()>& task) {
                  auto timer = std::make_shared<asio::steady_timer>(io_, delay);
                  timer->async_wait([timer, task](boost::system::error_code errc) {
                    if (!errc) {
                      task();
                    }
                  });
                },
            .ready = [] { return felix::Readiness::kReady; },
            .fabric = [] { return std::optional<IpAddr>(); },
            .log = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); },
            .wiring = {.wire =
                           [this](const WiringRequest& request) {
                             return inside<WiringResult>(
                                 ns_, [&request] { return wire_container(request); });
                           },
                       .unwire =
                           [this](const IfName& name) {
                             return ns_.run([&name] { return unwire_container(name); });
                           },
                       .check =
                           [this](const WiringRequest& request) {
                             return ns_.run([&request] { return check_container(request); });
                           }}};
  }

  Directory directory_;
  NetNs ns_;
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> guard_{io_.get_executor()};
  std::unique_ptr<datastore::Store> store_;
  std::unique_ptr<felix::Worker> worker_;
  std::unique_ptr<felix::EndpointService> service_;
  std::unique_ptr<felix::CniServer> server_;
  std::thread loop_;
};

struct Container {
  NetNs ns = *NetNs::create();
  CniPod pod;
  explicit Container(const std::string& id) {
    pod.container_id = id;
    pod.netns = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(ns.fd());
  }
};

TEST_SUITE_BEGIN("functional.cni");

TEST_CASE("a container is added, checked and removed by the real plugin") {
  Node node;
  const auto runtime = node.runtime();
  Container container(std::string(64, 'a'));
  const auto added = runtime.add(container.pod);
  CAPTURE((added ? std::string() : added.error().text));
  REQUIRE(added);
  CHECK(added->addresses.size() == 2);
  CHECK(node.links() == std::set<std::string>{added->host_interface});
  const auto again = runtime.add(container.pod);
  REQUIRE(again);
  CHECK(again->addresses == added->addresses);
  container.pod.prev_result = added->json;
  const auto checked = runtime.check(container.pod);
  CAPTURE((checked ? std::string() : checked.error().text));
  CHECK(checked);
  const auto inner = inside<std::vector<AddressSpec>>(container.ns, [] {
    const auto kernel = open_link_kernel();
    return kernel ? (*kernel)->addresses() : Result<std::vector<AddressSpec>>(fail(kernel.error()));
  });
  REQUIRE(inner);
  for (const IpAddr& addr : added->addresses) {
    CHECK(std::ranges::any_of(*inner, [&addr](const AddressSpec& have) {
      return have.address == InterfaceAddr{addr, address_bits(addr.family())};
    }));
  }
  CHECK(runtime.del(container.pod));
  CHECK(runtime.del(container.pod));
  CHECK(node.links_gone());
  CHECK(node.stored(api::Kind::kWorkloadEndpoint) == 0);
  CHECK(node.stored(api::Kind::kIPAMHandle) == 0);
  const auto missing = runtime.check(container.pod);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().text.find("code 3") != std::string::npos);
}

TEST_CASE("the socket is its owner's alone and a stale one is replaced") {
  Node node;
  struct stat status {};
  REQUIRE(::stat(node.socket_path().c_str(), &status) == 0);
  CHECK((status.st_mode & 0777U) == 0600U);
  asio::io_context io;
  CHECK_FALSE(felix::CniServer::open(io, node.socket_path(), nullptr));
  const Directory other;
  const std::string stale = other.path + "/cni.sock";
  { const auto first = felix::CniServer::open(io, stale, nullptr); }
  CHECK(felix::CniServer::open(io, stale, nullptr));
}

TEST_CASE("a namespace that is not there is an error of the environment, and leaves nothing") {
  Node node;
  CniPod pod;
  pod.container_id = "c1";
  pod.netns = "/var/run/netns/not-there";
  const auto added = node.runtime().add(pod);
  REQUIRE_FALSE(added);
  CAPTURE(added.error().text);
  CHECK(added.error().text.find("code 4") != std::string::npos);
  CHECK(node.links().empty());
  CHECK(node.stored(api::Kind::kWorkloadEndpoint) == 0);
}

TEST_CASE("a taken interface name fails and leaves what was there") {
  Node node;
  Container container("c1");
  REQUIRE(node.runtime().add(container.pod));
  CniPod intruder = container.pod;
  intruder.container_id = "c2";
  CHECK_FALSE(node.runtime().add(intruder));
  CHECK(node.links().size() == 1);
  CHECK(node.stored(api::Kind::kWorkloadEndpoint) == 1);
}

TEST_CASE("ADD that is never enforced ends in time with code 11 and nothing left") {
  Node node;
  node.waiter.stuck = true;
  Container container("c1");
  auto runtime = node.runtime();
  runtime.timeout_s = 1;
  const auto added = runtime.add(container.pod);
  REQUIRE_FALSE(added);
  CHECK(added.error().text.find("code 11") != std::string::npos);
  CHECK(node.links().empty());
  CHECK(node.stored(api::Kind::kWorkloadEndpoint) == 0);
  CHECK(node.stored(api::Kind::kIPAMHandle) == 0);
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("while the agent does not answer, another IPAM plugin's address is not given back") {
  Node node;
  const Container container("c1");
  const Directory delegate;  // its program notes each verb; ADD waits for a word through `go`
  const std::string asked = delegate.path + "/asked";
  const std::string pipe = delegate.path + "/go";
  const std::string program = delegate.path + "/slow-ipam";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  std::fstream go(pipe);  // for both, so that nobody waits for the other end
  REQUIRE(go);
  std::ofstream(program) << "#!/bin/sh\necho $CNI_COMMAND >> " << asked
                         << "\n[ $CNI_COMMAND != ADD ] || read word < " << pipe
                         << "\necho '{\"ips\":[{\"address\":\"10.65.0.2/24\"}]}'\n";
  REQUIRE(::chmod(program.c_str(), 0700) == 0);
  test::CniCall call{.plugin = MARGAY_BINARY_DIR "/bin/margay",
                     .environment = {{"CNI_COMMAND", "ADD"},
                                     {"CNI_CONTAINERID", "c1"},
                                     {"CNI_NETNS", container.pod.netns},
                                     {"CNI_IFNAME", "eth0"},
                                     {"CNI_PATH", delegate.path}},
                     .config = R"({"cniVersion":"1.0.0","name":"net","timeout_s":2,"run_dir":")" +
                               node.runtime().run_dir + R"(","ipam":{"type":"slow-ipam"}})"};
  auto adding = std::async(std::launch::async, [&call] { return test::run_cni(call); });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (text_of(asked).empty() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  std::promise<void> answer_again;
  node.worker().post(
      [held = answer_again.get_future().share()] { held.wait_for(std::chrono::seconds(60)); });
  go << "go\n" << std::flush;
  const test::CniAnswer added = adding.get();
  CHECK(added.exit_code == 1);
  CHECK_MESSAGE(added.out.find("\"code\":11") != std::string::npos, added.out);
  CHECK(text_of(asked) == "ADD\n");
  answer_again.set_value();
  call.environment["CNI_COMMAND"] = "DEL";
  const test::CniAnswer removed = test::run_cni(call);
  CHECK_MESSAGE(removed.exit_code == 0, removed.out);
  CHECK(text_of(asked) == "ADD\nDEL\n");
  CHECK(node.links_gone());
  CHECK(node.stored(api::Kind::kWorkloadEndpoint) == 0);
}

TEST_CASE("a container is not wired into the namespace of the agent") {
  Node node;
  CniPod pod;
  pod.container_id = "c1";
  pod.netns = "/proc/" + std::to_string(::getpid()) + "/ns/net";
  const auto added = node.runtime().add(pod);
  REQUIRE_FALSE(added);
  CAPTURE(added.error().text);
  CHECK(added.error().text.find("code 8") != std::string::npos);
  CHECK(node.stored(api::Kind::kIPAMHandle) == 0);
}

TEST_CASE("thirty containers at once get thirty addresses; parallel DELs are safe") {
  Node node;
  const auto runtime = node.runtime();
  constexpr std::size_t kCount = 30;
  std::vector<std::unique_ptr<Container>> containers;
  std::vector<std::optional<Result<test::CniAdded>>> results(kCount);
  for (std::size_t i = 0; i < kCount; ++i) {
    containers.push_back(std::make_unique<Container>("box" + std::to_string(i)));
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kCount; ++i) {
    threads.emplace_back([&, i] { results[i] = runtime.add(containers[i]->pod); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  std::set<IpAddr> addresses;
  for (const auto& result : results) {
    REQUIRE(result);
    CAPTURE((*result ? std::string() : result->error().text));
    REQUIRE(*result);
    addresses.insert((*result)->addresses.begin(), (*result)->addresses.end());
  }
  CHECK(addresses.size() == 2 * kCount);
  threads.clear();
  std::atomic<unsigned> failures = 0;
  for (std::size_t i = 0; i < 2 * kCount; ++i) {
    threads.emplace_back([&, i] {
      CniPod pod = containers[i % kCount]->pod;
      pod.netns = i < kCount ? pod.netns : "";
      failures += runtime.del(pod) ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(failures == 0);
  CHECK(node.links_gone());
  CHECK(node.stored(api::Kind::kWorkloadEndpoint) == 0);
  CHECK(node.stored(api::Kind::kIPAMHandle) == 0);
}

TEST_CASE("every version of the specification gets its own answer") {
  Node node;
  for (const char* version : {"0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    CAPTURE(version);
    auto runtime = node.runtime();
    runtime.version = version;
    Container container("c1");
    const auto added = runtime.add(container.pod);
    REQUIRE(added);
    CHECK(added->json.find("\"cniVersion\":\"" + std::string(version) + "\"") != std::string::npos);
    CHECK((added->json.find("\"version\":\"4\"") != std::string::npos) ==
          std::string(version).starts_with("0."));
    CHECK(runtime.del(container.pod));
  }
}

TEST_CASE("without an agent ADD says so with code 11") {
  const Directory empty;
  CniRuntime runtime{.plugin = MARGAY_BINARY_DIR "/bin/margay", .run_dir = empty.path};
  const auto added = runtime.add({.container_id = "c1", .netns = "/x"});
  REQUIRE_FALSE(added);
  CHECK(added.error().text.find("code 11") != std::string::npos);
}

TEST_SUITE_END();

}  // namespace
}  // namespace margay
