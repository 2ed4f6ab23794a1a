#pragma once
// One node with a real agent, network namespaces as containers, and configuration lists run in it.

#include "tests/functional/support/cluster.h"
#include "tests/functional/support/cni_list.h"
#include "tests/functional/support/leftovers.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <memory>
#include <string>
#include <vector>

namespace margay::lab {

class CniWorld {
 public:
  // Ready, with a pool of each family, and with what a first container leaves on purpose.
  explicit CniWorld(const std::string& name);
  ~CniWorld();
  CniWorld(const CniWorld&) = delete;
  CniWorld& operator=(const CniWorld&) = delete;

  Cluster& cluster() { return *cluster_; }
  [[nodiscard]] const Node& node() { return cluster_->lab().node("node1"); }

  // A container that does nothing yet: the path of its namespace.
  std::string make_container();
  void end_container(const std::string& netns);
  [[nodiscard]] ExecResult in(const std::string& netns, const std::string& script);

  // What is in the node that was not there before the test; waits for it to go.
  [[nodiscard]] std::string left();

 private:
  std::unique_ptr<Cluster> cluster_;
  std::vector<std::string> containers_;
  unsigned next_ = 0;
  Traces before_;
};

// {"cniVersion":..., "name":"net", "plugins":[...]}
[[nodiscard]] std::string list_of(const std::string& version,
                                  const std::vector<boost::json::object>& plugins,
                                  const std::string& name = "net");
// margay with dual stack; members of `more` take the place of its own.
[[nodiscard]] boost::json::object margay_plugin(const boost::json::object& more = {});

// What is wrong with the result: against the specification, then against the kernel.
[[nodiscard]] std::vector<std::string> wrong_in(CniWorld& world,
                                                const CniOutcome& added,
                                                const std::string& version);
// CHECK succeeded. portmap's may fail in its own way: where ip6tables works, Debian's 1.1.1 looks
// there for the ports of IPv4 addresses, too (containernetworking/plugins issue 819).
[[nodiscard]] bool is_right(const CniOutcome& checked);
[[nodiscard]] std::string joined(const std::vector<std::string>& lines);

}  // namespace margay::lab
