#include "felix/metrics.h"

#include <doctest/doctest.h>

namespace margay::felix {
namespace {

TEST_SUITE("felix.metrics") {
  TEST_CASE("the text carries gauges, counters and peers, and forgets a peer that is gone") {
    Metrics metrics;
    metrics.applied(std::chrono::milliseconds(2), true);
    metrics.applied(std::chrono::milliseconds(3), false);
    metrics.cni_request("ADD", true, std::chrono::milliseconds(4));
    MetricsSnapshot snapshot;
    snapshot.enforced_revision = 42;
    snapshot.peers.push_back({.name = "leaf1",
                              .address = "10.0.0.1",
                              .established = true,
                              .flaps = 3,
                              .ipv4_received = 10,
                              .ipv4_advertised = 1,
                              .last_notification = "sent cease (6/2)"});

    snapshot.collectors.push_back({"192.0.2.50:11019", true, 7, 0, 2});
    snapshot.mrt_lost_records = 5;

    const std::string text = metrics.text(snapshot);
    snapshot.peers.clear();
    const std::string later = metrics.text(snapshot);

    CHECK(text.find("margay_enforced_revision 42") != std::string::npos);
    CHECK(text.find("margay_applies_total{result=\"failed\"} 1") != std::string::npos);
    CHECK(text.find("margay_cni_requests_total{result=\"ok\",verb=\"ADD\"} 1") !=
          std::string::npos);
    CHECK(text.find("margay_bgp_peer_up{address=\"10.0.0.1\",peer=\"leaf1\"} 1") !=
          std::string::npos);
    CHECK(
        text.find("margay_bgp_peer_prefixes{address=\"10.0.0.1\",direction=\"in\",family=\"ipv4\","
                  "peer=\"leaf1\"} 10") != std::string::npos);
    CHECK(text.find("notification=\"sent cease (6/2)\"") != std::string::npos);
    CHECK(text.find("margay_bgp_bmp_in_sync{collector=\"192.0.2.50:11019\"} 1") !=
          std::string::npos);
    CHECK(text.find("margay_bgp_mrt_lost_records 5") != std::string::npos);
    CHECK(later.find("leaf1") == std::string::npos);
  }
}

}  // namespace
}  // namespace margay::felix
