#include "felix/cni/identity.h"
#include "felix/cni/release_journal.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace margay::felix {
namespace {

PendingRelease entry(const std::string& id) {
  return {id, "eth0", "net." + id, "default", "node1-cni-" + id + "-eth0"};
}

struct Directory {
  std::string path;
  Directory() {
    std::string pattern = std::filesystem::temp_directory_path() / "margay-journal-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
};

TEST_SUITE_BEGIN("felix.cni.journal");

TEST_CASE("what was added is there for the next process until it is removed") {
  const Directory directory;
  {
    ReleaseJournal journal(directory.path + "/state");
    CHECK(journal.entries().empty());
    CHECK(journal.add(entry("a")));
    CHECK(journal.add(entry("b")));
    CHECK(journal.add(entry("a")));
  }
  ReleaseJournal next(directory.path + "/state");
  CHECK(next.entries() == std::vector{entry("a"), entry("b")});
  CHECK(next.remove(std::vector{entry("a")}));
  CHECK(next.remove(std::vector{entry("a")}));
  CHECK(ReleaseJournal(directory.path + "/state").entries() == std::vector{entry("b")});
}

TEST_CASE("a file that is cut off or foreign loses only the bad lines") {
  const Directory directory;
  {
    ReleaseJournal journal(directory.path);
    CHECK(journal.add(entry("a")));
  }
  std::ofstream(directory.path + "/pending-releases", std::ios::app)
      << "one\ttwo\n1\t2\t3\t4\t5\t6\nc\teth";
  CHECK(ReleaseJournal(directory.path).entries() == std::vector{entry("a")});
}

TEST_CASE("a directory that cannot be written is an error and changes nothing") {
  const Directory directory;
  std::ofstream(directory.path + "/file") << "x";
  ReleaseJournal journal(directory.path + "/file");
  const auto added = journal.add(entry("a"));
  REQUIRE_FALSE(added);
  CHECK(journal.entries().empty());
}

TEST_CASE("endpoint names are those of Calico and always fit the store") {
  const NodeName node = *NodeName::parse("rack-1");
  CHECK(endpoint_name(node, "k8s", "web-5c68-x", "eth0") == "rack--1-k8s-web--5c68--x-eth0");
  const std::string id(64, 'a');
  CHECK(endpoint_name(node, "cni", id, "eth0") == "rack--1-cni-" + id + "-eth0");
  const std::string upper = endpoint_name(node, "cni", "Box", "eth0");
  CHECK(is_dns_subdomain(upper));
  CHECK(upper != endpoint_name(node, "cni", "box", "eth0"));
  CHECK(is_dns_subdomain(object_name(std::string(300, 'x'))));
  CHECK(is_dns_subdomain(object_name("_")));
  CHECK(object_name("a_b") != object_name("a.b"));
}

TEST_CASE("a container's MAC is stable, unicast and locally administered") {
  const auto mac = derived_mac(host_interface_name("c1", "eth0"));
  CHECK(mac == derived_mac(host_interface_name("c1", "eth0")));
  CHECK(mac != derived_mac(host_interface_name("c2", "eth0")));
  CHECK((mac.bytes()[0] & 3U) == 2U);
}

TEST_SUITE_END();

}  // namespace
}  // namespace margay::felix
