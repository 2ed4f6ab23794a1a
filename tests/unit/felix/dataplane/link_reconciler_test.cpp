#include "felix/dataplane/link_reconciler.h"

#include "tests/support/fake_kernel.h"

#include <doctest/doctest.h>

namespace margay::felix {
namespace {

using test::FakeLinkKernel;

std::vector<std::string> names(FakeLinkKernel& links) {
  std::vector<std::string> out;
  for (const LinkState& link : *links.links()) {
    out.push_back(link.name);
  }
  return out;
}

TEST_SUITE("felix.dataplane.link") {
  TEST_CASE("a link without an endpoint goes after the grace time, others stay") {
    FakeLinkKernel links;
    links.add_link("mgy1");
    links.add_link("mgy2");
    links.add_link("cali1");
    links.add_link("mgyd", "dummy");
    LinkReconciler reconciler(links, "mgy");
    reconciler.set_desired({"mgy1"});
    const TimePoint start{};

    CHECK(reconciler.apply(start).changes == 0);
    reconciler.set_in_sync(true);
    const ApplyReport first = reconciler.apply(start);
    CHECK(first.retry_after == LinkReconciler::kGrace);
    CHECK(names(links).size() == 4);

    CHECK(reconciler.apply(start + LinkReconciler::kGrace).changes == 1);
    CHECK(names(links) == std::vector<std::string>{"mgy1", "cali1", "mgyd"});
  }

  TEST_CASE("a device that limits a host end stays as long as the endpoint of that one") {
    FakeLinkKernel links;
    links.add_link("mgy0a");
    links.add_link("mgyi0a", "ifb");
    links.add_link("mgyi0b", "ifb");  // its host end went with a namespace
    links.add_link("ifb0", "ifb");
    LinkReconciler reconciler(links, "mgy");
    reconciler.set_desired({"mgy0a"});
    reconciler.set_in_sync(true);
    const TimePoint start{};
    (void)reconciler.apply(start);
    CHECK(reconciler.apply(start + LinkReconciler::kGrace).changes == 1);
    CHECK(names(links) == std::vector<std::string>{"mgy0a", "mgyi0a", "ifb0"});
  }

  TEST_CASE("an endpoint that arrives within the grace time keeps its link") {
    FakeLinkKernel links;
    links.add_link("mgy1");
    LinkReconciler reconciler(links, "mgy");
    reconciler.set_in_sync(true);
    const TimePoint start{};
    (void)reconciler.apply(start);
    reconciler.add_desired("mgy1");
    (void)reconciler.apply(start + LinkReconciler::kGrace);
    CHECK(names(links) == std::vector<std::string>{"mgy1"});
  }
}

}  // namespace
}  // namespace margay::felix
