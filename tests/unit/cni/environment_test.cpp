#include "cni/environment.h"

#include <doctest/doctest.h>

#include <vector>

namespace margay::cni {
namespace {

Environment complete(const std::string& command) {
  return {command, "c1", "/netns/c1", "eth0", "/opt/cni/bin", ""};
}

TEST_SUITE_BEGIN("cni.environment");

TEST_CASE("each verb asks for its own variables and names all that are missing") {
  const auto missing = [](const std::string& command) {
    Environment empty;
    empty.command = command;
    const auto error = check_environment(empty);
    return error ? error->msg : std::string();
  };
  CHECK(missing("ADD") ==
        "required environment variables are missing: CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, "
        "CNI_PATH");
  CHECK(missing("DEL") ==
        "required environment variables are missing: CNI_CONTAINERID, CNI_IFNAME, CNI_PATH");
  CHECK(missing("CHECK") == missing("ADD"));
  CHECK(missing("GC") == "required environment variables are missing: CNI_PATH");
  CHECK(missing("STATUS") == "required environment variables are missing: CNI_PATH");
  CHECK(missing("ERASE") == "CNI_COMMAND \"ERASE\" is not known");
  for (const char* command : {"ADD", "DEL", "CHECK", "GC", "STATUS"}) {
    CHECK_FALSE(check_environment(complete(command)));
  }
}

TEST_CASE("container ids and interface names are those the specification allows") {
  for (const char* id : {"a", "0a", "A.b_c-d", "moby-c1"}) {
    auto environment = complete("ADD");
    environment.container_id = id;
    CHECK_FALSE(check_environment(environment));
  }
  for (const char* id : {"-a", ".a", "a/b", "a b", "a;b", "a\n"}) {
    CAPTURE(id);
    auto environment = complete("ADD");
    environment.container_id = id;
    const auto error = check_environment(environment);
    REQUIRE(error);
    CHECK(error->code == Code::kBadEnvironment);
  }
  for (const char* name : {".", "..", "a/b", "a:b", "a b", "sixteen-bytes-xx"}) {
    CAPTURE(name);
    auto environment = complete("DEL");
    environment.ifname = name;
    CHECK(check_environment(environment));
  }
}

TEST_CASE("CNI_ARGS are pairs") {
  std::map<std::string, std::string> args;
  CHECK_FALSE(parse_args("IgnoreUnknown=1;K8S_POD_NAME=web;EMPTY=;X=a=b;", args));
  CHECK(args == std::map<std::string, std::string>{
                    {"IgnoreUnknown", "1"}, {"K8S_POD_NAME", "web"}, {"EMPTY", ""}, {"X", "a=b"}});
  CHECK_FALSE(parse_args("", args));
  CHECK(parse_args("novalue", args));
  CHECK(parse_args("=x", args));
}

TEST_SUITE_END();

}  // namespace
}  // namespace margay::cni
