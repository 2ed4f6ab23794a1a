// MRT files (RFC 6396) as Debian's bgpdump reads them.

#include "tests/interop/monitor/monitor_lab.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace margay::bgp::test {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files(const std::string& kind) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(MonitorLab::directory() + "/mrt", error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kind + ".") && name.ends_with(".mrt")) {
      found.push_back(entry.path());
    }
  }
  std::ranges::sort(found);
  return found;
}

// The lines of all files of a kind, without their times.
std::vector<std::string> dumped(const std::string& kind) {
  std::vector<std::string> lines;
  for (const fs::path& file : files(kind)) {
    std::istringstream text(output_of({"bgpdump", "-q", "-m", file.string()}));
    for (std::string line; std::getline(text, line);) {
      const std::size_t first = line.find('|');
      const std::size_t second = first == std::string::npos ? first : line.find('|', first + 1);
      lines.push_back(second == std::string::npos ? line
                                                  : line.substr(0, first) + line.substr(second));
    }
  }
  return lines;
}

bool has(const std::vector<std::string>& lines, const std::string& wanted) {
  return std::ranges::find(lines, wanted) != lines.end();
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    text += line + "\n";
  }
  return text;
}

// What of the table is ours, BIRD's and the clients', as bgpdump prints it.
const std::vector<std::string>& table_lines() {
  static const std::vector<std::string> lines{
      "TABLE_DUMP2|B|0.0.0.0|65000|192.0.2.0/24||IGP|0.0.0.0|0|0||NAG||",
      "TABLE_DUMP2|B|10.0.0.2|65002|203.0.113.0/24|65002 70000|IGP|10.0.0.2|0|5||NAG||",
      "TABLE_DUMP2|B|10.0.0.3|65003|198.51.100.0/24|65003|IGP|10.0.0.3|0|0|65003:7|NAG||",
      "TABLE_DUMP2|B|10.0.0.3|65003|2001:db8:98::/48|65003|IGP|2001:db8::3|0|0||NAG||",
      "TABLE_DUMP2|B|10.0.0.4|65004|203.0.113.0/24|65004 70000|IGP|10.0.0.4|0|0||NAG||",
  };
  return lines;
}

// A file system of its own size, until the test is over.
class SmallDisk {
 public:
  explicit SmallDisk(std::string path) : path_(std::move(path)) {
    fs::create_directories(path_);
    REQUIRE(::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=64k") == 0);
  }
  ~SmallDisk() {
    ::umount2(path_.c_str(), MNT_DETACH);
    std::error_code ignored;
    fs::remove_all(fs::path(path_).parent_path(), ignored);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  void grow() { REQUIRE(::mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT, "size=8m") == 0); }

 private:
  std::string path_;
};

}  // namespace

TEST_SUITE("interop.mrt") {
  TEST_CASE("bgpdump reads updates, changes of state and the table, line by line") {
    enter_monitor_network();
    MonitorLab lab("mrt",
                   example("# MRT", MonitorLab::directory()) + "\nnetworks: [192.0.2.0/24]\n");
    lab.start_bird();
    BgpClient client = lab.client();
    BgpClient old = lab.client(kOldClient);
    AttributeSet set = route_of(client, kClient);
    set.med = 5;
    announce(client, set, {nlri("203.0.113.0/24")});
    announce(old, route_of(old, kOldClient), {nlri("203.0.113.0/24")});
    const std::vector<std::string> expected{
        "BGP4MP|STATE|10.0.0.2|65002|1|3",
        "BGP4MP|STATE|10.0.0.2|65002|3|4",
        "BGP4MP|A|10.0.0.2|65002|203.0.113.0/24|65002 70000|IGP|10.0.0.2|0|5||NAG||",
        // Without 4-octet AS numbers: AS_TRANS, and AS4_PATH merged by the reader.
        "BGP4MP|A|10.0.0.4|65004|203.0.113.0/24|65004 70000|IGP|10.0.0.4|0|0||NAG||",
        "BGP4MP|A|10.0.0.3|65003|198.51.100.0/24|65003|IGP|10.0.0.3|0|0|65003:7|NAG||",
        "BGP4MP|A|10.0.0.3|65003|2001:db8:98::/48|65003|IGP|2001:db8::3|0|0||NAG||",
    };
    for (const std::string& line : expected) {
      CAPTURE(line);
      CHECK_MESSAGE(lab::wait_until([&] { return has(dumped("updates"), line); }, kDeadline),
                    joined(dumped("updates")),
                    lab.bgpd().log());
    }

    // On request.
    const std::string answer = lab.margayctl({"bgp", "dump-table"});
    CHECK_MESSAGE(contains(answer, "written to " + MonitorLab::directory()), answer);
    REQUIRE(lab::wait_until([&] { return files("table").size() == 1; }, kDeadline));
    std::vector<std::string> table = dumped("table");
    std::ranges::sort(table);
    CHECK_MESSAGE(table == table_lines(), joined(table));
    const std::string status = lab.margayctl({"bgp", "peers"});
    CHECK_MESSAGE(contains(status, "mrt table " + files("table").front().string()), status);

    UpdatePacker packer(client.context());
    packer.withdraw(std::array{nlri("203.0.113.0/24")});
    REQUIRE(client.send(packer.take()));
    CHECK(lab::wait_until(
        [&] { return has(dumped("updates"), "BGP4MP|W|10.0.0.2|65002|203.0.113.0/24"); },
        kDeadline));
    lab.stop_bird();
    CHECK(lab::wait_until([&] { return has(dumped("updates"), "BGP4MP|STATE|10.0.0.3|65003|6|1"); },
                          kDeadline));
  }

  TEST_CASE("files are rotated, tables dumped by the clock, and old ones removed") {
    enter_monitor_network();
    MonitorLab lab("mrt-rotate",
                   "mrt: {directory: " + MonitorLab::directory() +
                       "/mrt, rotate_s: 1, table_s: 1, keep: 2}\nnetworks: [192.0.2.0/24]\n");
    BgpClient client = lab.client();
    const AttributeSet set = route_of(client, kClient);
    std::set<fs::path> seen;
    std::uint32_t next = 0;
    const bool rotated = lab::wait_until(
        [&] {
          announce(client, set, {{Prefix::host(IpAddr::v4(0x0B000000U + next++)), 0}});
          for (const fs::path& file : files("updates")) {
            seen.insert(file);
          }
          return seen.size() >= 4;
        },
        kDeadline,
        std::chrono::milliseconds(100));
    REQUIRE(rotated);
    CHECK(lab::wait_until([&] { return files("updates").size() == 2; }, kDeadline));
    CHECK(lab::wait_until([&] { return files("table").size() == 2; }, kDeadline));
    const auto table = files("table");
    const std::string text = output_of({"bgpdump", "-q", "-m", table.back().string()});
    CHECK_MESSAGE(contains(text, "|11.0.0.0/32|65002 70000|"), text);
  }

  TEST_CASE("a directory that cannot be written is reported, and costs records only") {
    enter_monitor_network();
    const fs::path in_the_way = fs::path(MonitorLab::directory()) / "mrt";
    std::ofstream(in_the_way) << "a file where a directory should be";
    MonitorLab lab("mrt-no",
                   "mrt: {directory: " + in_the_way.string() +
                       ", rotate_s: 900, table_s: 0}\nnetworks: [192.0.2.0/24]\n");
    BgpClient client = lab.client();
    REQUIRE(lab::wait_until(
        [&] {
          return contains(lab.margayctl({"bgp", "peers"}), "mrt error");
        },
        kDeadline));
    CHECK(contains(lab.bgpd().log(), "mrt: " + in_the_way.string()));
    CHECK(contains(lab.margayctl({"bgp", "dump-table"}), in_the_way.string()));
    // BGP goes on, and so do files when the way is free.
    announce(client, route_of(client, kClient), {nlri("203.0.113.0/24")});
    CHECK(client.receive_until(
        [&] { return client.route(*Prefix::parse("192.0.2.0/24")) != nullptr; }, kDeadline));
    fs::remove(in_the_way);
    std::uint32_t next = 0;
    CHECK_MESSAGE(lab::wait_until(
                      [&] {
                        announce(client,
                                 route_of(client, kClient),
                                 {{Prefix::host(IpAddr::v4(0x0B000000U + next++)), 0}});
                        return !dumped("updates").empty();
                      },
                      kDeadline,
                      std::chrono::milliseconds(200)),
                  lab.bgpd().log());
    CHECK(lab::wait_until(
        [&] {
          return !contains(lab.margayctl({"bgp", "peers"}), "mrt error");
        },
        kDeadline));
  }

  TEST_CASE("a disk that is full is reported, loses whole records only, and is used again") {
    enter_monitor_network();
    const std::string disk = MonitorLab::directory() + "/mrt";
    SmallDisk small(disk);
    MonitorLab lab("mrt-full", "mrt: {directory: " + disk + ", rotate_s: 900, table_s: 0}\n");
    BgpClient client = lab.client();
    std::uint32_t next = 0;
    const auto more = [&] {
      std::vector<Nlri> prefixes;
      constexpr std::uint32_t kEach = 500;
      for (std::uint32_t i = 0; i < kEach; ++i) {
        prefixes.push_back({Prefix::host(IpAddr::v4(0x0B000000U + next++)), 0});
      }
      announce(client, route_of(client, kClient), prefixes);
    };
    const bool full = lab::wait_until(
        [&] {
          more();
          return contains(lab.bgpd().log(), "No space left");
        },
        kDeadline,
        std::chrono::milliseconds(50));
    REQUIRE_MESSAGE(full, lab.bgpd().log());
    CHECK(contains(lab.margayctl({"bgp", "peers"}), "No space left"));
    // What is there is whole: bgpdump says nothing of broken records.
    const std::string text = output_of({"bgpdump", "-v", "-m", files("updates").front().string()});
    CHECK(contains(text, "|11.0.0.0/32|"));
    CHECK_FALSE_MESSAGE(contains(text, "[warn]"), text);
    CHECK_FALSE_MESSAGE(contains(text, "[error]"), text);
    small.grow();
    CHECK(lab::wait_until(
        [&] {
          more();
          return contains(lab.bgpd().log(), "written again");
        },
        kDeadline,
        std::chrono::milliseconds(50)));
    CHECK_FALSE(contains(lab.bgpd().log(), "session lost"));
  }
}

}  // namespace margay::bgp::test
