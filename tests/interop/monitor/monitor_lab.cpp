#include "tests/interop/monitor/monitor_lab.h"

#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <array>
#include <csignal>
#include <fstream>
#include <iterator>
#include <unistd.h>

namespace margay::bgp::test {

namespace fs = std::filesystem;

namespace {

const lab::Environment kEnvironment{{"PATH", lab::kSystemPath}};

std::string config(const std::string& more, const std::string& of_group) {
  return R"(
router: {asn: 65000, id: 10.0.0.1, listen: ["10.0.0.1:179"]}
groups:
  all: {)" +
         of_group + R"(}
filters:
  sane:
    - {match: {prefix: 10.66.0.0/16, length: "16-32"}, action: reject}
    - {action: accept}
peers:
  - {address: 10.0.0.3, asn: 65003, group: all, name: bird}
  - {address: 10.0.0.2, asn: 65002, group: all, name: client, passive: true}
  - {address: 10.0.0.4, asn: 65004, group: all, name: old, passive: true}
)" + more +
         "\n";
}

constexpr auto kBirdConfig = R"(
router id 10.0.0.3;
protocol device {}
protocol static s4 { ipv4; route 198.51.100.0/24 blackhole { bgp_community.add((65003,7)); }; }
protocol static s6 { ipv6; route 2001:db8:98::/48 blackhole; }
protocol bgp speaker {
  local 10.0.0.3 port 179 as 65003;
  neighbor 10.0.0.1 port 179 as 65000;
  strict bind yes;
  multihop 2;
  connect delay time 1;
  error wait time 1, 2;
  ipv4 { import all; export where proto = "s4"; next hop self; };
  ipv6 { import all; export where proto = "s6"; next hop address 2001:db8::3; };
}
)";

fs::path bird_socket() {
  return fs::path(MonitorLab::directory()) / "bird.ctl";
}

}  // namespace

std::string example(const std::string& first_line, const std::string& directory) {
  std::ifstream page(MARGAY_SOURCE_DIR "/docs/bgp.md");
  const std::string text((std::istreambuf_iterator<char>(page)), std::istreambuf_iterator<char>());
  const std::size_t begin = text.find("```yaml\n" + first_line + "\n");
  REQUIRE_MESSAGE(begin != std::string::npos, first_line);
  const std::size_t from = begin + std::string("```yaml\n" + first_line + "\n").size();
  std::string found = text.substr(from, text.find("\n```", from) - from);
  const std::string there = "/var/lib/margay";
  for (std::size_t at = found.find(there); at != std::string::npos; at = found.find(there, at)) {
    found.replace(at, there.size(), directory);
    at += directory.size();
  }
  return found;
}

std::string MonitorLab::directory() {
  const fs::path folder =
      fs::temp_directory_path() / ("margay-monitor-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  return folder.string();
}

void enter_monitor_network() {
  const auto entered = enter_fresh_network({"10.0.0.1/32",
                                            "10.0.0.2/32",
                                            "10.0.0.3/32",
                                            "10.0.0.4/32",
                                            "192.0.2.50/32",
                                            "2001:db8::1/128",
                                            "2001:db8::2/128",
                                            "2001:db8::3/128"});
  REQUIRE_MESSAGE(entered, (entered ? "" : entered.error().text));
}

MonitorLab::MonitorLab(const std::string& name,
                       const std::string& more,
                       const std::string& of_group) {
  auto started = Bgpd::start(name, config(more, of_group));
  REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
  bgpd_ = std::move(*started);
}

MonitorLab::~MonitorLab() {
  stop_bird();
  bgpd_.reset();
  std::error_code ignored;
  fs::remove_all(directory(), ignored);
}

void MonitorLab::reload(const std::string& more, const std::string& of_group) {
  bgpd_->reload(config(more, of_group));
}

void MonitorLab::start_bird() {
  const fs::path file = fs::path(directory()) / "bird.conf";
  std::ofstream(file) << kBirdConfig;
  lab::Command command;
  command.argv = {"bird", "-f", "-c", file.string(), "-s", bird_socket().string()};
  command.env = kEnvironment;
  command.log = fs::path(directory()) / "bird.log";
  const auto started = lab::launch(command);
  REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
  bird_ = *started;
}

void MonitorLab::stop_bird() {
  if (bird_.pid != 0) {
    lab::send_signal(bird_, SIGTERM);
    if (!lab::wait_gone(bird_, std::chrono::seconds(5))) {
      lab::send_signal(bird_, SIGKILL);
    }
    bird_ = {};
  }
}

bool MonitorLab::bird_is_up() {
  return contains(
      output_of({"birdc", "-s", bird_socket().string(), "show", "protocols", "speaker"}),
      "Established");
}

BgpClient MonitorLab::client(const std::string& address) {
  const bool old = address == kOldClient;
  const Asn asn(old ? 65004 : 65002);
  std::vector<Capability> capabilities{MultiprotocolCapability{kIpv4Unicast},
                                       MultiprotocolCapability{kIpv6Unicast}};
  if (!old) {
    capabilities.emplace_back(FourOctetAsCapability{asn});
  }
  const auto local = *IpAddr::parse(address);
  auto client =
      BgpClient::establish({.local = local,
                            .remote = *IpAddr::parse("10.0.0.1"),
                            .remote_asn = Asn(65000),
                            .open = Open{asn, 0, RouterId(local.v4_value()), capabilities}},
                           kDeadline);
  REQUIRE_MESSAGE(client, (client ? "" : client.error().text + "\n" + bgpd_->log()));
  return std::move(*client);
}

std::string MonitorLab::margayctl(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{
      MARGAY_BINARY_DIR "/bin/margayctl", "--run-dir", bgpd_->folder().string()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return output_of(argv);
}

AttributeSet route_of(const BgpClient& client, std::string_view next_hop) {
  AttributeSet set;
  set.next_hop.address = *IpAddr::parse(next_hop);
  set.as_path = AsPath::sequence(std::array{client.context().local_asn, Asn{70000}});
  return set;
}

AttributeSet long_route_of(const BgpClient& client) {
  AttributeSet set = route_of(client, kClient);
  constexpr std::uint32_t kCommunities = 900;
  for (std::uint32_t i = 0; i < kCommunities; ++i) {
    set.communities.push_back(Community(0xFDE80000U + i));
  }
  return set;
}

void announce(BgpClient& client, const AttributeSet& attributes, std::vector<Nlri> prefixes) {
  UpdatePacker packer(client.context());
  REQUIRE(packer.announce(attributes, prefixes));
  const auto sent = client.send(packer.take());
  REQUIRE_MESSAGE(sent, (sent ? "" : sent.error().text));
}

std::string output_of(const std::vector<std::string>& argv) {
  lab::Command command;
  command.argv = argv;
  command.env = kEnvironment;
  const auto result = lab::run(command);
  REQUIRE_MESSAGE(result, (result ? "" : result.error().text));
  return result->out + result->err;
}

}  // namespace margay::bgp::test
