#include "felix/agent_status.h"

#include <doctest/doctest.h>

namespace margay::felix {

TEST_SUITE("felix.agent_status") {
  TEST_CASE("STATUS is ready, not ready, or says that what runs may be cut off") {
    using std::chrono::milliseconds;
    const TimePoint now{std::chrono::hours(1)};
    AgentStatus status;
    CHECK(readiness(status, now) == Readiness::kNotReady);
    status.dataplane_report.failures = {"add chain: not permitted"};
    CHECK(readiness(status, now) == Readiness::kLimited);

    // Once it was ready, a failure is one of many changes and is tried again.
    status.ready_after = milliseconds(700);
    CHECK(readiness(status, now) == Readiness::kReady);
    status.dataplane_report.failures.clear();
    status.store_error = "the store is away";
    CHECK(readiness(status, now) == Readiness::kNotReady);
    status.store_error.clear();
    status.dataplane_waits_since = now - kDataplaneSilence / 2;
    CHECK(readiness(status, now) == Readiness::kReady);
    status.dataplane_waits_since = now - kDataplaneSilence;
    CHECK(readiness(status, now) == Readiness::kLimited);
  }
}

}  // namespace margay::felix
