#include "felix/revision_publisher.h"

#include "felix/node_claim.h"

#include <algorithm>
#include <utility>

namespace margay::felix {

namespace {

bool matters_to_others(api::Kind kind, bool here) {
  switch (kind) {
    case api::Kind::kNodeStatus:
    case api::Kind::kPendingChange:
    case api::Kind::kIPAMBlock:
    case api::Kind::kIPAMHandle:
    case api::Kind::kBlockAffinity:
      return false;
    case api::Kind::kWorkloadEndpoint:
      return here;
    default:
      return true;
  }
}

}  // namespace

RevisionPublisher::RevisionPublisher(Environment environment)
    : environment_(std::move(environment)) {}

void RevisionPublisher::on_change(api::Kind kind, bool here, datastore::Revision revision) {
  if (matters_to_others(kind, here)) {
    wanted_ = std::max(wanted_, revision);
  }
}

void RevisionPublisher::on_enforced(datastore::Revision revision) {
  enforced_ = std::max(enforced_, revision);
  publish_if_due();
}

void RevisionPublisher::allow() {
  allowed_ = true;
  publish_if_due();
}

void RevisionPublisher::publish_if_due() {
  if (!allowed_ || busy_ || enforced_ < wanted_ || published_ >= wanted_) {
    return;
  }
  busy_ = true;
  const auto due = last_ + kInterval;
  const TimePoint now = environment_.now();
  if (now >= due) {
    write(enforced_);
    return;
  }
  environment_.after(std::chrono::duration_cast<std::chrono::milliseconds>(due - now) +
                         std::chrono::milliseconds(1),
                     [this] { write(enforced_); });
}

void RevisionPublisher::write(datastore::Revision revision) {
  last_ = environment_.now();
  environment_.on_worker([this, revision] {
    const bool written = write_node_status(environment_.store,
                                           environment_.node,
                                           environment_.agent,
                                           [revision](api::NodeStatus& status) {
                                             status.enforced_revision = revision.value();
                                           })
                             .has_value();
    environment_.on_loop([this, revision, written] {
      busy_ = false;
      if (written) {
        published_ = revision;
      }
      publish_if_due();  // with what came meanwhile; a failed write is tried again
    });
  });
}

}  // namespace margay::felix
