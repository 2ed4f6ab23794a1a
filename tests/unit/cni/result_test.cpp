#include "cni/result.h"

#include "cni/error.h"
#include "cni/wire.h"

#include <doctest/doctest.h>

namespace margay::cni {
namespace {

AddResult dual_stack() {
  AddResult result;
  result.interfaces = {{"mgy1", "ee:ee:ee:ee:ee:ee", 1450, ""},
                       {"eth0", "02:00:00:00:00:01", 1450, "/netns/c1"}};
  result.ips = {{*InterfaceAddr::parse("10.0.0.7/32"), *IpAddr::parse("169.254.1.1"), 1U},
                {*InterfaceAddr::parse("fd00::7/128"), std::nullopt, 1U}};
  result.routes = {{*Prefix::parse("0.0.0.0/0"), *IpAddr::parse("169.254.1.1")},
                   {*Prefix::parse("::/0"), std::nullopt}};
  return result;
}

TEST_SUITE_BEGIN("cni.result");

TEST_CASE("each version of the specification has its own form") {
  const std::string tail =
      R"("routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"},{"dst":"::/0"}],"dns":{}})"
      "\n";
  const std::string interfaces =
      R"("interfaces":[{"name":"mgy1","mac":"ee:ee:ee:ee:ee:ee"},)"
      R"({"name":"eth0","mac":"02:00:00:00:00:01","sandbox":"/netns/c1"}],)";
  const std::string ips =
      R"("ips":[{"address":"10.0.0.7/32","gateway":"169.254.1.1","interface":1},)"
      R"({"address":"fd00::7/128","interface":1}],)";
  const std::string old_ips =
      R"("ips":[{"version":"4","address":"10.0.0.7/32","gateway":"169.254.1.1","interface":1},)"
      R"({"version":"6","address":"fd00::7/128","interface":1}],)";
  const std::string new_interfaces =
      R"("interfaces":[{"name":"mgy1","mac":"ee:ee:ee:ee:ee:ee","mtu":1450},)"
      R"({"name":"eth0","mac":"02:00:00:00:00:01","mtu":1450,"sandbox":"/netns/c1"}],)";
  CHECK(result_json(dual_stack(), "0.3.1") ==
        R"({"cniVersion":"0.3.1",)" + interfaces + old_ips + tail);
  CHECK(result_json(dual_stack(), "0.4.0") ==
        R"({"cniVersion":"0.4.0",)" + interfaces + old_ips + tail);
  CHECK(result_json(dual_stack(), "1.0.0") ==
        R"({"cniVersion":"1.0.0",)" + interfaces + ips + tail);
  CHECK(result_json(dual_stack(), "1.1.0") ==
        R"({"cniVersion":"1.1.0",)" + new_interfaces + ips + tail);
}

TEST_CASE("DNS is handed on, and routes of other tables are for versions that know them") {
  AddResult result = dual_stack();
  result.dns = {{"192.0.2.53"}, "example.net", {"a.example.net", "example.net"}, {"ndots:2"}};
  result.routes[1].table = 1000;
  const std::string text = result_json(result, "1.1.0");
  CHECK(text.find(
            R"("routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"},{"dst":"::/0","table":1000}])") !=
        std::string::npos);
  CHECK(text.find(R"("dns":{"nameservers":["192.0.2.53"],"domain":"example.net",)"
                  R"("search":["a.example.net","example.net"],"options":["ndots:2"]})") !=
        std::string::npos);
  CHECK(result_json(result, "1.0.0").find("::/0") == std::string::npos);
}

TEST_CASE("errors are objects in the version asked for, or in the newest") {
  CHECK(error_json({Code::kTryAgainLater, "say \"no\"\n", "wait"}, "0.4.0") ==
        "{\"cniVersion\":\"0.4.0\",\"code\":11,\"msg\":\"say \\\"no\\\"\\u000a\",\"details\":"
        "\"wait\"}\n");
  CHECK(error_json({Code::kBadConfig, "x", ""}, "9.9.9") ==
        "{\"cniVersion\":\"1.1.0\",\"code\":7,\"msg\":\"x\"}\n");
}

TEST_CASE("lengths on the socket") {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{255}, std::size_t{70000}, kMaxMessage}) {
    CHECK(decode_length(encode_length(size)) == size);
  }
}

TEST_SUITE_END();

}  // namespace
}  // namespace margay::cni
