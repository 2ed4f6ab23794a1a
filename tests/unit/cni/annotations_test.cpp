#include "cni/annotations.h"

#include <doctest/doctest.h>

#include <utility>

namespace margay::cni {
namespace {

using Annotations = std::map<std::string, std::string>;

TEST_SUITE_BEGIN("cni.annotations");

TEST_CASE("annotations of Calico say which addresses, pools, families and MAC a pod asks for") {
  const auto read = read_annotations(
      Annotations{{"cni.projectcalico.org/ipAddrs", R"(["10.244.0.7","fd00::7"])"},
                  {"cni.projectcalico.org/ipv4pools", R"(["blue","10.9.0.0/16"])"},
                  {"cni.projectcalico.org/ipv6pools", R"([])"},
                  {"cni.projectcalico.org/ipFamilies", R"(["IPv6","IPv4"])"},
                  {"cni.projectcalico.org/hwAddr", "02:00:00:00:00:01"},
                  {"cni.projectcalico.org/podIP", "written by Calico, none of our business"},
                  {"example.com/ipAddrs", "not ours"}});
  REQUIRE(read);
  CHECK(read->addresses == std::vector{*IpAddr::parse("10.244.0.7"), *IpAddr::parse("fd00::7")});
  CHECK(read->ipv4_pools == std::vector<std::string>{"blue", "10.9.0.0/16"});
  CHECK(read->ipv6_pools == std::vector<std::string>{});
  CHECK(read->families == Families{true, true});
  CHECK(read->mac == MacAddr::parse("02:00:00:00:00:01").operator*());
  CHECK(*read_annotations({}) == AnnotatedRequest{});
}

TEST_CASE("a wrong annotation is named with its value") {
  for (const auto& [what, value] :
       std::vector<std::pair<std::string, std::string>>{{"ipAddrs", "10.244.0.7"},
                                                        {"ipAddrs", "[]"},
                                                        {"ipv4pools", R"({"a": 1})"},
                                                        {"ipv6pools", R"([1])"},
                                                        {"ipFamilies", R"(["ipv4"])"},
                                                        {"hwAddr", "02:00"}}) {
    CAPTURE(what);
    const auto read = read_annotations({{"cni.projectcalico.org/" + what, value}});
    REQUIRE_FALSE(read);
    CHECK(read.error().code == Code::kBadConfig);
    CHECK(read.error().msg.find("annotation cni.projectcalico.org/" + what + ": '" + value) == 0);
  }
}

TEST_SUITE_END();

}  // namespace
}  // namespace margay::cni
