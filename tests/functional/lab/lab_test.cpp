#include "tests/lab/lab.h"

#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <unistd.h>

namespace margay::lab {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

constexpr auto kTwoHosts = R"(
name: unused
topology:
  nodes:
    a:
      kind: linux
      binds: ["motd:/etc/lab/motd:ro"]
      env: {COLOUR: red}
      exec: [ip addr add 10.9.0.1/24 dev eth1]
    b:
      kind: linux
      exec: [ip addr add 10.9.0.2/24 dev eth1]
  links:
    - endpoints: ["a:eth1", "b:eth1"]
      mtu: 1400
)";

class TwoHosts {
 public:
  explicit TwoHosts(const std::string& name) : folder_(fs::temp_directory_path() / name) {
    options.name = name;
    fs::create_directories(folder_);
    std::ofstream(file()) << kTwoHosts;
    std::ofstream(folder_ / "motd") << "hello\n";
  }
  ~TwoHosts() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  TwoHosts(const TwoHosts&) = delete;
  TwoHosts& operator=(const TwoHosts&) = delete;

  [[nodiscard]] fs::path file() const { return folder_ / "two.clab.yml"; }

  LabOptions options;

 private:
  fs::path folder_;
};

bool namespace_exists(const std::string& name) {
  return fs::exists("/run/netns/" + name);
}

}  // namespace

TEST_SUITE("functional.lab") {
  TEST_CASE("two hosts on a wire have their own view and reach each other") {
    const TwoHosts hosts("ft-two");
    auto lab = Lab::up(hosts.file(), hosts.options);
    REQUIRE_MESSAGE(lab, (lab ? "" : lab.error().text));
    const Node& a = lab->node("a");
    CHECK(a.exec({"hostname"}).out == "a\n");
    CHECK(a.exec({"cat", "/etc/lab/motd"}).out == "hello\n");
    CHECK(a.shell("echo x > /etc/lab/motd").rc != 0);
    CHECK(a.shell("echo $COLOUR").out == "red\n");
    CHECK(a.exec({"cat", "/proc/sys/net/ipv4/ip_forward"}).out == "1\n");
    CHECK(a.exec({"cat", "/sys/class/net/eth1/mtu"}).out == "1400\n");
    // Named after this process: what an earlier run on this machine left says nothing of this one.
    const std::string mine = fmt::format("ft-two-{}", ::getpid());
    CHECK(a.shell(fmt::format("touch /etc/{0} /run/{0} && ls /run/netns", mine))
              .out.find("ft-two-b") != std::string::npos);
    CHECK(a.shell(fmt::format("ls /etc/{0} /run/{0}", mine)).ok());
    CHECK(!fs::exists("/etc/" + mine));
    CHECK(!fs::exists("/run/" + mine));
    CHECK(a.exec({"ping", "-c", "1", "-W", "1", "10.9.0.2"}).ok());
  }

  TEST_CASE("the probe tells open, refused and silent ports apart") {
    const TwoHosts hosts("ft-probe");
    auto lab = Lab::up(hosts.file(), hosts.options);
    REQUIRE_MESSAGE(lab, (lab ? "" : lab.error().text));
    const Node& a = lab->node("a");
    REQUIRE(
        lab->node("b").spawn("serve", {"margay-probe", "serve", "--tcp", "80,81", "--udp", "80"}));
    REQUIRE(wait_until([&] { return lab->node("b").read_log("serve") == "ready\n"; }, seconds(5)));
    const ExecResult open = a.exec({"margay-probe", "connect", "10.9.0.2:80", "--timeout=2s"});
    CHECK(open.rc == 0);
    CHECK(open.err.empty());
    CHECK(a.exec({"margay-probe", "connect", "10.9.0.2:80", "--protocol=udp"}).rc == 0);
    const ExecResult refused = a.exec({"margay-probe", "connect", "10.9.0.2:82"});
    CHECK(refused.rc == 1);
    CHECK(refused.err == "REFUSED\n");
    const ExecResult silent =
        a.exec({"margay-probe", "connect", "10.9.0.99:80", "--timeout=300ms"});
    CHECK(silent.rc == 1);
    CHECK(silent.err == "TIMEOUT\n");
    CHECK(a.exec({"margay-probe",
                  "reach",
                  "10.9.0.2:80",
                  "10.9.0.2:82",
                  "10.9.0.99:80",
                  "--timeout=300ms"})
              .out == "10.9.0.2:80 ok\n10.9.0.2:82 refused\n10.9.0.99:80 timeout\n");
  }

  TEST_CASE("a stream counts what a broken wire loses") {
    const TwoHosts hosts("ft-stream");
    auto lab = Lab::up(hosts.file(), hosts.options);
    REQUIRE_MESSAGE(lab, (lab ? "" : lab.error().text));
    const Node& b = lab->node("b");
    REQUIRE(b.spawn("serve", {"margay-probe", "serve", "--udp", "80", "--tcp", "80"}));
    REQUIRE(wait_until([&] { return b.read_log("serve") == "ready\n"; }, seconds(5)));
    for (const char* protocol : {"--protocol=udp", "--protocol=tcp"}) {
      const ExecResult whole = lab->node("a").exec(
          {"margay-probe", "stream", "10.9.0.2:80", "--rate=1000", "--duration=500ms", protocol});
      CAPTURE(whole.out);
      CHECK(whole.out.find("\"lost\": 0, \"duplicates\": 0") != std::string::npos);
    }
    REQUIRE(lab->node("a").spawn("stream",
                                 {"margay-probe", "stream", "10.9.0.2:80", "--duration=600ms"}));
    REQUIRE(wait_until([&] { return lab->node("a").read_log("stream").starts_with("started"); },
                       seconds(5)));
    REQUIRE(b.shell("ip link set eth1 down").ok());
    REQUIRE(wait_until(
        [&] { return lab->node("a").read_log("stream").find("sent") != std::string::npos; },
        seconds(5)));
    CHECK(lab->node("a").read_log("stream").find("\"lost\": 0,") == std::string::npos);
  }

  TEST_CASE("taking down removes every process, namespace and file, and may run twice") {
    const TwoHosts hosts("ft-down");
    auto lab = Lab::up(hosts.file(), hosts.options);
    REQUIRE_MESSAGE(lab, (lab ? "" : lab.error().text));
    const auto process = lab->node("a").spawn("sleeper", {"sleep", "1000"});
    REQUIRE(process);
    CHECK(namespace_exists("ft-down-a"));
    CHECK(!Lab::up(hosts.file(), hosts.options));  // it is up already
    REQUIRE(lab->down());
    REQUIRE(lab->down());
    CHECK(!alive(*process));
    CHECK(!namespace_exists("ft-down-a"));
    CHECK(!namespace_exists("ft-down-b"));
    CHECK(!fs::exists(hosts.options.state_root / "ft-down"));
  }

  TEST_CASE("a lab whose program was killed half-way is removed completely by the next one") {
    const TwoHosts hosts("ft-crash");
    const pid_t child = ::fork();
    if (child == 0) {
      auto lab = Lab::up(hosts.file(), hosts.options);
      if (lab) {
        [[maybe_unused]] const auto process = lab->node("a").spawn("sleeper", {"sleep", "1000"});
      }
      ::raise(SIGKILL);
    }
    ::waitpid(child, nullptr, 0);
    const auto left = LabState(hosts.options.state_root, "ft-crash").read();
    REQUIRE(left);
    REQUIRE(left->processes.size() == 3);
    CHECK(alive(left->processes[2].id));
    LabOptions again = hosts.options;
    again.replace = true;
    {
      auto lab = Lab::up(hosts.file(), again);
      REQUIRE_MESSAGE(lab, (lab ? "" : lab.error().text));
      CHECK(!alive(left->processes[2].id));
      CHECK(lab->node("a").exec({"ping", "-c", "1", "-W", "1", "10.9.0.2"}).ok());
    }
    CHECK(!namespace_exists("ft-crash-a"));
  }

  TEST_CASE("a lab that cannot be built leaves nothing behind") {
    const TwoHosts hosts("ft-bad");
    std::ofstream(hosts.file(), std::ios::trunc)
        << "name: x\ntopology: {nodes: {a: {kind: linux, exec: ['ip link set nosuch up']}}}\n";
    const auto lab = Lab::up(hosts.file(), hosts.options);
    REQUIRE(!lab);
    CHECK(lab.error().text.find("topology.nodes.a.exec[0]: exit 1") != std::string::npos);
    CHECK(!namespace_exists("ft-bad-a"));
    CHECK(!fs::exists(hosts.options.state_root / "ft-bad"));
  }
}

}  // namespace margay::lab
