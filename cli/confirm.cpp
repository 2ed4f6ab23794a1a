#include "cli/confirm.h"

#include <algorithm>
#include <ostream>

namespace margay::cli {

namespace {

bool changed_something(const Outcome& outcome) {
  return !outcome.error && outcome.action != "unchanged";
}

const char* plural(std::size_t count) {
  return count == 1 ? "" : "s";
}

}  // namespace

Result<std::vector<Outcome>> run_on_trial(Context& context,
                                          const std::vector<Input>& inputs,
                                          const RunOptions& options,
                                          std::chrono::seconds time) {
  const auto store = context.store();
  if (!store) {
    return fail(store.error());
  }
  const WallSeconds revert_at = wall_now() + time;
  const auto edits = planned_edits(inputs, options);
  if (edits.empty()) {
    return run_documents(*store, inputs, options);  // says what is wrong with each
  }
  if (auto begun = datastore::begin_pending(**store, edits, revert_at, time); !begun) {
    return fail(begun.error());
  }
  auto outcomes = run_documents(*store, inputs, options);
  if (!std::ranges::any_of(outcomes, changed_something)) {
    if (const auto done = datastore::confirm_pending(**store); !done) {
      return fail(done.error());
    }
    return outcomes;
  }
  context.err() << "on trial: reverts at " << format_rfc3339(revert_at) << ", in " << time.count()
                << " s, unless `margayctl confirm` comes\n";
  return outcomes;
}

int confirm(Context& context, bool revert) {
  const auto store = context.store();
  if (!store) {
    return context.report(store.error());
  }
  if (!revert) {
    const auto confirmed = datastore::confirm_pending(**store);
    if (!confirmed) {
      return context.report(confirmed.error());
    }
    const std::size_t count = confirmed->edits.size();
    context.out() << "confirmed: " << count << " object" << plural(count) << '\n';
    return kDone;
  }
  const auto reverted = datastore::revert_pending(**store);
  if (!reverted) {
    return context.report(reverted.error());
  }
  for (const api::ResourceKey& key : reverted->restored) {
    context.out() << key.str() << " reverted\n";
  }
  for (const api::ResourceKey& key : reverted->left) {
    context.err() << "margayctl: " << key.str() << " was changed since: left as it is\n";
  }
  return reverted->left.empty() ? kDone : kFailed;
}

}  // namespace margay::cli
