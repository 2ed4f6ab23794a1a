#pragma once
// Commit-confirm: a change of several objects that is taken back unless somebody confirms it.
//
//   begin_pending   what the objects are now goes into the store, before anything changes
//   (the change)    as always
//   confirm_pending the record goes, the change stays
//   revert_pending  the objects become what they were, and the record goes, in one commit
//
// An object that somebody else changed in between is left as it is: that change was not on trial.
// Blocking, as the store.

#include "base/wall_time.h"
#include "datastore/store.h"

#include <memory>
#include <vector>

namespace margay::datastore {

[[nodiscard]] api::ResourceKey pending_key();

struct PlannedEdit {
  api::ResourceKey key;
  std::shared_ptr<const api::Resource> after;  // null: it is to be deleted
};

// kConflict while another change waits; kInvalid when an object is stored but does not decode, as
// it could not be put back.
[[nodiscard]] Result<void> begin_pending(Store& store,
                                         const std::vector<PlannedEdit>& edits,
                                         WallSeconds revert_at,
                                         std::chrono::seconds within);

// What was confirmed; kNotFound when nothing waits.
[[nodiscard]] Result<api::PendingChange> confirm_pending(Store& store);

struct Reverted {
  std::vector<api::ResourceKey> restored;
  std::vector<api::ResourceKey> left;  // changed since by somebody else
};
// Whatever its time; kNotFound when nothing waits.
[[nodiscard]] Result<Reverted> revert_pending(Store& store);

// The objects of a change as they were (null: absent), in the order in which to put them back.
struct Restoration {
  api::ResourceKey key;
  std::shared_ptr<const api::Resource> before;
  std::shared_ptr<const api::Resource> after;
};
// kInvalid: the record was not written by begin_pending.
[[nodiscard]] Result<std::vector<Restoration>> restorations(const api::PendingChange& change);

}  // namespace margay::datastore
