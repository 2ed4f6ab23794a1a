#include "datastore/pending_change.h"

#include <algorithm>
#include <utility>

namespace margay::datastore {

namespace {

constexpr int kMaxTries = 10;  // lost compare-and-swap races before giving up

Result<Object> read_pending(Store& store) {
  auto stored = store.get(pending_key());
  if (!stored) {
    return stored.error().code == Errc::kNotFound
               ? Result<Object>(fail(Errc::kNotFound, "no change waits to be confirmed"))
               : Result<Object>(fail(stored.error()));
  }
  if (!stored->resource) {
    return fail(stored->invalid.value_or(Error{Errc::kInvalid, pending_key().str(), 0}));
  }
  return stored;
}

const api::PendingChange& change_of(const Object& object) {
  return std::get<api::PendingChange>(object.resource->spec);
}

Result<std::shared_ptr<const api::Resource>> decode(const std::string& text) {
  if (text.empty()) {
    return std::shared_ptr<const api::Resource>();
  }
  auto resource = api::decode_json(text);
  if (!resource) {
    return fail(resource.error(), "{}", pending_key().str());
  }
  return std::make_shared<const api::Resource>(std::move(*resource));
}

bool same(const std::shared_ptr<const api::Resource>& a,
          const std::shared_ptr<const api::Resource>& b) {
  return a == b || (a && b && api::same_content(*a, *b));
}

struct RevertPlan {
  std::vector<Change> changes;
  Reverted outcome;
};

Result<void> plan_one(Store& store, const Restoration& each, RevertPlan& plan) {
  auto stored = store.get(each.key);
  if (!stored && stored.error().code != Errc::kNotFound) {
    return fail(stored.error());
  }
  const auto now = stored ? stored->resource : nullptr;
  const bool absent = !stored;
  if (!absent && !now) {
    plan.outcome.left.push_back(each.key);  // somebody made it invalid
    return {};
  }
  if (same(now, each.before)) {
    return {};
  }
  if (!same(now, each.after)) {
    plan.outcome.left.push_back(each.key);
    return {};
  }
  plan.outcome.restored.push_back(each.key);
  if (!each.before) {
    plan.changes.emplace_back(Remove{each.key, stored->revision});
    return {};
  }
  api::Resource before = *each.before;
  before.metadata.resource_version = absent ? "" : std::to_string(stored->revision.value());
  plan.changes.push_back(absent ? Change(Create{std::move(before)})
                                : Change(Update{std::move(before)}));
  return {};
}

}  // namespace

api::ResourceKey pending_key() {
  return {api::Kind::kPendingChange, {}, "default"};
}

Result<void> begin_pending(Store& store,
                           const std::vector<PlannedEdit>& edits,
                           WallSeconds revert_at,
                           std::chrono::seconds within) {
  api::PendingChange change{revert_at, static_cast<std::uint64_t>(within.count()), {}};
  for (const PlannedEdit& edit : edits) {
    const auto stored = store.get(edit.key);
    if (!stored && stored.error().code != Errc::kNotFound) {
      return fail(stored.error());
    }
    if (stored && !stored->resource) {
      return fail(Errc::kInvalid,
                  "{} is stored but invalid, so it could not be put back: mend or delete it first",
                  edit.key.str());
    }
    change.edits.push_back({stored ? api::encode_json(*stored->resource) : std::string(),
                            edit.after ? api::encode_json(*edit.after) : std::string()});
  }
  const auto made = store.create({{.name = pending_key().name}, std::move(change)});
  if (made) {
    return {};
  }
  if (made.error().code != Errc::kExists) {
    return fail(made.error());
  }
  const auto other = read_pending(store);
  return fail(Errc::kConflict,
              "another change waits to be confirmed{}: `margayctl confirm`, or `margayctl confirm "
              "--revert`, first",
              other ? " until " + format_rfc3339(change_of(*other).revert_at) : std::string());
}

Result<api::PendingChange> confirm_pending(Store& store) {
  const auto stored = read_pending(store);
  if (!stored) {
    return fail(stored.error());
  }
  if (const auto removed = store.remove(pending_key(), stored->revision); !removed) {
    return fail(removed.error());
  }
  return change_of(*stored);
}

Result<std::vector<Restoration>> restorations(const api::PendingChange& change) {
  std::vector<Restoration> out;
  for (const api::PendingEdit& edit : change.edits) {
    auto before = decode(edit.before);
    auto after = decode(edit.after);
    if (!before || !after) {
      return fail(before ? after.error() : before.error());
    }
    if (!*before && !*after) {
      continue;  // one to be deleted that was not there
    }
    const api::ResourceKey key = (*before ? **before : **after).key();
    out.push_back({key, std::move(*before), std::move(*after)});
  }
  std::ranges::reverse(out);
  return out;
}

Result<Reverted> revert_pending(Store& store) {
  for (int tries = 0; tries < kMaxTries; ++tries) {
    const auto stored = read_pending(store);
    if (!stored) {
      return fail(stored.error());
    }
    const auto wanted = restorations(change_of(*stored));
    if (!wanted) {
      return fail(wanted.error());
    }
    RevertPlan plan;
    for (const Restoration& each : *wanted) {
      if (auto done = plan_one(store, each, plan); !done) {
        return fail(done.error());
      }
    }
    plan.changes.emplace_back(Remove{pending_key(), stored->revision});
    const auto done = store.commit(plan.changes);
    if (done) {
      return plan.outcome;
    }
    const Errc code = done.error().code;
    if (code != Errc::kConflict && code != Errc::kNotFound && code != Errc::kExists) {
      return fail(done.error());
    }
  }
  return fail(Errc::kConflict, "the objects of the change keep changing: try again");
}

}  // namespace margay::datastore
