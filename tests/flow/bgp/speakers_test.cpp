#include "tests/flow/bgp/network.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace margay::bgp::test {
namespace {

using std::chrono::seconds;

Prefix prefix(std::string_view text) {
  return *Prefix::parse(text);
}

// The best path's AS_PATH of a prefix at a node; "-" for none.
std::string path_at(Network& network, Network::NodeIndex node, const Prefix& wanted) {
  const auto route = network.rib(node).route(wanted);
  if (!route || route->paths.empty() || !route->paths.front().best) {
    return "-";
  }
  return route->paths.front().attributes.as_path.str();
}

// 65001 - 65002 - 65003, every node with two networks of its own.
struct Chain {
  Network network;
  explicit Chain(std::size_t piece = 4096, std::uint32_t seed = 1) : network(piece, seed) {
    for (std::uint32_t i = 0; i < 3; ++i) {
      const auto node = network.add_node(Asn{65001 + i});
      network.rib(node).originate(prefix(fmt::format("10.{}.0.0/24", 64 + i)));
      network.rib(node).originate(prefix(fmt::format("fd00:{}::/64", 64 + i)));
    }
    network.link(0, 1);
    network.link(1, 2, {.b_is_passive = true});
  }
  // What every node must hold in the end.
  void check_converged() {
    CHECK(path_at(network, 0, prefix("10.65.0.0/24")) == "65002");
    CHECK(path_at(network, 0, prefix("10.66.0.0/24")) == "65002 65003");
    CHECK(path_at(network, 2, prefix("10.64.0.0/24")) == "65002 65001");
    CHECK(path_at(network, 1, prefix("10.64.0.0/24")) == "65001");
    CHECK(network.kernel(0).size() == network.kernel(2).size());
    CHECK(network.kernel(0).at(prefix("10.66.0.0/24")) ==
          std::vector<NextHop>{{Network::address(1), {}}});
    CHECK_FALSE(network.kernel(0).contains(prefix("10.64.0.0/24")));
    CHECK(network.open_connections() == 2);
  }
};

TEST_SUITE("bgp.flow") {
  TEST_CASE("routes travel along a chain of three systems, and their withdrawal") {
    Chain chain;
    chain.network.run(seconds(30));
    chain.check_converged();

    chain.network.rib(2).withdraw(prefix("10.66.0.0/24"));
    chain.network.run(seconds(1));

    CHECK(path_at(chain.network, 1, prefix("10.66.0.0/24")) == "-");
    CHECK(path_at(chain.network, 0, prefix("10.66.0.0/24")) == "-");
    CHECK_FALSE(chain.network.kernel(0).contains(prefix("10.66.0.0/24")));
  }

  TEST_CASE("in what pieces the bytes arrive does not matter") {
    for (const std::size_t piece : {1U, 7U, 19U, 20U, 0U}) {
      CAPTURE(piece);
      Chain chain(piece);
      chain.network.run(seconds(30));
      chain.check_converged();
    }
  }

  TEST_CASE("both sides that connect at once agree on one session, whatever the order") {
    for (std::uint32_t seed = 1; seed <= 50; ++seed) {
      CAPTURE(seed);
      Network network(0, seed);
      network.add_node(Asn{65001});
      network.add_node(Asn{65002});
      network.link(0, 1);
      network.rib(0).originate(prefix("10.64.0.0/24"));
      network.run(seconds(120));
      CHECK(network.state(0, 1) == SessionState::kEstablished);
      CHECK(network.state(1, 0) == SessionState::kEstablished);
      CHECK(network.open_connections() == 1);
      CHECK(network.kernel(1).contains(prefix("10.64.0.0/24")));
    }
  }

  TEST_CASE("a reset after any byte leads to the same end") {
    std::size_t total = 0;
    {
      Chain whole(13);
      whole.network.run(seconds(30));
      total = whole.network.bytes_carried();
    }
    REQUIRE(total > 500);
    for (std::size_t bytes = 1; bytes < total; bytes += 5) {
      CAPTURE(bytes);
      Chain chain(13);
      chain.network.reset_after(bytes);
      chain.network.run(seconds(300));
      chain.check_converged();
    }
  }

  TEST_CASE("a reset takes the routes at once and the way back is found") {
    Chain chain;
    chain.network.run(seconds(30));
    chain.network.set_silent(true);
    chain.network.reset_connections();
    chain.network.run(seconds(0));
    CHECK(chain.network.kernel(0).empty());
    CHECK(path_at(chain.network, 1, prefix("10.66.0.0/24")) == "-");

    chain.network.set_silent(false);
    chain.network.run(seconds(300));
    chain.check_converged();
  }

  TEST_CASE("when nothing arrives any more the routes go with the hold time") {
    Chain chain;
    chain.network.run(seconds(30));
    chain.network.set_silent(true);
    chain.network.run(seconds(45));
    CHECK_FALSE(chain.network.kernel(0).empty());  // a third of it may be over since the last one
    chain.network.run(seconds(46));
    CHECK(chain.network.kernel(0).empty());
    CHECK(chain.network.state(0, 1) != SessionState::kEstablished);

    chain.network.set_silent(false);
    chain.network.run(seconds(300));
    chain.check_converged();
  }

  TEST_CASE("an idle session lives on keepalives for a day") {
    Chain chain;
    chain.network.run(seconds(30));
    const std::size_t before = chain.network.bytes_carried();
    chain.network.run(std::chrono::hours(24));
    chain.check_converged();
    CHECK(chain.network.bytes_carried() > before);
  }

  TEST_CASE("clients of a reflector hear each other with the next hop kept") {
    Network network;
    for (int i = 0; i < 4; ++i) {
      network.add_node(Asn{65000});
    }
    for (Network::NodeIndex client = 1; client < 4; ++client) {
      network.link(0, client, {.b_is_client = true});
      network.rib(client).originate(prefix(fmt::format("10.{}.0.0/24", client)));
    }
    network.run(seconds(60));
    for (Network::NodeIndex client = 1; client < 4; ++client) {
      CAPTURE(client);
      CHECK(network.kernel(client).size() == 2);
      for (const auto& [destination, hops] : network.kernel(client)) {
        const auto from = static_cast<Network::NodeIndex>(destination.addr().bytes()[1]);
        CHECK(hops == std::vector<NextHop>{{Network::address(from), {}}});
      }
    }
  }

  TEST_CASE("in an internal mesh nothing is passed on, and every node has every network") {
    Network network;
    constexpr Network::NodeIndex kNodes = 6;
    for (Network::NodeIndex node = 0; node < kNodes; ++node) {
      network.add_node(Asn{65000});
      network.rib(node).originate(prefix(fmt::format("10.{}.0.0/24", node)));
      for (Network::NodeIndex other = 0; other < node; ++other) {
        network.link(other, node);
      }
    }
    network.run(seconds(120));
    for (Network::NodeIndex node = 0; node < kNodes; ++node) {
      CHECK(network.kernel(node).size() == kNodes - 1);
      CHECK(network.rib(node).path_count() == kNodes);
    }
  }
}

}  // namespace
}  // namespace margay::bgp::test
