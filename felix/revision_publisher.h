#pragma once
// RevisionPublisher: writes into the store which revision this node's kernel enforces (kind
// NodeStatus), for whoever waits for a change to be in force everywhere.
//
// A write of its own is news for every agent, so it writes only after changes that may matter to
// somebody else (bookkeeping of addresses and endpoints of other nodes do not), and at most once in
// kInterval: a lone change is told at once, a storm once a second. Single-threaded; the writes run
// on the worker.

#include "base/strong.h"
#include "base/timer_set.h"
#include "datastore/store.h"
#include "felix/agent_identity.h"

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace margay::felix {

class RevisionPublisher {
 public:
  static constexpr std::chrono::milliseconds kInterval{1000};

  struct Environment {
    datastore::Store& store;
    NodeName node;
    AgentIdentity agent;
    std::function<void(std::function<void()>)> on_worker;
    std::function<void(std::function<void()>)> on_loop;
    std::function<void(std::chrono::milliseconds, std::function<void()>)> after;
    std::function<TimePoint()> now;
  };
  explicit RevisionPublisher(Environment environment);

  // An object was put or deleted; `here`: it is an endpoint of this node.
  void on_change(api::Kind kind, bool here, datastore::Revision revision);
  // The kernel holds everything up to this revision.
  void on_enforced(datastore::Revision revision);
  // Nothing is written before: the node's name may be another agent's.
  void allow();

 private:
  void publish_if_due();
  void write(datastore::Revision revision);

  Environment environment_;
  datastore::Revision wanted_;  // newest change worth telling
  datastore::Revision enforced_;
  datastore::Revision published_;
  TimePoint last_{};
  bool allowed_ = false;
  bool busy_ = false;  // a write or a timer is on its way
};

}  // namespace margay::felix
