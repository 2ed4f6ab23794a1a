#include "bgp/bgpd_config.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

namespace margay::bgp {
namespace {

constexpr auto kGood = R"(
router:
  asn: 65001
  id: 10.0.0.1
  cluster_id: 10.0.0.9
  listen: ["192.0.2.1:1790", "[2001:db8::1]:1790"]
  fib: {ipv4: true, table: 100, protocol: 200}
groups:
  nodes: {peer_asn: 65001, route_reflector_client: true, passive: true, hold_time_s: 30, max_prefixes: 10}
  up: {import: accept, export: accept, ttl_security: 2}
peers:
  - {address: 10.0.0.2, group: nodes}
  - {address: "2001:db8::2", asn: 65002, group: up, name: spine, hold_time_s: 9, local_address: "2001:db8::1"}
networks: [192.0.2.0/24, "2001:db8:1::/48"]
control: /run/test.sock
)";

TEST_SUITE("bgp.bgpd_config") {
  TEST_CASE("a full file becomes the values of the speaker; peers override their group") {
    const auto config = parse_bgpd_config(kGood, "file");
    REQUIRE_MESSAGE(config.has_value(), (config ? "" : config.error().text));
    CHECK(config->speaker.asn == Asn(65001));
    CHECK(config->speaker.listen_port == 1790);
    CHECK(config->speaker.listen_addresses.size() == 2);
    CHECK(config->speaker.graceful_restart.count() == 0);
    CHECK(config->speaker.networks.size() == 2);
    CHECK(config->control == "/run/test.sock");
    CHECK(config->fib ==
          BgpdConfig::Fib{.ipv4 = true, .table = TableId(100), .protocol = RouteProtocol(200)});
    REQUIRE(config->speaker.peers.size() == 2);
    const PeerConfig& node = config->speaker.peers[0];
    CHECK(node.name == "10.0.0.2");
    CHECK(node.asn == Asn(65001));
    CHECK(node.local_asn == Asn(65001));
    CHECK(node.reflector_client);
    CHECK(node.passive);
    CHECK(node.hold_time.count() == 30);
    CHECK(node.max_prefixes == 10);
    const PeerConfig& spine = config->speaker.peers[1];
    CHECK(spine.name == "spine");
    CHECK(spine.asn == Asn(65002));
    CHECK(spine.hold_time.count() == 9);
    CHECK(spine.ttl_security_hops == 2);
    CHECK_FALSE(spine.reflector_client);
  }

  TEST_CASE("a peer may be the router at the other end of an interface, of whatever AS") {
    const auto config = parse_bgpd_config(R"(
router: {asn: 65000, id: 1.1.1.1}
groups:
  up: {peer_asn: external, import: accept, export: accept, role: customer, strict_role: true}
peers:
  - {interface: eth0, group: up}
  - {interface: eth1, address: "fe80::2", group: up, asn: internal, name: twin, description: "rack 7"}
)",
                                          "file");
    REQUIRE_MESSAGE(config.has_value(), (config ? "" : config.error().text));
    const PeerConfig& found = config->speaker.peers[0];
    CHECK(found.name == "eth0");
    CHECK(found.interface == "eth0");
    CHECK(found.address.is_unspecified());
    CHECK(found.asn == Asn());
    CHECK(found.extended_next_hop);
    CHECK(found.role == Role::kCustomer);
    CHECK(found.strict_role);
    const PeerConfig& twin = config->speaker.peers[1];
    CHECK(twin.name == "twin");
    CHECK(twin.address == *IpAddr::parse("fe80::2"));
    CHECK(twin.asn == Asn(65000));
    CHECK(twin.description == "rack 7");
  }

  TEST_CASE("a group takes connections from a network, each as a peer of its own") {
    const auto config = parse_bgpd_config(R"(
router: {asn: 65000, id: 1.1.1.1}
groups:
  nodes: {peer_asn: internal, route_reflector_client: true, dynamic: {prefix: 10.0.0.0/24, limit: 500}}
  more: {peer_asn: external, import: accept, export: accept, dynamic: {prefix: "2001:db8::/32"}}
)",
                                          "file");
    REQUIRE_MESSAGE(config.has_value(), (config ? "" : config.error().text));
    CHECK(config->speaker.peers.empty());
    REQUIRE(config->speaker.dynamic.size() == 2);
    CHECK(config->speaker.dynamic[0].name == "more");
    CHECK(config->speaker.dynamic[0].limit == 100);
    CHECK(config->speaker.dynamic[0].peers.asn == Asn());
    const DynamicPeers& nodes = config->speaker.dynamic[1];
    CHECK(nodes.prefix == *Prefix::parse("10.0.0.0/24"));
    CHECK(nodes.limit == 500);
    CHECK(nodes.peers.asn == Asn(65000));
    CHECK(nodes.peers.reflector_client);
  }

  TEST_CASE("filters are rules of a family each, and what none matches is rejected") {
    const auto config = parse_bgpd_config(R"(
router: {asn: 1, id: 1.1.1.1}
peers:
  - {address: 1.2.3.4, asn: 2, import: only_pods, export: accept}
  - {address: 1.2.3.5, asn: 2, import: accept, export: nothing}
filters:
  nothing: []
  only_pods:
    - {match: {prefix: 10.244.0.0/16, length: "26-32"}, action: accept}
    - {match: {prefix: "fd00::/8", length: 64}, action: accept, set: {local_pref: 5, community: "1:2", prepend: [7, 8]}}
    - {match: {prefix: 192.0.2.0/24, community: "65000:1:2"}, action: reject}
)",
                                          "file");
    REQUIRE_MESSAGE(config.has_value(), (config ? "" : config.error().text));
    const PeerFilters& filters = config->speaker.peers.front().filters;
    CHECK(filters.export_v4.empty());
    CHECK(filters.export_v6.empty());
    REQUIRE(filters.import_v4.size() == 3);
    CHECK(filters.import_v4[0].prefix->min_length == 26);
    CHECK(filters.import_v4[0].prefix->max_length == 32);
    CHECK(filters.import_v4[1].prefix->match == PrefixMatch::kEqual);
    CHECK(filters.import_v4[1].large_community == LargeCommunity{65000, 1, 2});
    CHECK(filters.import_v4.back() == FilterRule{.accept = false});
    REQUIRE(filters.import_v6.size() == 2);
    CHECK(filters.import_v6[0].operations.size() == 3);
    CHECK(filters.import_v6.back() == FilterRule{.accept = false});
    CHECK(config->speaker.peers[1].filters.export_v4 ==
          std::vector<FilterRule>{FilterRule{.accept = false}});
  }

  TEST_CASE("collectors, MRT files and records are read, a collector alone or a list of them") {
    const auto config = parse_bgpd_config(R"(
router: {asn: 1, id: 1.1.1.1}
groups: {g: {record: {directory: /r}}}
peers:
  - {address: 1.2.3.4, asn: 1, group: g}
  - {address: 1.2.3.5, asn: 1, record: {directory: /s, max_mb: 2}}
bmp:
  - {address: 192.0.2.50}
  - {address: "2001:db8::50", port: 1790, post_policy: true, statistics_s: 0, name: r1}
mrt: {directory: /var/mrt, updates: false, rotate_s: 60, table_s: 0, keep: 5}
)",
                                          "file");
    REQUIRE_MESSAGE(config.has_value(), (config ? "" : config.error().text));
    const SpeakerConfig& speaker = config->speaker;
    CHECK(speaker.bmp == std::vector<BmpSettings>{{.address = *IpAddr::parse("192.0.2.50")},
                                                  {.address = *IpAddr::parse("2001:db8::50"),
                                                   .port = 1790,
                                                   .post_policy = true,
                                                   .statistics = std::chrono::seconds(0),
                                                   .name = "r1"}});
    CHECK(speaker.mrt == MrtSettings{.directory = "/var/mrt",
                                     .updates = false,
                                     .rotate = std::chrono::seconds(60),
                                     .table = std::chrono::seconds(0),
                                     .keep = 5});
    CHECK(speaker.peers[0].record == RecordSettings{.directory = "/r"});
    CHECK(speaker.peers[1].record == RecordSettings{.directory = "/s", .max_bytes = 2U << 20U});
    const auto one =
        parse_bgpd_config("router: {asn: 1, id: 1.1.1.1}\nbmp: {address: 192.0.2.50}", "file");
    REQUIRE(one);
    CHECK(one->speaker.bmp.size() == 1);
    CHECK_FALSE(one->speaker.mrt);
  }

  TEST_CASE("a password file is looked for beside the configuration") {
    const auto folder = std::filesystem::temp_directory_path() /
                        ("margay-bgpd-config-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "secret") << "deep\n";
    std::ofstream(folder / "bgpd.yaml")
        << "router: {asn: 1, id: 1.1.1.1}\n"
           "peers: [{address: 1.2.3.4, asn: 1, password_file: secret}]\n";
    const auto config = read_bgpd_config((folder / "bgpd.yaml").string());
    std::filesystem::remove_all(folder);
    REQUIRE_MESSAGE(config.has_value(), (config ? "" : config.error().text));
    CHECK(config->speaker.peers.front().password == "deep");
  }

  TEST_CASE("a wrong file is refused with its line, its field and what would be right") {
    struct Row {
      const char* text;
      const char* error;
    };
    const std::string router = "router: {asn: 1, id: 1.1.1.1}\n";
    for (const Row& row : {
             Row{"router: {id: 1.1.1.1}", "file: line 1: router.asn: missing"},
             Row{"router: {asn: 0, id: 1.1.1.1}",
                 "file: line 1: router.asn: \"0\": expected a number from 1 to 4294967295"},
             Row{"router: {asn: 1, id: 0.0.0.0}",
                 "file: line 1: router.id: \"0.0.0.0\": expected an IPv4 address other than "
                 "0.0.0.0"},
             Row{"router: {asn: 1, id: 1.1.1.1, listen: [\"1.1.1.1\"]}",
                 "file: line 1: router.listen: \"1.1.1.1\": expected ADDRESS:PORT, IPv6 as "
                 "[ADDRESS]:PORT"},
             Row{"router: {asn: 1, id: 1.1.1.1}\ncolour: red",
                 "file: line 2: colour: unknown field"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {asn: 1}",
                 "file: line 3: peers[0].address: missing"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {address: 1.2.3.4, asn: 2}",
                 "file: line 3: peers[0]: an external peer needs import and export: accept, or a "
                 "filter"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {address: 1.2.3.4, asn: 2, import: "
                 "accept, export: none}",
                 "file: line 3: peers[0].export: \"none\": expected accept or a name in filters"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nfilters: {f: [{match: {prefix: 10.0.0.0/8}}]}",
                 "file: line 2: filters.f[0].action: missing"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nfilters: {f: [{match: {length: 8}, action: "
                 "accept}]}",
                 "file: line 2: filters.f[0].match.length: needs a prefix"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nfilters: {f: [{match: {prefix: 10.0.0.0/8, "
                 "length: 9-8}, action: accept}]}",
                 "file: line 2: filters.f[0].match.length: \"9-8\": expected a prefix length, or "
                 "two such as 26-32"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nfilters: {f: [{action: drop}]}",
                 "file: line 2: filters.f[0].action: \"drop\": expected accept or reject"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nfilters: {f: [{action: reject, set: "
                 "{local_pref: 1}}]}",
                 "file: line 2: filters.f[0].set: only with action: accept"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nfilters: {accept: []}",
                 "file: line 2: filters.accept: is what a peer says that wants no filter"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {address: 1.2.3.4, asn: 1, group: x}",
                 "file: line 3: peers[0].group: \"x\": no such group"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {adress: 1.2.3.4, asn: 1}",
                 "file: line 3: peers[0].adress: unknown field, did you mean address?"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {address: 1.2.3.4, asn: 1}\n  - "
                 "{address: 1.2.3.4, asn: 1, name: again}",
                 "file: line 4: peers[1].address: \"1.2.3.4\": is there twice"},
             Row{"router: {asn: 1, id: 1.1.1.1, listen: ['192.0.2.1:179']}\npeers:\n  - {address: "
                 "192.0.2.1, asn: 1}",
                 "file: line 3: peers[0].address: \"192.0.2.1\": is this router itself"},
             Row{"router: {asn: 1, id: 1.1.1.1}\ngroups: {g: {ttl_security: 1}}\npeers:\n  - "
                 "{address: 1.2.3.4, asn: 1, group: g, ttl: 5}",
                 "file: line 4: peers[0].ttl: excludes ttl_security"},
             Row{"router: {asn: 1, id: 1.1.1.1}\n---\nrouter: {asn: 2, id: 1.1.1.1}",
                 "file: line 3: a second document: expected one"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nfilters: {f: [{match: {prefix: 10.0.0.0/8, "
                 "length: 8-33}, action: accept}]}",
                 "file: line 2: filters.f[0].match.length: \"8-33\": expected lengths from the "
                 "prefix's own 8 to 32"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nfilters: {f: [{match: {prefix: 10.0.0.0/8, "
                 "length: 7}, action: accept}]}",
                 "file: line 2: filters.f[0].match.length: \"7\": expected lengths from"},
             Row{"router: {asn: 1, id: 1.1.1.1}\n[a]: b",
                 "file: line 2: expected the name of a field"},
             Row{"router: {asn: 1, id: 1.1.1.1}\ngroups: {[a]: {}}",
                 "file: line 2: groups: expected the name of a group"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nfilters: {[a]: []}",
                 "file: line 2: filters: expected the name of a filter"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {address: 1.2.3.4, asn: 1, "
                 "hold_time_s: 2}",
                 "file: line 3: peers[0].hold_time_s: \"2\": expected 0, or a number from 3 to "
                 "65535"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {asn: 1}",
                 "file: line 3: peers[0].address: missing, and there is no interface"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {address: 'fe80::1', asn: 1}",
                 "file: line 3: peers[0].address: link-local: needs interface"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {address: 1.2.3.4, interface: eth0, "
                 "asn: 1}",
                 "file: line 3: peers[0].address: with interface: expected a link-local IPv6"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {interface: a/b, asn: 1}",
                 "file: line 3: peers[0].interface: "},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {interface: eth0, asn: 1, "
                 "local_address: 1.1.1.1}",
                 "file: line 3: peers[0].local_address: excludes interface"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {interface: eth0, asn: external}",
                 "file: line 3: peers[0]: an external peer needs import and export"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {interface: eth0, asn: other}",
                 "file: line 3: peers[0].asn: \"other\": expected a number from 1 to 4294967295, "
                 "external or internal"},
             Row{"router: {asn: 1, id: 1.1.1.1}\npeers:\n  - {interface: eth0, asn: 1, role: king}",
                 "file: line 3: peers[0].role: \"king\": expected provider, customer, peer,"},
             Row{"router: {asn: 1, id: 1.1.1.1}\ngroups: {g: {dynamic: {limit: 1}, peer_asn: 1}}",
                 "file: line 2: groups.g.dynamic: expected {prefix: NETWORK, limit: NUMBER}"},
             Row{"router: {asn: 1, id: 1.1.1.1}\ngroups: {g: {dynamic: {prefix: 10.0.0.0/8}}}",
                 "file: line 2: groups.g.peer_asn: missing"},
             Row{"router: {asn: 1, id: 1.1.1.1}\ngroups: {g: {dynamic: {prefix: 10.0.0.0/8, limit: "
                 "0}, peer_asn: 1}}",
                 "file: line 2: groups.g.dynamic.limit: "},
             Row{"router: {asn: 1, id: 1.1.1.1}\ngroups: {g: {dynamic: {prefix: 10.0.0.0/8}, "
                 "peer_asn: 2}}",
                 "file: line 2: groups.g: an external peer needs import and export"},
             Row{"router: {asn: 1, id: 1.1.1.1}\ngroups: {g: {bfd: {interval_ms: 5}}}",
                 "file: line 2: groups.g.bfd.interval_ms: \"5\": expected a number from 10 to"},
             Row{"router: {asn: 1, id: 1.1.1.1}\ngroups: {g: {bfd: {multiplier: 1}}}",
                 "file: line 2: groups.g.bfd.multiplier: "},
             Row{"router: {asn: 1, id: 1.1.1.1}\nbmp: {port: 5}",
                 "file: line 2: bmp.address: missing"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nbmp: [{address: here}]",
                 "file: line 2: bmp[0].address: "},
             Row{"router: {asn: 1, id: 1.1.1.1}\nbmp: [{address: 1.1.1.1}, {address: 1.1.1.1}]",
                 "file: line 2: bmp[1].address: the same collector is there twice"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nbmp: 1.1.1.1",
                 "file: line 2: bmp: expected a collector, or a list of them"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nmrt: {rotate_s: 5}",
                 "file: line 2: mrt.directory: missing"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nmrt: {directory: x}",
                 "file: line 2: mrt.directory: \"x\": expected a directory as an absolute path"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nmrt: {directory: /x, rotate_s: 0}",
                 "file: line 2: mrt.rotate_s: \"0\": expected a number from 1 to"},
             Row{"router: {asn: 1, id: 1.1.1.1}\ngroups: {g: {record: {max_mb: 5}}}",
                 "file: line 2: groups.g.record.directory: missing"},
             Row{"router: {asn: 1, id: 1.1.1.1}\ngroups: {g: {record: {directory: /x, size: 5}}}",
                 "file: line 2: groups.g.record.size: unknown field"},
             Row{"router: {asn: 1, id: 1.1.1.1}\nnetworks: [10.0.0.1/8]",
                 "file: line 2: networks: "},
             Row{"router: {asn: 1, id: 1.1.1.1}\ncontrol: x.sock",
                 "file: line 2: control: \"x.sock\": expected an absolute path, or nothing"},
         }) {
      CAPTURE(row.text);
      const auto config = parse_bgpd_config(row.text, "file");
      REQUIRE_FALSE(config.has_value());
      CHECK(config.error().text.substr(0, std::string(row.error).size()) == row.error);
    }
    CHECK(parse_bgpd_config(router, "file").has_value());
    // Two speakers on one address, told apart by their ports.
    CHECK(
        parse_bgpd_config("router: {asn: 1, id: 1.1.1.1, listen: ['127.0.0.1:1790']}\npeers: "
                          "[{address: 127.0.0.1, port: 1791, asn: 1}, {address: 127.0.0.1, port: "
                          "1792, asn: 1, name: b}]",
                          "file"));
    CHECK(read_bgpd_config("/there/is/none").error().code == Errc::kNotFound);
    CHECK(read_bgpd_config("/").error().text == "/: cannot be read: Is a directory");
  }
}

}  // namespace
}  // namespace margay::bgp
