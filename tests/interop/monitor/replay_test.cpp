// Records of peers: what happened on a live speaker happens again in margay-bgpd --replay.

#include "tests/interop/monitor/monitor_lab.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace margay::bgp::test {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

lab::ExecResult replay(const fs::path& path) {
  lab::Command command;
  command.argv = {MARGAY_BINARY_DIR "/bin/margay-bgpd", "--replay", path.string()};
  command.env = {{"PATH", lab::kSystemPath}};
  const auto result = lab::run(command);
  REQUIRE_MESSAGE(result, (result ? "" : result.error().text));
  return *result;
}

}  // namespace

TEST_SUITE("interop.replay") {
  TEST_CASE(
      "sessions with BIRD and a peer that errs are recorded, and replay to the same decisions") {
    enter_monitor_network();
    const fs::path folder = MonitorLab::directory() + "/records";
    MonitorLab lab(
        "replay",
        "",
        std::string(MonitorLab::kGroup) + ", record: {directory: " + folder.string() + "}");
    lab.start_bird();
    REQUIRE(lab::wait_until([&] { return lab.bird_is_up(); }, kDeadline));
    {
      BgpClient client = lab.client();
      announce(client, route_of(client, kClient), {nlri("10.66.1.0/24"), nlri("203.0.113.0/24")});
      REQUIRE(client.send(std::vector<std::uint8_t>(19, 0)));  // no marker: 1/1
      CHECK_FALSE(client.receive_until([] { return false; }, kDeadline));
      CHECK(client.notification() == Notification::header(HeaderError::kNotSynchronized));
    }
    {
      const BgpClient again = lab.client();  // and goes without a word
    }
    CHECK(lab::wait_until(
        [&] { return contains(text_of(folder / "client.jsonl"), "\"in\":\"closed\""); },
        kDeadline));
    const std::string shown = lab.margayctl({"bgp", "neighbors", "bird"});
    CHECK_MESSAGE(contains(shown, "record " + (folder / "bird.jsonl").string()), shown);
    CHECK(lab::wait_until(
        [&] { return contains(text_of(folder / "bird.jsonl"), "end of ipv6-unicast"); },
        kDeadline));
    lab.bgpd().finish();

    for (const char* name : {"bird.jsonl", "client.jsonl", "old.jsonl"}) {
      CAPTURE(name);
      const auto replayed = replay(folder / name);
      CHECK_MESSAGE(replayed.ok(), replayed.out, replayed.err);
      CHECK_MESSAGE(contains(replayed.out, " decisions compared\n"), replayed.out);
    }
    const std::string client = text_of(folder / "client.jsonl");
    CHECK(contains(client, "announced 2, withdrawn 0, held 2, accepted 1"));

    // The same record with a filter that lets everything in decides otherwise.
    const std::string filter = "10.66.0.0/16";
    std::string other = client;
    REQUIRE(contains(other, filter));
    other.replace(other.find(filter), filter.size(), "10.67.0.0/16");
    std::ofstream(folder / "other.jsonl") << other;
    const auto differs = replay(folder / "other.jsonl");
    CHECK(differs.rc == 1);
    CHECK_MESSAGE(contains(differs.err, "held 2, accepted 2"), differs.err);
    CHECK(replay(folder / "none.jsonl").rc == 1);
  }

  TEST_CASE(
      "recording is switched on without closing a session, begins with the next, and is bounded") {
    enter_monitor_network();
    const fs::path folder = MonitorLab::directory() + "/records";
    MonitorLab lab("record");
    BgpClient client = lab.client();
    lab.reload(
        "", std::string(MonitorLab::kGroup) + ", " + example("# Record", MonitorLab::directory()));
    REQUIRE(lab::wait_until(
        [&] {
          return contains(lab.margayctl({"bgp", "neighbors", "client"}),
                          "record begins with the next session");
        },
        kDeadline));
    CHECK_FALSE(contains(lab.bgpd().log(), "session lost"));
    { const BgpClient gone = std::move(client); }
    REQUIRE(lab::wait_until([&] { return fs::exists(folder / "client.jsonl"); }, kDeadline));
    BgpClient again = lab.client();
    // A MiB is reached after half a MiB of bytes.
    AttributeSet set = long_route_of(again);
    constexpr std::uint32_t kRounds = 300;
    for (std::uint32_t round = 0; round < kRounds; ++round) {
      set.med = round;
      announce(again, set, {nlri("203.0.113.0/24")});
    }
    CHECK(lab::wait_until(
        [&] {
          return contains(lab.margayctl({"bgp", "neighbors", "client"}),
                          "record ended: the file is full");
        },
        kDeadline));
    CHECK(fs::file_size(folder / "client.jsonl") < (2U << 20U));
    const auto replayed = replay(folder / "client.jsonl");
    CHECK_MESSAGE(replayed.ok(), replayed.err);
    // The next session has a file of its own, and the one before is kept.
    { const BgpClient gone = std::move(again); }
    CHECK(lab::wait_until([&] { return fs::exists(folder / "client.1.jsonl"); }, kDeadline));
    BgpClient third = lab.client();
    CHECK(replay(folder / "client.1.jsonl").ok());
    lab.bgpd().finish();
    CHECK(replay(folder / "client.jsonl").ok());
  }
}

}  // namespace margay::bgp::test
