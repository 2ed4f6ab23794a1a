#pragma once
// What the CNI specification demands of the output of plugins, version by version, field by field.
// Written from the text of the specification alone: it shares no code with what it judges.
//
// Every function returns what is wrong, one sentence each; nothing when all is right.

#include <string>
#include <vector>

namespace margay::test {

struct CniResultExpectation {
  std::string version;  // of the configuration
  std::string ifname;
  std::string netns;
  bool from_ipam = false;  // the abbreviated result of an IPAM plugin
};
// The answer to ADD of a plugin that makes the interface, or of a chain with such a one.
[[nodiscard]] std::vector<std::string> wrong_in_result(const std::string& text,
                                                       const CniResultExpectation& expected);
// version: of the configuration; empty when there was none to read.
[[nodiscard]] std::vector<std::string> wrong_in_error(const std::string& text,
                                                      const std::string& version);
[[nodiscard]] std::vector<std::string> wrong_in_versions(const std::string& text,
                                                         const std::string& version);

}  // namespace margay::test
