// What is owed to the store: releases of DELs that it did not take, and calls that an earlier agent
// did not end.

#include "felix/cni/cni_error.h"
#include "felix/cni/endpoint_work.h"

#include <algorithm>

namespace margay::felix {

namespace {

Identity identity_of(const PendingRelease& entry) {
  Identity identity;
  identity.container_id = entry.container_id;
  identity.ifname = entry.ifname;
  identity.handle = entry.handle;
  identity.ns = entry.ns;
  identity.endpoint = entry.endpoint;
  identity.host_name = host_interface_name(entry.container_id, entry.ifname);
  return identity;
}

// It is not about this entry: the others would fail alike.
bool takes_nothing(const Error& error) {
  return error.code == Errc::kUnavailable || error.code == Errc::kTimeout ||
         error.code == Errc::kExhausted || error.code == Errc::kPermission;
}

}  // namespace

// Whether the entries behind this one, which failed, have a chance.
bool EndpointWork::goes_on(const PendingRelease& entry, const Error& error) {
  if (takes_nothing(error)) {
    return false;
  }
  if (stuck_.insert(format_release(entry)).second) {
    log_("a release that is owed fails container=" + entry.container_id + " err=\"" + error.text +
         "\"");
  }
  return true;
}

void EndpointWork::replay_journal() {
  undo_cut_off();
  const std::vector<PendingRelease> entries = journal_.entries();
  std::vector<PendingRelease> done;
  for (const PendingRelease& entry : entries) {
    const Identity identity = identity_of(entry);
    if (const auto released = release_stored(identity); !released) {
      if (goes_on(entry, released.error())) {
        continue;
      }
      break;
    }
    unwire(identity);
    pass(at_step_, Step::kReplayReleased);
    stuck_.erase(format_release(entry));
    done.push_back(entry);
  }
  // Those that stay in the file are done again, which is why no ADD may come before.
  if (const auto removed = journal_.remove(done); !removed) {
    log_("forget releases that are done: " + removed.error().text);
  }
}

// An ADD that was never answered and a DEL that never ended come to the same: nothing is left.
void EndpointWork::undo_cut_off() {
  const std::vector<CutOffCall> calls = calls_.cut_off();
  for (const CutOffCall& cut_off : calls) {
    const PendingRelease& call = cut_off.call;
    Identity identity = identity_of(call);
    identity.host_name = cut_off.host_name;
    unwire(identity);
    if (const auto released = release_stored(identity); !released) {
      if (goes_on(call, released.error())) {
        continue;
      }
      return;
    }
    log_("a call that an earlier agent did not end is undone container=" + call.container_id);
    calls_.forget(cut_off);
  }
}

Result<void, cni::CniError> EndpointWork::nothing_owed(const Identity& identity) const {
  const auto is_same = [&identity](const PendingRelease& entry) {
    return entry.container_id == identity.container_id && entry.ifname == identity.ifname;
  };
  if (std::ranges::none_of(journal_.entries(), is_same) &&
      std::ranges::none_of(calls_.cut_off(), is_same, &CutOffCall::call)) {
    return {};
  }
  return fail(plain_error(cni::Code::kTryAgainLater,
                          "an earlier release of container " + identity.container_id +
                              " interface " + identity.ifname + " is still owed to the datastore",
                          "make room for the datastore and the state directory of the agent, or "
                          "see its log; the call may be repeated"));
}

}  // namespace margay::felix
