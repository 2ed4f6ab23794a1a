#include "bgp/monitor/record.h"

#include "bgp/monitor/record_codec.h"
#include "bgp/monitor/replay.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

namespace margay::bgp {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

RecordHeader header() {
  RecordHeader made;
  made.peer = "leaf";
  made.time = "2026-01-01T00:00:00Z";
  made.settings.session.local_asn = Asn(65000);
  made.settings.session.remote_asn = Asn(65001);
  made.settings.session.local_id = RouterId(0x0A000001);
  made.settings.session.hold_time_s = 9;
  made.settings.session.graceful_restart_s = 60;
  made.settings.seed = 7;
  made.rib = {Asn(65000), RouterId(0x0A000001), RouterId(0x0A000001), 16};
  made.table.id = PeerId(1);
  made.table.address = *IpAddr::parse("192.0.2.2");
  FilterRule rule;
  rule.prefix = PrefixCondition{*Prefix::parse("10.66.0.0/16"), PrefixMatch::kIn, 16, 32};
  rule.accept = false;
  made.table.filters.import_v4.push_back(rule);
  rule = FilterRule();
  rule.external = true;
  rule.community = Community(0xFDE80007);
  rule.large_community = LargeCommunity{1, 2, 3};
  rule.as_path_prefix = {Asn(65001)};
  rule.local_pref = 100;
  rule.operations = {Community(1), LargeCommunity{4, 5, 6}, PrependAsns{{Asn(9)}}, SetLocalPref{5}};
  made.table.filters.export_v6.push_back(rule);
  return made;
}

// A machine with its table, driven as the speaker drives them, and the record of it.
class Driver {
 public:
  Driver() {
    machine.begin(
        header(), [this](const std::string& line) { record += line + "\n"; }, now);
    machine.start(now);
    settle();
  }

  void settle() {
    for (Actions actions = machine.take_actions(); !actions.empty();
         actions = machine.take_actions()) {
      for (const Action& action : actions) {
        execute(action);
      }
    }
  }
  void execute(const Action& action) {
    if (const auto* up = std::get_if<SessionUp>(&action)) {
      RibPeer peer = header().table;
      peer.codec = up->facts.codec;
      peer.router_id = up->facts.peer.id;
      rib.peer_up(peer);
      machine.on_table(RecordedPeer::TableCall::kUp);
    } else if (const auto* down = std::get_if<SessionDown>(&action);
               down && down->was_established) {
      rib.peer_down(PeerId(1));
      machine.on_table(RecordedPeer::TableCall::kDown);
    } else if (const auto* update = std::get_if<UpdateReceived>(&action)) {
      const auto answer = rib.update(PeerId(1), update->body);
      machine.on_update(answer, rib.received_counts(PeerId(1)));
      if (!answer) {
        machine.on_update_error(answer.error(), now);
      }
    }
  }
  void receive(const std::vector<std::uint8_t>& bytes) {
    now += milliseconds(3);
    machine.on_bytes(Side::kOutgoing, bytes, now);
    settle();
  }
  void establish() {
    now += milliseconds(1);
    machine.on_connected(
        Side::kOutgoing, {*IpAddr::parse("192.0.2.1"), *IpAddr::parse("192.0.2.2")}, now);
    settle();
    receive(encode_open({Asn(65001),
                         9,
                         RouterId(0x0A000002),
                         {MultiprotocolCapability{kIpv4Unicast},
                          MultiprotocolCapability{kIpv6Unicast},
                          FourOctetAsCapability{Asn(65001)}}}));
    receive(encode_keepalive());
    REQUIRE(machine.state() == SessionState::kEstablished);
  }
  void announce(std::string_view prefix) {
    AttributeSet set;
    set.next_hop.address = *IpAddr::parse("192.0.2.2");
    set.as_path = AsPath::sequence(std::array{Asn(65001)});
    UpdatePacker packer(machine.facts()->codec);
    REQUIRE(packer.announce(set, std::array{Nlri{*Prefix::parse(prefix), 0}}));
    receive(packer.take());
  }
  void wait_for_deadline() {
    now = *machine.next_deadline();
    machine.on_deadline(now);
    settle();
  }

  TimePoint now{seconds(12345)};
  std::string record;
  RecordedPeer machine{PeerSettings()};
  Rib rib{header().rib};
};

// One life: up, routes, a rejected one, a keepalive of ours, a malformed UPDATE, the reconnection.
std::string recorded_life() {
  Driver driver;
  driver.wait_for_deadline();  // the first attempt fails
  driver.establish();
  driver.announce("10.0.0.0/8");
  driver.announce("10.66.1.0/24");
  driver.wait_for_deadline();
  // Lengths that contradict each other: 3/1.
  driver.receive({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                  0xff, 0xff, 0xff, 0xff, 0,    23,   2,    0,    9,    0,    0});
  CHECK(driver.machine.state() != SessionState::kEstablished);
  driver.wait_for_deadline();
  driver.establish();
  driver.machine.on_closed(Side::kOutgoing, "reset", driver.now);
  driver.settle();
  driver.machine.end("test");
  return driver.record;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

TEST_SUITE("bgp.monitor.record") {
  TEST_CASE("a record replays to the same decisions of machine and table") {
    const std::string record = recorded_life();
    const auto replayed = replay_record(record);
    REQUIRE_MESSAGE(replayed, (replayed ? "" : replayed.error().text));
    CHECK(replayed->difference == "");
    CHECK(replayed->complete);
    CHECK(replayed->peer == "leaf");
    CHECK(replayed->inputs > 12);
    CHECK(replayed->decisions > 15);
    // What it is about is in there.
    CHECK(record.find("announced 1, withdrawn 0, held 2, accepted 1") != std::string::npos);
    CHECK(record.find("ends the session") != std::string::npos);
    CHECK(record.find("10.66.0.0/16") != std::string::npos);
  }

  TEST_CASE("another decision, time, answer or filter is found, with its line") {
    const std::string record = recorded_life();
    struct Row {
      const char* why;
      std::string from;
      std::string to;
      std::string difference;
    };
    for (const Row& row : {
             Row{"another hold time: the OPEN differs",
                 "\"hold_time_s\":9",
                 "\"hold_time_s\":30",
                 "decided \"send out "},
             Row{"another jitter", "\"seed\":7", "\"seed\":8", "decided \"next deadline "},
             Row{"a filter that lets the route in",
                 "10.66.0.0/16",
                 "10.67.0.0/16",
                 "decided \"announced 1, withdrawn 0, held 2, accepted 2\""},
             Row{"a decision that is not made", "\"connect\"", "\"close out\"", "line 3: decided "},
             Row{"an input that is none", "\"start\"", "\"begin\"", "line 2: not to be understood"},
         }) {
      CAPTURE(row.why);
      const auto replayed = replay_record(replaced(record, row.from, row.to));
      REQUIRE(replayed);
      CHECK(replayed->difference.find(row.difference) != std::string::npos);
    }
  }

  TEST_CASE("a record that was cut off replays as far as it goes; what is none is refused") {
    const std::string record = recorded_life();
    const auto cut = replay_record(std::string_view(record).substr(0, record.size() - 30));
    REQUIRE(cut);
    CHECK(cut->difference == "");
    CHECK_FALSE(cut->complete);
    CHECK_FALSE(replay_record(""));
    CHECK_FALSE(replay_record("{}\n"));
    CHECK_FALSE(replay_record("[1]\n"));
    CHECK_FALSE(replay_record(replaced(record, "\"version\":1", "\"version\":2")));
    CHECK_FALSE(replay_record(replaced(record, "\"rib\":{", "\"bir\":{")));
    CHECK_FALSE(replay_record(replaced(record, "{\"t\":0", "\"t\":0")));
  }

  TEST_CASE("the header keeps every value") {
    const RecordHeader before = header();
    const auto after = record::read_header(record::header_line(before));
    REQUIRE(after);
    CHECK(after->settings == before.settings);
    CHECK(after->table.filters == before.table.filters);
    CHECK(after->table.address == before.table.address);
    CHECK(after->rib.router_id == before.rib.router_id);
    CHECK(after->peer == before.peer);
  }

  TEST_CASE("without a record nothing is written, and the machine does the same") {
    RecordedPeer machine(header().settings);
    Peer plain(header().settings);
    const TimePoint now{seconds(5)};
    machine.start(now);
    plain.start(now);
    CHECK(machine.take_actions().size() == plain.take_actions().size());
    CHECK(machine.next_deadline() == plain.next_deadline());
    CHECK_FALSE(machine.recording());
  }
}

}  // namespace
}  // namespace margay::bgp
