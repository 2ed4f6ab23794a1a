#include "felix/revert_timer.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace margay::felix {

using std::chrono::milliseconds;

namespace {

std::vector<api::ResourceKey> keys_of(const api::PendingChange& change) {
  std::vector<api::ResourceKey> keys;
  if (const auto edits = datastore::restorations(change)) {
    for (const datastore::Restoration& edit : *edits) {
      keys.push_back(edit.key);
    }
  }
  return keys;
}

}  // namespace

void RevertTimer::on_pending(const api::PendingChange& change, bool fresh) {
  if (pending_ == change) {
    return;
  }
  pending_ = change;
  ++epoch_;
  environment_.log(fmt::format("a change is on trial edits={} revert_at={}",
                               change.edits.size(),
                               format_rfc3339(change.revert_at)));
  constexpr std::uint64_t kLongest = 31622400;  // a year: what is stored may be anything
  const milliseconds whole = std::chrono::seconds(std::min(change.confirm_within_s, kLongest));
  milliseconds left = std::chrono::ceil<milliseconds>(change.revert_at - environment_.now());
  if (whole > milliseconds(0)) {
    left = fresh ? whole : std::min(left, whole);
  }
  environment_.after(std::max(left, milliseconds(0)), [this, epoch = epoch_] {
    if (epoch == epoch_) {
      revert();
    }
  });
}

void RevertTimer::on_gone() {
  if (!pending_) {
    return;
  }
  const auto keys = keys_of(*pending_);
  pending_.reset();
  ++epoch_;
  if (std::exchange(reverted_here_, false)) {
    refresh(keys);
  }
}

void RevertTimer::revert() {
  environment_.on_worker([this, epoch = epoch_] {
    auto outcome = datastore::revert_pending(environment_.store);
    environment_.on_loop([this, epoch, outcome = std::move(outcome)] {
      if (epoch == epoch_) {
        on_reverted(outcome);
      }
    });
  });
}

void RevertTimer::on_reverted(const Result<datastore::Reverted>& outcome) {
  if (outcome) {
    for (const api::ResourceKey& key : outcome->restored) {
      environment_.log(fmt::format("not confirmed in time, reverted object=\"{}\"", key.str()));
    }
    for (const api::ResourceKey& key : outcome->left) {
      environment_.log(fmt::format(
          "not confirmed in time, but changed since: left as it is object=\"{}\"", key.str()));
    }
    return;  // the watch brings what changed, and the end of the record
  }
  if (outcome.error().code == Errc::kNotFound) {
    return;  // another agent was first, or it was confirmed: the watch will say so
  }
  if (!reverted_here_) {
    environment_.log(fmt::format("not confirmed in time, reverting failed, will retry err=\"{}\"",
                                 outcome.error().text));
  }
  revert_here();
  environment_.after(kRetry, [this, epoch = epoch_] {
    if (epoch == epoch_) {
      revert();
    }
  });
}

void RevertTimer::revert_here() {
  reverted_here_ = true;
  const auto edits = datastore::restorations(*pending_);
  if (!edits) {
    return;
  }
  std::vector<datastore::Object> before;
  for (const datastore::Restoration& edit : *edits) {
    before.push_back({edit.key, {}, edit.before, {}});
  }
  environment_.take(before);
}

void RevertTimer::refresh(const std::vector<api::ResourceKey>& keys) {
  environment_.on_worker([this, keys, epoch = epoch_] {
    auto objects = std::make_shared<std::vector<datastore::Object>>();
    bool complete = true;
    for (const api::ResourceKey& key : keys) {
      auto stored = environment_.store.get(key);
      if (!stored && stored.error().code != Errc::kNotFound) {
        complete = false;
        break;
      }
      objects->push_back(stored ? std::move(*stored) : datastore::Object{key, {}, nullptr, {}});
    }
    environment_.on_loop([this, keys, objects, complete, epoch] {
      if (epoch != epoch_) {
        return;
      }
      if (complete) {
        environment_.take(*objects);
      } else {
        environment_.after(kRetry, [this, keys, epoch] {
          if (epoch == epoch_) {
            refresh(keys);
          }
        });
      }
    });
  });
}

}  // namespace margay::felix
