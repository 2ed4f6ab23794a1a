#include "bgp/bfd/session.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

namespace margay::bfd {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Two sessions and the wire between them, in time that the test makes.
class Pair {
 public:
  explicit Pair(milliseconds a = milliseconds(100), milliseconds b = milliseconds(100))
      : left({a, 3, 1, 11}, now), right({b, 3, 2, 22}, now) {}

  void run(Duration span) {
    const TimePoint end = now + span;
    while (true) {
      deliver();
      const auto next =
          std::min(left.next_deadline().value_or(end), right.next_deadline().value_or(end));
      if (next >= end) {
        now = end;
        return;
      }
      now = next;
      left.on_deadline(now);
      right.on_deadline(now);
    }
  }

  TimePoint now = TimePoint() + seconds(1000);
  Session left;
  Session right;
  bool cut = false;
  unsigned sent = 0;            // by the left one
  std::vector<Change> changes;  // of the left one
  ControlPacket last;           // of the left one

 private:
  void deliver() {
    bool more = true;
    while (more) {
      more = false;
      for (const ControlPacket& packet : left.take_packets()) {
        more = true;
        ++sent;
        last = packet;
        if (!cut) {
          right.on_packet(packet, now);
        }
      }
      for (const ControlPacket& packet : right.take_packets()) {
        more = true;
        if (!cut) {
          left.on_packet(packet, now);
        }
      }
      if (auto change = left.take_change()) {
        changes.push_back(*change);
      }
      (void)right.take_change();
    }
  }
};

}  // namespace

TEST_SUITE("bgp.bfd.session") {
  TEST_CASE("two sessions come up, leave the slow pace, and stay up") {
    Pair pair;
    pair.run(seconds(3));
    CHECK(pair.left.state() == State::kUp);
    CHECK(pair.right.state() == State::kUp);
    CHECK(pair.left.detection_time() == milliseconds(300));
    CHECK_FALSE(pair.last.poll);
    pair.sent = 0;
    pair.changes.clear();
    pair.run(seconds(60));
    CHECK(pair.changes.empty());
    // Every 75 to 100 ms.
    CHECK(pair.sent >= 600);
    CHECK(pair.sent <= 801);
  }

  TEST_CASE("the slower side sets the pace") {
    Pair pair(milliseconds(50), milliseconds(400));
    pair.run(seconds(5));
    REQUIRE(pair.left.state() == State::kUp);
    CHECK(pair.left.detection_time() == milliseconds(1200));
    CHECK(pair.right.detection_time() == milliseconds(1200));
    pair.sent = 0;
    pair.run(seconds(40));
    CHECK(pair.sent <= 134);
  }

  TEST_CASE("silence is found out within the detection time, and it comes back") {
    Pair pair;
    pair.run(seconds(3));
    pair.changes.clear();
    pair.cut = true;
    pair.run(milliseconds(301));
    REQUIRE(pair.changes.size() == 1);
    CHECK(pair.changes[0].state == State::kDown);
    CHECK(pair.changes[0].diagnostic == Diagnostic::kDetectionTimeExpired);
    CHECK_FALSE(pair.changes[0].administrative);
    // Slow while it is down.
    pair.sent = 0;
    pair.run(seconds(10));
    CHECK(pair.sent <= 14);
    CHECK(pair.last.your_discriminator == 0);
    pair.cut = false;
    pair.run(seconds(4));
    CHECK(pair.left.state() == State::kUp);
  }

  TEST_CASE("a peer that goes on purpose is no failure") {
    Pair pair;
    pair.run(seconds(3));
    pair.changes.clear();
    pair.right.shut_down();
    pair.run(seconds(2));
    REQUIRE(pair.changes.size() == 1);
    CHECK(pair.changes[0].state == State::kDown);
    CHECK(pair.changes[0].administrative);
  }

  TEST_CASE("a peer that takes a slow pace until it is up gets the quick one at once") {
    const TimePoint now = TimePoint() + seconds(1000);
    Session session({milliseconds(150), 3, 1, 11}, now);
    ControlPacket packet{.state = State::kInit,
                         .detect_multiplier = 3,
                         .my_discriminator = 9,
                         .your_discriminator = 1,
                         .desired_min_tx = seconds(1),
                         .required_min_rx = seconds(1)};
    session.on_packet(packet, now);
    REQUIRE(session.state() == State::kUp);
    packet.state = State::kUp;
    packet.poll = true;
    packet.desired_min_tx = milliseconds(150);
    packet.required_min_rx = milliseconds(150);
    session.on_packet(packet, now);
    (void)session.take_packets();
    session.on_deadline(now + milliseconds(150));
    CHECK(session.take_packets().size() == 1);
  }

  TEST_CASE("a poll is answered at once, and a peer that wants nothing gets nothing") {
    TimePoint now = TimePoint() + seconds(1000);
    Session session({milliseconds(100), 3, 1, 11}, now);
    (void)session.take_packets();
    ControlPacket packet{.diagnostic = Diagnostic::kNone,
                         .state = State::kInit,
                         .poll = true,
                         .final = false,
                         .demand = false,
                         .detect_multiplier = 3,
                         .my_discriminator = 9,
                         .your_discriminator = 1,
                         .desired_min_tx = seconds(100),
                         .required_min_rx = microseconds(0)};
    session.on_packet(packet, now);
    const auto answers = session.take_packets();
    REQUIRE_FALSE(answers.empty());
    CHECK(answers[0].final);
    CHECK_FALSE(answers[0].poll);
    CHECK(answers[0].your_discriminator == 9);
    CHECK(session.state() == State::kUp);
    now += seconds(30);
    session.on_deadline(now);
    CHECK(session.take_packets().empty());
    packet.required_min_rx = milliseconds(100);
    packet.poll = false;
    packet.state = State::kUp;
    session.on_packet(packet, now);
    now += milliseconds(100);
    session.on_deadline(now);
    CHECK(session.take_packets().size() == 1);
  }
}

}  // namespace margay::bfd
