#include "felix/cni/release_journal.h"
#include "ipam/allocator.h"
#include "tests/flow/cni/node_in_memory.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace margay::felix {
namespace {

struct World {
  test::MemoryStore store;
  TestDirectory directory;
  std::unique_ptr<NodeInMemory> node;

  World() {
    api::Resource pool;
    pool.metadata.name = "blue";
    api::IPPool spec;
    spec.cidr = *Prefix::parse("10.0.0.0/24");
    pool.spec = spec;
    REQUIRE(store.create(pool));
    node = std::make_unique<NodeInMemory>(store, directory.path);
  }
};

void add_ipv6_pool(World& world) {
  api::Resource pool;
  pool.metadata.name = "violet";
  api::IPPool spec;
  spec.cidr = *Prefix::parse("fd00::/116");
  spec.block_size = 122;
  pool.spec = spec;
  REQUIRE(world.store.create(pool));
}

CniRequest of_pod(const std::string& ns, const std::string& name) {
  CniRequest request;
  request.args = {{"K8S_POD_NAMESPACE", ns}, {"K8S_POD_NAME", name}};
  return request;
}

CniRequest with_config(const std::string& config) {
  CniRequest request;
  request.config = config;
  return request;
}

std::string only_address(const StoreView& view) {
  REQUIRE(view.used.size() == 1);
  return view.used.begin()->str();
}

bool says(const CniResponse& response, const std::string& text) {
  return response.output.find(text) != std::string::npos;
}

// Nothing of any container is left anywhere.
void check_nothing_left(World& world) {
  const StoreView view = look(world.store);
  CHECK(view.endpoints.empty());
  CHECK(view.used.empty());
  CHECK(view.handles == 0);
  CHECK(world.node->links.empty());
}

TEST_SUITE_BEGIN("felix.cni");

TEST_CASE("ADD into the namespace of the node is refused before anything is made") {
  World world;
  CniRequest request;
  request.netns = "/netns/node";
  CHECK(says(world.node->call("ADD", "c1", request), "\"code\":8"));
  request.config = R"({"cniVersion":"1.0.0","name":"net","ipam":{"type":"host-local"}})";
  const auto delegated = world.node->call("ADD", "c1", request);
  CHECK(says(delegated, "\"code\":8"));
  CHECK_FALSE(delegated.wants_addresses);
  CHECK(world.node->call("DEL", "c1", request).exit_code == 0);
  check_nothing_left(world);
}

TEST_CASE("ADD stores the endpoint, wires it and answers with its address") {
  World world;
  auto request = of_pod("prod", "web-1");
  request.config =
      R"({"cniVersion":"1.0.0","name":"net","labels":{"app":"web"},
          "args":{"cni":{"labels":[{"key":"tier","value":"front"}]}}})";
  const auto added = world.node->call("ADD", "c1", request);
  CHECK(added.exit_code == 0);
  const StoreView view = look(world.store);
  REQUIRE(view.endpoints.contains("c1"));
  const api::Resource& endpoint = view.endpoints.at("c1");
  CHECK(endpoint.metadata.name == "node1-k8s-web--1-eth0");
  CHECK(endpoint.metadata.ns == "prod");
  CHECK(endpoint.metadata.labels == api::Labels{{"app", "web"},
                                                {"tier", "front"},
                                                {"projectcalico.org/namespace", "prod"},
                                                {"projectcalico.org/orchestrator", "k8s"}});
  const auto& spec = std::get<api::WorkloadEndpoint>(endpoint.spec);
  CHECK(spec.profiles == std::vector<std::string>{"kns.prod"});
  CHECK(spec.interface_name == host_interface_name("c1", "eth0"));
  REQUIRE(world.node->links.size() == 1);
  CHECK(world.node->links.begin()->second.addresses.front().str() == only_address(view));
  CHECK(says(added, "\"address\":\"" + only_address(view) + "/32\",\"gateway\":\"169.254.1.1\""));
  CHECK(says(added, "\"sandbox\":\"/netns/c1\""));
  CHECK(says(added, "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"169.254.1.1\"}]"));
}

TEST_CASE("a container without Kubernetes has a name of its id and lives in default") {
  World world;
  CHECK(world.node->call("ADD", "Box_1").exit_code == 0);
  const StoreView view = look(world.store);
  const api::Resource& endpoint = view.endpoints.at("Box_1");
  CHECK(endpoint.metadata.ns == "default");
  CHECK(is_dns_subdomain(endpoint.metadata.name));
  CHECK(endpoint.metadata.name.starts_with("node1-cni-box-1-eth0-"));
  // podman gives a name but no namespace: no Kubernetes identity either.
  CHECK(world.node->call("ADD", "c2", of_pod("", "web")).exit_code == 0);
  CHECK(look(world.store).endpoints.at("c2").metadata.name == "node1-cni-c2-eth0");
}

TEST_CASE("whatever container id CNI allows gets a network, and its endpoint can be read back") {
  World world;
  for (const char* id : {"a.b", "a-", "A_b.c-", "0"}) {
    CAPTURE(id);
    const auto added = world.node->call("ADD", id);
    CHECK_MESSAGE(added.exit_code == 0, added.output);
    const StoreView view = look(world.store);
    REQUIRE(view.endpoints.contains(id));
    const auto read = api::decode_json(api::encode_json(view.endpoints.at(id)));
    CHECK_MESSAGE(read, (read ? "" : read.error().text));
    CHECK(world.node->call("DEL", id).exit_code == 0);
  }
  check_nothing_left(world);
}

TEST_CASE("what cannot be stored is refused with its code, and DEL of it succeeds") {
  struct Row {
    CniRequest request;
    const char* code;
    const char* part;
  };
  const auto labels = [](const std::string& object) {
    return with_config(R"({"cniVersion":"1.0.0","name":"net","labels":)" + object + "}");
  };
  CniRequest odd_interface;
  odd_interface.ifname = "eth\xff";
  const std::vector<Row> rows{
      {labels(R"({"a b":"x"})"), "\"code\":7", "a b"},
      {labels(R"({"app":"x y"})"), "\"code\":7", "x y"},
      {labels("{\"app\":\"" + std::string(64, 'x') + "\"}"), "\"code\":7", "labels.app"},
      {of_pod("Prod", "web"), "\"code\":4", "K8S_POD_NAMESPACE"},
      {of_pod(std::string(64, 'n'), "web"), "\"code\":4", "K8S_POD_NAMESPACE"},
      {of_pod("prod", "web\xff"), "\"code\":4", "K8S_POD_NAME"},
      {odd_interface, "\"code\":4", "CNI_IFNAME"},
  };
  for (const Row& row : rows) {
    World world;
    const auto refused = world.node->call("ADD", "c1", row.request);
    CAPTURE(refused.output);
    CHECK(refused.exit_code == 1);
    CHECK(says(refused, row.code));
    CHECK(says(refused, row.part));
    CHECK(world.node->call("DEL", "c1", row.request).exit_code == 0);
    check_nothing_left(world);
  }
  World world;
  CniRequest only_address = of_pod("prod", "web\xff");
  only_address.plugin = "margay-ipam";
  CHECK(says(world.node->call("ADD", "c1", only_address), "\"code\":4"));
  check_nothing_left(world);
}

const char* const kPublishing =
    R"({"cniVersion":"1.0.0","name":"net","runtimeConfig":{"mac":"02:00:00:00:00:01","portMappings":
        [{"hostPort":8080,"containerPort":80}]}})";

TEST_CASE("published ports and the MAC that a runtime asks for are stored and wired") {
  World world;
  CHECK(world.node->call("ADD", "c1", with_config(kPublishing)).exit_code == 0);
  const StoreView view = look(world.store);
  const auto& spec = std::get<api::WorkloadEndpoint>(view.endpoints.at("c1").spec);
  CHECK(spec.ports == std::vector<api::EndpointPort>{{"", api::kTcp, 80, 8080, std::nullopt}});
  CHECK(spec.mac == "02:00:00:00:00:01");
  const WiringRequest& wired = world.node->links.at(host_interface_name("c1", "eth0"));
  CHECK(wired.route_localnet);
  CHECK(wired.container_mac == *MacAddr::parse("02:00:00:00:00:01"));
  auto by_arguments = with_config(R"({"cniVersion":"1.0.0","name":"net"})");
  by_arguments.args = {{"MAC", "02:00:00:00:00:02"}};
  CHECK(world.node->call("ADD", "c2", by_arguments).exit_code == 0);
  const WiringRequest& plain = world.node->links.at(host_interface_name("c2", "eth0"));
  CHECK(plain.container_mac == *MacAddr::parse("02:00:00:00:00:02"));
  CHECK_FALSE(plain.route_localnet);
}

TEST_CASE("a host port belongs to one container, until that is gone, however it went") {
  World world;
  const auto add = [&world](const std::string& container, const std::string& mapping) {
    return world.node->call(
        "ADD",
        container,
        with_config(R"({"cniVersion":"1.0.0","name":"net","runtimeConfig":{"portMappings":[)" +
                    mapping + "]}}"));
  };
  const std::string everywhere = R"({"hostPort":8080,"containerPort":80})";
  const std::string at_one = R"({"hostPort":8080,"containerPort":80,"hostIP":"192.0.2.1"})";
  CHECK(add("c1", everywhere).exit_code == 0);
  CHECK(add("c1", everywhere).exit_code == 0);  // the same call again
  const auto refused = add("c2", at_one);
  CHECK(refused.exit_code != 0);
  CAPTURE(refused.output);
  CHECK(says(refused,
             "publish the ports: host port 8080/TCP belongs to WorkloadEndpoint "
             "default/node1-cni-c1-eth0"));
  CHECK(look(world.store).used.size() == 1);
  CHECK(add("c2", R"({"hostPort":8080,"containerPort":80,"protocol":"udp"})").exit_code == 0);

  // By DEL; and the next agent knows from the store.
  CHECK(world.node->call("DEL", "c1").exit_code == 0);
  CHECK(add("c3", at_one).exit_code == 0);
  world.node->restart();
  CHECK(says(add("c4", everywhere), "host port 192.0.2.1:8080/TCP belongs to"));
  CHECK(add("c5", R"({"hostPort":8080,"containerPort":80,"hostIP":"192.0.2.2"})").exit_code == 0);

  // Behind the agent's back.
  const auto key = api::ResourceKey{api::Kind::kWorkloadEndpoint, "default", "node1-cni-c3-eth0"};
  REQUIRE(world.store.remove(key));
  CHECK(add("c6", at_one).exit_code == 0);
}

TEST_CASE("ADD answers only when policy and route are enforced") {
  World world;
  world.node->waiter.enforcing = false;
  const auto answer = world.node->start("ADD", "c1");
  CHECK_FALSE(*answer);
  REQUIRE(world.node->waiter.waiting.size() == 1);
  world.node->waiter.waiting.begin()->second();
  REQUIRE(*answer);
  CHECK((*answer)->exit_code == 0);
  world.node->expire();
  CHECK(look(world.store).used.size() == 1);
}

TEST_CASE("ADD that is not enforced in time fails with code 11 and leaves nothing") {
  World world;
  world.node->waiter.enforcing = false;
  const auto answer = world.node->start("ADD", "c1");
  world.node->expire();
  REQUIRE(*answer);
  CHECK((*answer)->exit_code == 1);
  CHECK(says(**answer, "\"code\":11"));
  CHECK(world.node->waiter.waiting.empty());
  check_nothing_left(world);
}

TEST_CASE("ADD whose time is up while the worker is busy does nothing or undoes it") {
  World world;
  CniRequest request;
  const auto answer = std::make_shared<std::optional<CniResponse>>();
  request.verb = "ADD";
  request.container_id = "c1";
  request.netns = "/netns/c1";
  request.ifname = "eth0";
  request.plugin = "margay";
  request.config = R"({"cniVersion":"1.0.0","name":"net"})";
  world.node->service().handle(request, [answer](CniResponse r) { *answer = std::move(r); });
  world.node->expire();
  REQUIRE(*answer);
  CHECK(says(**answer, "\"code\":11"));
  check_nothing_left(world);
}

TEST_CASE("the same ADD twice gives the same answer") {
  World world;
  const auto first = world.node->call("ADD", "c1");
  const auto second = world.node->call("ADD", "c1");
  CHECK(second.exit_code == 0);
  CHECK(first.output == second.output);
  CHECK(look(world.store).used.size() == 1);
  // Also when the link was lost in between; then it is wired again.
  world.node->links.clear();
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  CHECK(world.node->links.size() == 1);
  // A repeated ADD that times out does not take away what the first one gave.
  world.node->waiter.enforcing = false;
  const auto late = world.node->start("ADD", "c1");
  world.node->expire();
  REQUIRE(*late);
  CHECK((*late)->exit_code == 1);
  CHECK(look(world.store).used.size() == 1);
  CHECK(world.node->links.size() == 1);
}

TEST_CASE("two interfaces of one container live and die alone") {
  World world;
  CniRequest second;
  second.ifname = "eth1";
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  CHECK(world.node->call("ADD", "c1", second).exit_code == 0);
  CHECK(look(world.store).used.size() == 2);
  CHECK(world.node->call("DEL", "c1").exit_code == 0);
  CHECK(look(world.store).used.size() == 1);
  CHECK(world.node->links.size() == 1);
  CHECK(world.node->call("DEL", "c1", second).exit_code == 0);
  check_nothing_left(world);
}

TEST_CASE("DEL works twice, without a namespace, and for containers nobody knows") {
  World world;
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  CHECK(world.node->call("DEL", "c1").exit_code == 0);
  CHECK(world.node->call("DEL", "c1").exit_code == 0);
  CHECK(world.node->call("DEL", "unknown").exit_code == 0);
  check_nothing_left(world);
}

TEST_CASE("an ADD right behind the DEL of the same container keeps its link") {
  World world;
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  CniRequest request;
  request.container_id = "c1";
  request.netns = "/netns/c1";
  request.ifname = "eth0";
  request.plugin = "margay";
  request.config = R"({"cniVersion":"1.0.0","name":"net"})";
  unsigned succeeded = 0;
  for (const char* verb : {"DEL", "ADD"}) {
    request.verb = verb;
    world.node->service().handle(request, [&succeeded](const CniResponse& response) {
      succeeded += response.exit_code == 0 ? 1U : 0U;
    });
  }
  world.node->run();
  CHECK(succeeded == 2);
  CHECK(world.node->links.size() == 1);
  CHECK(look(world.store).used.size() == 1);
}

TEST_CASE("a stale DEL of an earlier container of the same pod harms nothing") {
  World world;
  CHECK(world.node->call("ADD", "old", of_pod("prod", "web")).exit_code == 0);
  CHECK(world.node->call("ADD", "new", of_pod("prod", "web")).exit_code == 0);
  StoreView view = look(world.store);
  CHECK(view.endpoints.size() == 1);
  CHECK(view.used.size() == 1);
  CHECK(world.node->call("DEL", "old", of_pod("prod", "web")).exit_code == 0);
  view = look(world.store);
  CHECK(view.endpoints.contains("new"));
  CHECK(view.used.size() == 1);
  CHECK(world.node->links.size() == 1);
  CHECK(world.node
            ->call("CHECK",
                   "new",
                   [&view] {
                     auto request = of_pod("prod", "web");
                     request.config = R"({"cniVersion":"1.0.0","name":"net","prevResult":
                             {"ips":[{"address":")" +
                                      only_address(view) + "/32\"}]}}";
                     return request;
                   }())
            .exit_code == 0);
}

TEST_CASE("a failure at any step of ADD leaves nothing") {
  for (unsigned call = 1; call < 25; ++call) {
    CAPTURE(call);
    World world;
    world.store.fail_call(call, {Errc::kInternal, "injected", 0});
    const auto added = world.node->call("ADD", "c1");
    world.store.fail_call(0, {});
    if (added.exit_code == 0) {
      CHECK(look(world.store).used.size() == 1);
      CHECK(world.node->call("DEL", "c1").exit_code == 0);
    }
    check_nothing_left(world);
  }
  World world;
  world.node->fail_wiring_in = 1;
  const auto added = world.node->call("ADD", "c1");
  CHECK(added.exit_code == 1);
  CHECK(says(added, "wire the container: no such luck"));
  check_nothing_left(world);
}

TEST_CASE(
    "a burst of ADDs costs a commit for each block that it takes from, not for each container") {
  World world;
  constexpr unsigned kBurst = 100;
  const unsigned before = world.store.commits();
  unsigned answered = 0;
  for (unsigned i = 0; i < kBurst; ++i) {
    CniRequest request = with_config(R"({"cniVersion":"1.0.0","name":"net"})");
    request.verb = "ADD";
    request.container_id = "c" + std::to_string(i);
    request.netns = "/netns/x";
    request.ifname = "eth0";
    request.plugin = "margay";
    world.node->service().handle(request, [&answered](const CniResponse& response) {
      CHECK_MESSAGE(response.exit_code == 0, response.output);
      response.on_taken(true);
      ++answered;
    });
  }
  world.node->run();
  CHECK(answered == kBurst);
  CHECK(look(world.store).used.size() == kBurst);
  CHECK(look(world.store).endpoints.size() == kBurst);
  // Two batches, and the claim of a second and a third block ahead: two commits each.
  CHECK(world.store.commits() - before <= 6);
  CHECK_FALSE(std::filesystem::exists(world.directory.path / "calls" / "x"));
  CHECK(std::filesystem::is_empty(world.directory.path / "calls"));
  for (unsigned i = 0; i < kBurst; ++i) {
    CHECK(world.node->call("DEL", "c" + std::to_string(i)).exit_code == 0);
  }
  check_nothing_left(world);
}

TEST_CASE(
    "in a burst, who fails leaves the others alone, and one host port goes to one container") {
  World world;
  unsigned succeeded = 0;
  std::vector<std::string> failures;
  for (unsigned i = 0; i < 10; ++i) {
    CniRequest request = with_config(kPublishing);
    if (i >= 2) {
      request.config = i == 5
                           ? R"({"cniVersion":"1.0.0","name":"net","ipam":{"ipv4_pools":["red"]}})"
                           : R"({"cniVersion":"1.0.0","name":"net"})";
    }
    request.verb = "ADD";
    request.container_id = "c" + std::to_string(i);
    request.netns = "/netns/x";
    request.ifname = "eth0";
    request.plugin = "margay";
    world.node->service().handle(request, [&](const CniResponse& response) {
      succeeded += response.exit_code == 0 ? 1U : 0U;
      if (response.exit_code != 0) {
        failures.push_back(response.output);
      }
    });
  }
  world.node->run();
  CHECK(succeeded == 8);
  REQUIRE(failures.size() == 2);
  CHECK(failures[0].find("host port 8080/TCP belongs to") != std::string::npos);
  CHECK(failures[1].find("red") != std::string::npos);
  CHECK(look(world.store).used.size() == 8);
  CHECK(std::filesystem::is_empty(world.directory.path / "calls"));
}

TEST_CASE("an ADD whose plugin died is undone, unless a later ADD of the container has it") {
  World world;
  world.node->plugin_lives = false;
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  check_nothing_left(world);
  // What an earlier, living one was told stays.
  world.node->plugin_lives = true;
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  world.node->plugin_lives = false;
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  CHECK(look(world.store).used.size() == 1);
  CHECK(world.node->links.size() == 1);
  // margay-ipam's, too.
  CniRequest request;
  request.plugin = "margay-ipam";
  CHECK(world.node->call("ADD", "c2", request).exit_code == 0);
  CHECK(look(world.store).used.size() == 1);
}

TEST_CASE(
    "an ADD that an agent did not end is undone by the next one, also when the store is away") {
  World world;
  world.node->waiter.enforcing = false;
  const auto cut_off = world.node->start("ADD", "c1");
  CHECK_FALSE(*cut_off);
  CHECK(world.node->links.size() == 1);
  world.store.set_away(true);
  world.node->restart();
  CHECK(world.node->links.empty());
  world.store.set_away(false);
  world.node->service().on_store_available();
  world.node->run();
  check_nothing_left(world);
  CHECK(std::filesystem::is_empty(world.directory.path / "calls"));
  // One that was answered is left alone.
  world.node->waiter.enforcing = true;
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  world.node->restart();
  CHECK(look(world.store).endpoints.contains("c1"));
}

TEST_CASE("an ADD that a build with other interface names did not end is undone by its own name") {
  World world;
  world.node->waiter.enforcing = false;
  CHECK_FALSE(*world.node->start("ADD", "c1"));
  REQUIRE(world.node->links.size() == 1);
  const auto link = world.node->links.begin();
  const auto calls = world.directory.path / "calls";
  std::filesystem::rename(calls / link->first.str(), calls / "other0");
  auto renamed = world.node->links.extract(link);
  renamed.key() = *IfName::parse("other0");
  world.node->links.insert(std::move(renamed));
  world.node->restart();
  world.node->service().on_store_available();
  world.node->run();
  check_nothing_left(world);
  CHECK(world.node->links.empty());
  CHECK(std::filesystem::is_empty(calls));
}

TEST_CASE("a DEL that overtakes an ADD ends it at once") {
  World world;
  world.node->waiter.enforcing = false;
  const auto added = world.node->start("ADD", "c1");
  CHECK_FALSE(*added);
  CHECK(world.node->call("DEL", "c1").exit_code == 0);
  REQUIRE(*added);
  CHECK(says(**added, "a DEL of it came meanwhile"));
  CHECK(world.node->waiter.waiting.empty());
  check_nothing_left(world);
}

TEST_CASE("a state directory that takes nothing: ADD is refused and says so, DEL goes on") {
  World world;
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  std::filesystem::remove_all(world.directory.path);
  std::ofstream(world.directory.path) << "in the way";
  const auto refused = world.node->call("ADD", "c2");
  CHECK(refused.exit_code == 1);
  CHECK_MESSAGE(says(refused, "note the ADD in the state directory"), refused.output);
  CHECK(look(world.store).used.size() == 1);
  CHECK(world.node->call("DEL", "c1").exit_code == 0);
  check_nothing_left(world);
}

TEST_CASE("DEL with the store away removes the link and releases when the store is back") {
  World world;
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  world.store.set_away(true);
  CHECK(world.node->call("DEL", "c1").exit_code == 0);
  CHECK(world.node->call("DEL", "c1").exit_code == 0);
  CHECK(world.node->links.empty());
  world.store.set_away(false);
  CHECK(look(world.store).used.size() == 1);
  world.node->service().on_store_available();
  world.node->run();
  check_nothing_left(world);
}

TEST_CASE("a DEL of names that no ADD may have owes nothing, also with the store away") {
  World world;
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  world.store.set_away(true);
  // Taken as it is, the namespace would end one line of the journal and write another: c1's.
  const std::string line = format_release({"c1", "eth0", "net.c1", "default", "node1-cni-c1-eth0"});
  CHECK(world.node->call("DEL", "c2", of_pod("x\n" + line + "x", "web")).exit_code == 0);
  CHECK_FALSE(std::filesystem::exists(world.directory.path / "pending-releases"));
  world.node->restart();
  world.store.set_away(false);
  world.node->restart();
  CHECK(look(world.store).endpoints.contains("c1"));
}

TEST_CASE("what a DEL owes to the store survives the agent") {
  World world;
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  CHECK(world.node->call("ADD", "c2").exit_code == 0);
  world.store.set_away(true);
  CHECK(world.node->call("DEL", "c1").exit_code == 0);
  world.node->restart();  // the store is still away
  world.store.set_away(false);
  CHECK(look(world.store).used.size() == 2);
  world.node->restart();
  CHECK(look(world.store).used.size() == 1);
  CHECK(look(world.store).endpoints.contains("c2"));
  // Nothing is released a second time.
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  world.node->restart();
  CHECK(look(world.store).endpoints.contains("c1"));
}

TEST_CASE("a release that is owed never takes what a later ADD of the same container gets") {
  CniRequest only_addresses;
  only_addresses.plugin = "margay-ipam";
  for (const CniRequest& request : {CniRequest{}, only_addresses}) {
    CAPTURE(request.plugin);
    World world;
    CHECK(world.node->call("ADD", "c1", request).exit_code == 0);
    world.store.set_full(true);
    CHECK(world.node->call("DEL", "c1", request).exit_code == 0);
    const auto early = world.node->call("ADD", "c1", request);
    CHECK_MESSAGE(says(early, "\"code\":11"), early.output);
    CHECK(says(early, "an earlier release of container c1 interface eth0 is still owed"));
    CHECK(world.node->links.empty());
    world.store.set_full(false);
    CHECK(world.node->call("ADD", "c1", request).exit_code == 0);
    const auto links = world.node->links.size();
    world.node->service().on_store_available();
    world.node->run();
    world.node->restart();
    CHECK(look(world.store).used.size() == 1);
    CHECK(world.node->links.size() == links);
  }
}

TEST_CASE("a call that was cut off is not undone after the container was added again") {
  World world;
  world.node->waiter.enforcing = false;
  CHECK_FALSE(*world.node->start("ADD", "c1"));
  world.node->waiter.enforcing = true;
  world.store.set_full(true);
  world.node->restart();
  CHECK(says(world.node->call("ADD", "c1"), "\"code\":11"));
  CHECK(world.node->call("DEL", "c1").exit_code == 0);
  CHECK(says(world.node->call("ADD", "c1"), "\"code\":11"));
  world.store.set_full(false);
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  world.node->service().on_store_available();
  world.node->run();
  CHECK(look(world.store).endpoints.contains("c1"));
  CHECK(world.node->links.size() == 1);
}

TEST_CASE("a release that fails for a reason of its own does not hold up the others") {
  World world;
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  CHECK(world.node->call("ADD", "c2").exit_code == 0);
  world.store.set_away(true);
  CHECK(world.node->call("DEL", "c1").exit_code == 0);
  CHECK(world.node->call("DEL", "c2").exit_code == 0);
  world.store.set_away(false);
  const api::ResourceKey bad{api::Kind::kIPAMHandle, {}, "net.c1"};
  const auto handle = world.store.get(bad);
  REQUIRE(handle);
  world.store.spoil(bad, {Errc::kInvalid, "no handle", 0});
  world.node->log.clear();
  world.node->service().on_store_available();
  world.node->service().on_store_available();
  world.node->run();
  CHECK_FALSE(world.store.get({api::Kind::kIPAMHandle, {}, "net.c2"}));
  REQUIRE(world.node->log.size() == 1);  // told once
  CHECK(world.node->log.front().find("container=c1") != std::string::npos);
  CHECK(says(world.node->call("ADD", "c1"), "\"code\":11"));
  CHECK(world.node->call("ADD", "c2").exit_code == 0);
  // Mended: the next replay ends it.
  REQUIRE(world.store.remove(bad));
  api::Resource mended = *handle->resource;
  mended.metadata.resource_version.clear();
  REQUIRE(world.store.create(mended));
  world.node->service().on_store_available();
  world.node->run();
  CHECK(look(world.store).endpoints.size() == 1);
  CHECK(look(world.store).used.size() == 1);
}

TEST_CASE("ADD with the store away is refused with code 11") {
  World world;
  world.store.set_away(true);
  const auto added = world.node->call("ADD", "c1");
  CHECK(added.exit_code == 1);
  CHECK(says(added, "\"code\":11"));
  world.store.set_away(false);
  check_nothing_left(world);
}

TEST_CASE("CHECK compares store, allocation, kernel and the previous result") {
  World world;
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  const auto with_address = [](const std::string& address) {
    return with_config(R"({"cniVersion":"1.0.0","name":"net","prevResult":{"ips":[{"address":")" +
                       address + "/32\"}]}}");
  };
  const std::string address = only_address(look(world.store));
  CHECK(world.node->call("CHECK", "c1", with_address(address)).exit_code == 0);
  CHECK(says(world.node->call("CHECK", "c1"), "CHECK without prevResult"));
  CHECK(says(world.node->call("CHECK", "c2", with_address(address)), "\"code\":3"));
  CHECK(says(world.node->call("CHECK", "c1", with_address("10.9.9.9")), "is not in prevResult"));
  CHECK(says(
      world.node->call(
          "CHECK",
          "c1",
          with_config(
              R"({"cniVersion":"1.0.0","name":"net","prevResult":{"interfaces":[{"name":"eth9"}],
                     "ips":[{"address":")" +
              address + "/32\"}]}}")),
      "interface eth0 is not in prevResult"));
  world.node->links.clear();
  CHECK(says(world.node->call("CHECK", "c1", with_address(address)), "container differs"));
}

TEST_CASE("GC removes what the runtime no longer knows, and nothing without a list") {
  World world;
  CHECK(world.node->call("ADD", "c1").exit_code == 0);
  CHECK(world.node->call("ADD", "c2").exit_code == 0);
  const auto other = R"({"cniVersion":"1.1.0","name":"other"})";
  CHECK(world.node->call("ADD", "c3", with_config(other)).exit_code == 0);
  CHECK(
      world.node->call("GC", "", with_config(R"({"cniVersion":"1.1.0","name":"net"})")).exit_code ==
      0);
  CHECK(look(world.store).used.size() == 3);
  const auto list = R"({"cniVersion":"1.1.0","name":"net",
    "cni.dev/valid-attachments":[{"containerID":"c2","ifname":"eth0"}]})";
  CHECK(world.node->call("GC", "", with_config(list)).exit_code == 0);
  const StoreView view = look(world.store);
  CHECK(view.endpoints.size() == 2);
  CHECK_FALSE(view.endpoints.contains("c1"));
  CHECK(view.used.size() == 2);
  CHECK(world.node->links.size() == 2);
}

// As versions wrote it that put no network into the endpoint or beside the address.
void forget_networks(test::MemoryStore& store) {
  const auto listing = store.list({.kind = {}, .ns = {}});
  for (const auto& object : listing->objects) {
    api::Resource changed = *object.resource;
    changed.metadata.annotations.clear();
    if (auto* block = std::get_if<api::IPAMBlock>(&changed.spec)) {
      for (auto& holder : block->attributes) {
        holder.secondary.erase("network");
      }
    }
    REQUIRE(store.update(changed));
  }
}

TEST_CASE("GC goes by the network, also where an earlier version stored the endpoint") {
  const auto list =
      with_config(R"({"cniVersion":"1.1.0","name":"net","cni.dev/valid-attachments":[]})");
  for (const bool earlier : {false, true}) {
    CAPTURE(earlier);
    World world;
    CHECK(world.node->call("ADD", "c1").exit_code == 0);
    const auto other = R"({"cniVersion":"1.1.0","name":"other"})";
    CHECK(world.node->call("ADD", "c2", with_config(other)).exit_code == 0);
    if (earlier) {
      forget_networks(world.store);
      world.node->restart();
    }
    CHECK(world.node->call("GC", "", list).exit_code == 0);
    const StoreView view = look(world.store);
    CHECK_FALSE(view.endpoints.contains("c1"));
    CHECK(view.endpoints.contains("c2"));
    CHECK(view.used.size() == 1);
    CHECK(world.node->links.size() == 1);
  }
}

TEST_CASE("an error of the store during GC removes nothing of another network") {
  const auto list =
      with_config(R"({"cniVersion":"1.1.0","name":"net","cni.dev/valid-attachments":[]})");
  for (unsigned call = 1; call < 12; ++call) {
    CAPTURE(call);
    World world;
    const auto other = R"({"cniVersion":"1.1.0","name":"other"})";
    CHECK(world.node->call("ADD", "c1", with_config(other)).exit_code == 0);
    CHECK(world.node->call("ADD", "c2", with_config(other)).exit_code == 0);
    forget_networks(world.store);
    world.node->restart();
    const unsigned before = world.store.calls();
    world.store.fail_call(call, {Errc::kUnavailable, "injected", 0});
    const auto collected = world.node->call("GC", "", list);
    const bool failed = world.store.calls() - before >= call;
    world.store.fail_call(0, {});
    CHECK((collected.exit_code != 0) == failed);
    CHECK(look(world.store).endpoints.size() == 2);
    CHECK(world.node->links.size() == 2);
  }
}

TEST_CASE("networks and containers whose names run together hold their addresses apart") {
  World world;
  const auto of_network = [](const std::string& name, const std::string& more = {}) {
    return with_config(R"({"cniVersion":"1.1.0","name":")" + name + "\"" + more + "}");
  };
  CHECK(world.node->call("ADD", "1.x", of_network("net")).exit_code == 0);
  CHECK(world.node->call("ADD", "x", of_network("net.1")).exit_code == 0);
  StoreView view = look(world.store);
  CHECK(view.used.size() == 2);
  CHECK(view.handles == 1);  // net.1.x for both
  const auto list = R"(,"cni.dev/valid-attachments":[])";
  CHECK(world.node->call("GC", "", of_network("net", list)).exit_code == 0);
  view = look(world.store);
  CHECK_FALSE(view.endpoints.contains("1.x"));
  REQUIRE(view.endpoints.contains("x"));
  const auto& left = std::get<api::WorkloadEndpoint>(view.endpoints.at("x").spec);
  CHECK(left.ip_networks.front().addr().str() == only_address(view));
  CHECK(world.node->call("ADD", "1.x", of_network("net")).exit_code == 0);
  CHECK(world.node->call("DEL", "x", of_network("net.1")).exit_code == 0);
  view = look(world.store);
  CHECK(view.endpoints.contains("1.x"));
  CHECK(view.used.size() == 1);
  CHECK(world.node->call("DEL", "1.x", of_network("net")).exit_code == 0);
  check_nothing_left(world);
}

TEST_CASE("STATUS tells readiness") {
  World world;
  CHECK(world.node->call("STATUS", "").exit_code == 0);
  world.node->ready = Readiness::kNotReady;
  CHECK(says(world.node->call("STATUS", ""), "\"code\":50"));
  world.node->ready = Readiness::kLimited;
  CHECK(says(world.node->call("STATUS", ""), "\"code\":51"));
}

TEST_CASE("margay-ipam gives, checks and takes addresses and wires nothing") {
  World world;
  CniRequest request;
  request.plugin = "margay-ipam";
  request.config =
      R"({"cniVersion":"0.4.0","name":"net","type":"ptp","ipam":{"type":"margay-ipam"}})";
  const auto added = world.node->call("ADD", "c1", request);
  CHECK(added.exit_code == 0);
  const StoreView view = look(world.store);
  CHECK(says(added, "\"version\":\"4\",\"address\":\"" + only_address(view) + "/24\""));
  CHECK_FALSE(says(added, "interfaces"));
  CHECK(says(added, "\"routes\":[]"));  // whose gateway would it be?
  CniRequest routed = request;
  routed.config =
      R"({"cniVersion":"1.0.0","name":"net","ipam":{"type":"margay-ipam","gateways":["10.0.0.254","fd00::1"]}})";
  const auto with_gateway = world.node->call("ADD", "c1", routed);
  CHECK(says(with_gateway, "/24\",\"gateway\":\"10.0.0.254\"}]"));
  CHECK(says(with_gateway, "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.0.0.254\"}]"));
  CHECK(view.endpoints.empty());
  CHECK(world.node->call("ADD", "c1", request).output == added.output);
  CHECK(world.node->call("DEL", "c1", request).exit_code == 0);
  check_nothing_left(world);
}

TEST_CASE("CHECK of margay-ipam wants each address held and told") {
  World world;
  add_ipv6_pool(world);
  const auto with_previous = [](const std::vector<std::string>& addresses) {
    std::string ips;
    for (const std::string& addr : addresses) {
      ips += (ips.empty() ? "" : ",") + (R"({"address":")" + addr + "\"}");
    }
    CniRequest request;
    request.plugin = "margay-ipam";
    request.config =
        R"({"cniVersion":"1.0.0","name":"net","ipam":{"type":"margay-ipam","assign_ipv6":true},
            "prevResult":{"ips":[)" +
        ips + "]}}";
    return request;
  };
  CniRequest bare = with_previous({});
  CHECK(world.node->call("ADD", "c1", bare).exit_code == 0);
  const StoreView view = look(world.store);
  REQUIRE(view.used.size() == 2);
  const std::string ipv4 = view.used.begin()->str() + "/24";
  const IpAddr other = *view.used.rbegin();
  const std::string ipv6 = other.str() + "/116";
  const auto check = [&world](const CniRequest& request) {
    return world.node->call("CHECK", "c1", request);
  };
  CHECK(check(with_previous({ipv4, ipv6})).exit_code == 0);
  CHECK(check(with_previous({ipv4, ipv6, "192.0.2.7/24"})).exit_code == 0);  // of another plugin
  CHECK(says(check(with_previous({ipv4})), "is not in prevResult"));
  CHECK(says(world.node->call("CHECK", "c2", with_previous({ipv4, ipv6})), "\"code\":3"));
  CHECK(says(check([] {
               CniRequest request;
               request.plugin = "margay-ipam";
               return request;
             }()),
             "\"code\":7"));
  ipam::Allocator allocator(world.store,
                            {.node = *NodeName::parse("node1"),
                             .match = {},
                             .unix_now = [] { return std::int64_t{0}; },
                             .back_off = [](unsigned) {}});
  const auto blocks = world.store.list({.kind = api::Kind::kIPAMBlock, .ns = {}});
  for (const auto& object : blocks->objects) {
    if (const auto* holder = ipam::holder_of(ipam::block_in(*object.resource), other)) {
      CHECK(*allocator.release_address(other, *holder));
    }
  }
  CHECK(says(check(with_previous({ipv4, ipv6})), "address " + other.str() + " is not allocated"));
}

TEST_CASE("the block ahead is claimed for the families and from the pools that are asked for") {
  World world;
  add_ipv6_pool(world);
  const auto blocks = [&world](Family family) {
    const auto listing = world.store.list({.kind = api::Kind::kIPAMBlock, .ns = {}});
    return std::ranges::count_if(listing->objects, [family](const datastore::Object& object) {
      return ipam::block_in(*object.resource).cidr.family() == family;
    });
  };
  CHECK(blocks(Family::kIpv4) == 1);  // at the start
  CHECK(blocks(Family::kIpv6) == 0);
  const std::string only_v6 =
      R"({"cniVersion":"1.0.0","name":"net","ipam":{"assign_ipv4":false,"assign_ipv6":true}})";
  // A block of 64: with less than 8 left there is another one.
  for (unsigned i = 0; i < 57; ++i) {
    CHECK(world.node->call("ADD", "c" + std::to_string(i), with_config(only_v6)).exit_code == 0);
  }
  CHECK(blocks(Family::kIpv6) == 2);
  CHECK(blocks(Family::kIpv4) == 1);
  CHECK(world.node->log.empty());
}

TEST_CASE("a node that no IPv4 pool selects is not warned of it") {
  test::MemoryStore store;
  TestDirectory directory;
  NodeInMemory node(store, directory.path);
  CHECK(node.log.empty());
}

TEST_CASE(
    "annotations of the pod win over those of its namespace, and those over the configuration") {
  World world;
  for (const auto& [name, cidr] : {std::pair{"green", "10.1.0.0/24"}, {"red", "10.2.0.0/24"}}) {
    api::Resource pool;
    pool.metadata.name = name;
    api::IPPool spec;
    spec.cidr = *Prefix::parse(cidr);
    spec.manual_assignment = true;
    pool.spec = spec;
    REQUIRE(world.store.create(pool));
  }
  api::Resource ns;
  ns.metadata.name = "prod";
  ns.metadata.annotations = {{"cni.projectcalico.org/ipv4pools", R"(["green"])"}};
  ns.spec = api::Namespace{};
  REQUIRE(world.store.create(ns));
  const auto address_of = [&world](const std::string& pod, const std::string& annotations) {
    auto request = of_pod("prod", pod);
    request.config =
        R"({"cniVersion":"1.0.0","name":"net","ipam":{"type":"margay-ipam","ipv4_pools":["blue"]},
            "runtimeConfig":{"io.kubernetes.cri.pod-annotations":{)" +
        annotations + "}}}";
    const auto added = world.node->call("ADD", pod, request);
    CHECK_MESSAGE(added.exit_code == 0, added.output);
    const StoreView view = look(world.store);
    REQUIRE(view.endpoints.contains(pod));
    return std::get<api::WorkloadEndpoint>(view.endpoints.at(pod).spec).ip_networks.front().addr();
  };
  CHECK(Prefix::parse("10.1.0.0/24")->contains(address_of("by-namespace", "")));
  CHECK(Prefix::parse("10.2.0.0/24")
            ->contains(
                address_of("by-pod", R"("cni.projectcalico.org/ipv4pools":"[\"10.2.0.0/24\"]")")));
  CHECK(address_of("fixed", R"("cni.projectcalico.org/ipAddrs":"[\"10.0.0.77\"]")") ==
        *IpAddr::parse("10.0.0.77"));
  auto wrong = of_pod("prod", "wrong");
  wrong.config = R"({"cniVersion":"1.0.0","name":"net","runtimeConfig":
      {"io.kubernetes.cri.pod-annotations":{"cni.projectcalico.org/ipAddrs":"10.0.0.1"}}})";
  CHECK(says(world.node->call("ADD", "wrong", wrong), "annotation cni.projectcalico.org/ipAddrs"));
}

TEST_CASE("with another IPAM plugin the agent asks for addresses once, and keeps to the answer") {
  World world;
  auto request = with_config(R"({"cniVersion":"1.0.0","name":"net","ipam":{"type":"host-local"}})");
  const auto asked = world.node->call("ADD", "c1", request);
  CHECK(asked.exit_code == 0);
  CHECK(asked.wants_addresses);
  check_nothing_left(world);
  request.delegated = R"({"cniVersion":"1.0.0","ips":[{"address":"10.65.0.2/24"}],
      "dns":{"nameservers":["192.0.2.53"],"search":["a.example","b.example"]}})";
  const auto added = world.node->call("ADD", "c1", request);
  CHECK(added.exit_code == 0);
  CHECK(says(added, "\"address\":\"10.65.0.2/32\",\"gateway\":\"169.254.1.1\""));
  CHECK(says(added, R"("dns":{"nameservers":["192.0.2.53"],"search":["a.example","b.example"]})"));
  CHECK(look(world.store).used.empty());
  CHECK(look(world.store).endpoints.contains("c1"));
  // Known by now: nobody is asked for a second address.
  request.delegated.clear();
  const auto again = world.node->call("ADD", "c1", request);
  CHECK_FALSE(again.wants_addresses);
  CHECK(again.output == added.output);
  CHECK(world.node->call("DEL", "c1", request).exit_code == 0);
  check_nothing_left(world);
  for (const char* nonsense : {"x", "[]", "{}", R"({"ips":[{"address":"x"}]})", R"({"ips":[]})"}) {
    CAPTURE(nonsense);
    request.delegated = nonsense;
    CHECK(says(world.node->call("ADD", "c1", request), "\"code\":6"));
    check_nothing_left(world);
  }
}

TEST_CASE("a failure at any step of ADD with another IPAM plugin leaves nothing") {
  auto request = with_config(R"({"cniVersion":"1.0.0","name":"net","ipam":{"type":"host-local"}})");
  request.delegated = R"({"ips":[{"address":"10.65.0.2/24"}]})";
  for (unsigned call = 1; call < 12; ++call) {
    CAPTURE(call);
    World world;
    world.store.fail_call(call, {Errc::kInternal, "injected", 0});
    const auto added = world.node->call("ADD", "c1", request);
    world.store.fail_call(0, {});
    if (added.exit_code == 0) {
      CHECK(world.node->call("DEL", "c1", request).exit_code == 0);
    }
    check_nothing_left(world);
  }
  World world;
  world.node->fail_wiring_in = 1;
  CHECK(says(world.node->call("ADD", "c1", request), "wire the container: no such luck"));
  check_nothing_left(world);
}

TEST_CASE("with another IPAM plugin, too, what nobody took or an agent did not end is undone") {
  World world;
  auto request = with_config(R"({"cniVersion":"1.0.0","name":"net","ipam":{"type":"host-local"}})");
  request.delegated = R"({"ips":[{"address":"10.65.0.2/24"}]})";
  world.node->plugin_lives = false;
  CHECK(world.node->call("ADD", "c1", request).exit_code == 0);
  check_nothing_left(world);
  world.node->plugin_lives = true;
  world.node->waiter.enforcing = false;
  CHECK_FALSE(*world.node->start("ADD", "c1", request));
  CHECK(world.node->links.size() == 1);
  CHECK_FALSE(std::filesystem::is_empty(world.directory.path / "calls"));
  world.node->restart();
  check_nothing_left(world);
  CHECK(std::filesystem::is_empty(world.directory.path / "calls"));
  // One that was answered is left alone, also by a question that comes to nothing.
  world.node->waiter.enforcing = true;
  CHECK(world.node->call("ADD", "c1", request).exit_code == 0);
  CHECK(std::filesystem::is_empty(world.directory.path / "calls"));
  request.delegated.clear();
  CHECK_FALSE(world.node->call("ADD", "c1", request).wants_addresses);
  world.node->restart();
  CHECK(look(world.store).endpoints.contains("c1"));
}

TEST_CASE("an ADD that only asks for addresses leaves the link of an earlier DEL to its removal") {
  World world;
  auto request = with_config(R"({"cniVersion":"1.0.0","name":"net","ipam":{"type":"host-local"}})");
  request.delegated = R"({"ips":[{"address":"10.65.0.2/24"}]})";
  CHECK(world.node->call("ADD", "c1", request).exit_code == 0);
  request.delegated.clear();
  request.container_id = "c1";
  request.netns = "/netns/c1";
  request.ifname = "eth0";
  request.plugin = "margay";
  bool asked = false;
  for (const char* verb : {"DEL", "ADD"}) {
    request.verb = verb;
    world.node->service().handle(
        request, [&asked](const CniResponse& response) { asked = response.wants_addresses; });
  }
  world.node->run();
  CHECK(asked);
  check_nothing_left(world);
  CHECK(std::filesystem::is_empty(world.directory.path / "calls"));
}

TEST_CASE("a burst with another IPAM plugin among others: each gets what its own gave") {
  World world;
  unsigned answered = 0;
  for (unsigned i = 0; i < 10; ++i) {
    CniRequest request = with_config(
        i % 2 == 0 ? R"({"cniVersion":"1.0.0","name":"net"})"
                   : R"({"cniVersion":"1.0.0","name":"net","ipam":{"type":"host-local"}})");
    request.delegated =
        i % 2 == 0 ? "" : R"({"ips":[{"address":"10.65.0.)" + std::to_string(i) + "/24\"}]}";
    request.verb = "ADD";
    request.container_id = "c" + std::to_string(i);
    request.netns = "/netns/x";
    request.ifname = "eth0";
    request.plugin = "margay";
    const std::string expected = i % 2 == 0 ? "10.0.0." : "10.65.0." + std::to_string(i) + "/32";
    world.node->service().handle(request, [&answered, expected](const CniResponse& response) {
      CHECK_MESSAGE(says(response, expected.c_str()), response.output);
      ++answered;
    });
  }
  world.node->run();
  CHECK(answered == 10);
  CHECK(look(world.store).used.size() == 5);
  CHECK(look(world.store).endpoints.size() == 10);
  CHECK(std::filesystem::is_empty(world.directory.path / "calls"));
}

TEST_CASE("what plugins in front of this one made stays in the result, and ours counts on") {
  World world;
  const auto added =
      world.node->call("ADD", "c1", with_config(R"({"cniVersion":"1.0.0","name":"net",
    "dns":{"nameservers":["192.0.2.53"]},
    "prevResult":{"cniVersion":"1.0.0","interfaces":[{"name":"lo","sandbox":"/n"}],
      "ips":[{"address":"127.0.0.1/8","interface":0}],"routes":[{"dst":"192.0.2.0/24"}],
      "dns":{"domain":"example.net"}}})"));
  CHECK(added.exit_code == 0);
  CHECK(says(added, R"("interfaces":[{"name":"lo","sandbox":"/n"},{"name":"mgy)"));
  CHECK(says(added, R"("ips":[{"address":"127.0.0.1/8","interface":0},{"address":"10.0.0.)"));
  CHECK(says(added, R"("interface":2}])"));
  CHECK(says(added, R"("routes":[{"dst":"192.0.2.0/24"},{"dst":"0.0.0.0/0")"));
  CHECK(says(added, R"("dns":{"domain":"example.net"})"));
}

TEST_CASE("GC of margay-ipam frees what the list does not name, of its network alone") {
  World world;
  const auto request = [](const std::string& network, const std::string& more = {}) {
    CniRequest call;
    call.plugin = "margay-ipam";
    call.config = R"({"cniVersion":"1.1.0","name":")" + network +
                  R"(","type":"ptp","ipam":{"type":"margay-ipam"})" + more + "}";
    return call;
  };
  CHECK(world.node->call("ADD", "c1", request("net")).exit_code == 0);
  CHECK(world.node->call("ADD", "c2", request("net")).exit_code == 0);
  CHECK(world.node->call("ADD", "c3", request("other")).exit_code == 0);
  CHECK(world.node->call("ADD", "c4").exit_code == 0);  // of margay, in the same network
  auto second = request("net");
  second.ifname = "eth1";
  const auto given = world.node->call("ADD", "c1", second);
  CHECK(given.output != world.node->call("ADD", "c1", request("net")).output);
  CHECK(look(world.store).used.size() == 5);
  CHECK(world.node->call("GC", "", request("net")).exit_code == 0);
  CHECK(look(world.store).used.size() == 5);
  const auto list =
      request("net", R"(,"cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"}])");
  CHECK(world.node->call("GC", "", list).exit_code == 0);
  CHECK(look(world.store).used.size() == 3);
  CHECK(world.node->call("ADD", "c1", second).exit_code == 0);
  CHECK(look(world.store).used.size() == 4);
}

TEST_CASE("configurations that cannot work are refused with the reason") {
  World world;
  const auto refused = [&world](const std::string& fields) {
    return world.node->call(
        "ADD", "c1", with_config(R"({"cniVersion":"1.0.0","name":"net",)" + fields + "}"));
  };
  CHECK(says(refused(R"("ipam":{"assign_ipv4":false})"), "neither assign_ipv4 nor assign_ipv6"));
  CHECK(says(refused(R"("ipam":{"ipv4_pools":["red"]})"), "pool \\\"red\\\" does not exist"));
  CHECK(says(refused(R"("runtimeConfig":{"IPs":["192.0.2.9/24"]})"), "outside every pool"));
  check_nothing_left(world);
}

TEST_SUITE_END();

}  // namespace
}  // namespace margay::felix
