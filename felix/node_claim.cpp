#include "felix/node_claim.h"

#include <fmt/format.h>

#include <utility>

namespace margay::felix {

namespace {

std::string also_used_by(const NodeName& node, const std::string& host) {
  return fmt::format("the agent on host \"{}\" uses the node name {}, too", host, node.str());
}

}  // namespace

void NodeClaim::on_status(const api::NodeStatus& status, datastore::Revision revision) {
  const bool other = !status.agent.empty() && status.agent != environment_.agent.id;
  switch (state_) {
    case State::kUnknown:
      found_other_ = other;
      other_host_ = status.host;
      return;
    case State::kClaiming:
      // What was written before our claim, or before we know its revision, proves nothing.
      if (other && claimed_ != datastore::Revision() && revision > claimed_) {
        state_ = State::kLost;
        environment_.lost(fmt::format("{}: give each its own --node",
                                      also_used_by(environment_.node, status.host)));
      }
      return;
    case State::kHeld:
      if (other && revision > claimed_) {
        on_other(status);
      }
      return;
    case State::kLost:
      return;
  }
}

void NodeClaim::on_in_sync() {
  if (state_ != State::kUnknown) {
    return;
  }
  if (!found_other_) {
    hold();
    return;
  }
  state_ = State::kClaiming;
  environment_.log(fmt::format(
      "the node name {} was another agent's, on host \"{}\": waiting to see whether it still runs",
      environment_.node.str(),
      other_host_));
  claim();
}

void NodeClaim::claim() {
  write([this](const Result<datastore::Revision>& written) {
    if (state_ != State::kClaiming) {
      return;
    }
    if (!written) {
      environment_.after(kRetry, [this] { claim(); });
      return;
    }
    claimed_ = *written;
    environment_.after(kSettle, [this] {
      if (state_ == State::kClaiming) {
        hold();
      }
    });
  });
}

void NodeClaim::hold() {
  state_ = State::kHeld;
  environment_.held();
}

void NodeClaim::on_other(const api::NodeStatus& other) {
  if (conflict_.empty()) {
    conflict_ = also_used_by(environment_.node, other.host);
    environment_.log(conflict_ + ": give each its own --node");
  }
  environment_.after(kQuiet, [this, sighting = ++sightings_] {
    if (sighting == sightings_) {
      conflict_.clear();
    }
  });
  defend();
}

void NodeClaim::defend() {
  if (defending_) {
    seen_again_ = true;
    return;
  }
  defending_ = true;
  write([](const Result<datastore::Revision>& /*written*/) {});
  environment_.after(kRepeat, [this] {
    defending_ = false;
    if (std::exchange(seen_again_, false)) {
      defend();
    }
  });
}

void NodeClaim::write(std::function<void(const Result<datastore::Revision>&)> done) {
  environment_.on_worker([this, done = std::move(done)] {
    auto written = write_node_status(
        environment_.store, environment_.node, environment_.agent, [](api::NodeStatus&) {});
    environment_.on_loop([done, written = std::move(written)] { done(written); });
  });
}

Result<datastore::Revision> write_node_status(datastore::Store& store,
                                              const NodeName& node,
                                              const AgentIdentity& agent,
                                              const std::function<void(api::NodeStatus&)>& change) {
  api::Resource status{{.name = node.str()}, api::NodeStatus{}};
  const auto stored = store.get(status.key());
  if (!stored && stored.error().code != Errc::kNotFound) {
    return fail(stored.error());
  }
  if (stored && stored->resource) {
    status.spec = stored->resource->spec;
  }
  auto& spec = std::get<api::NodeStatus>(status.spec);
  spec.agent = agent.id;
  spec.host = agent.host;
  change(spec);
  if (stored) {
    status.metadata.resource_version = std::to_string(stored->revision.value());
  }
  const auto written = stored ? store.update(status) : store.create(status);
  if (!written) {
    return fail(written.error());
  }
  return written->revision;
}

}  // namespace margay::felix
