#pragma once
// A network configuration list (*.conflist), run as libcni runs it, in a node of the lab: plugins
// in their order (DEL: backwards), prevResult handed on, capabilities that a plugin declares given
// to it, the last result kept for CHECK and DEL.
//
//   CniList list(node, R"({"cniVersion":"1.0.0","name":"net","plugins":[{"type":"margay"}]})");
//   const auto added = list.add({.container_id = "c1", .netns = "/run/netns/c1"});
//   list.del({.container_id = "c1"});

#include "tests/lab/lab.h"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace margay::lab {

struct CniAttachment {
  std::string container_id;
  std::string netns = {};
  std::string ifname = "eth0";
  std::string args = {};                  // CNI_ARGS
  boost::json::object capabilities = {};  // what the runtime offers
};

// One execution of a plugin, as a recording shim would see it.
struct CniRun {
  std::string type;
  std::string verb;
  boost::json::object config;  // standard input
  ExecResult done;
};

struct CniOutcome {
  std::vector<CniRun> runs;
  boost::json::value result;  // of an ADD that succeeded
  std::string netns;
  std::string ifname;

  [[nodiscard]] bool ok() const { return runs.empty() || runs.back().done.ok(); }
  [[nodiscard]] const std::string& out() const { return runs.back().done.out; }
  // Of the error object; 0 when there is none.
  [[nodiscard]] std::int64_t code() const;
  [[nodiscard]] std::string text() const;                    // for messages of tests
  [[nodiscard]] std::vector<std::string> addresses() const;  // without their lengths
};

class CniList {
 public:
  CniList(const Node& node, const std::string& conflist);

  CniOutcome add(const CniAttachment& attachment);
  CniOutcome check(const CniAttachment& attachment) const;
  // with_result: false as by a runtime whose cache was lost.
  CniOutcome del(const CniAttachment& attachment, bool with_result = true);
  // valid: absent as in a call without the key.
  [[nodiscard]] CniOutcome gc(
      const std::optional<std::vector<std::pair<std::string, std::string>>>& valid) const;
  [[nodiscard]] CniOutcome status() const;
  // One plugin of the list with exactly this input and environment.
  [[nodiscard]] CniRun run(const std::string& type,
                           const std::string& verb,
                           const boost::json::object& config,
                           const CniAttachment& attachment) const;
  // The input of the plugin at this place of the list.
  [[nodiscard]] boost::json::object input(std::size_t at,
                                          const CniAttachment& attachment,
                                          const boost::json::value& previous) const;
  [[nodiscard]] std::string version() const;
  [[nodiscard]] std::size_t size() const { return plugins_.size(); }
  void forget(const CniAttachment& attachment) { cache_.erase(key(attachment)); }

 private:
  using Key = std::pair<std::string, std::string>;
  static Key key(const CniAttachment& attachment) {
    return {attachment.container_id, attachment.ifname};
  }
  [[nodiscard]] boost::json::value cached(const CniAttachment& attachment) const;

  const Node& node_;
  boost::json::object list_;
  std::vector<boost::json::object> plugins_;
  std::map<Key, boost::json::value> cache_;
};

}  // namespace margay::lab
