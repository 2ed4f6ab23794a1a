#pragma once
// CallJournal: the ADDs and DELs that are being worked on, so that the next agent undoes or
// finishes what a kill cut off.
//
// A file for each in STATE_DIR/calls, named after the host's interface: begun before anything is
// stored or wired, ended before an ADD is answered and after the link of a DEL is gone. Not synced:
// a kill of the agent leaves the file, and a machine that lost power has no container left. Several
// threads may begin and end calls about different interfaces.

#include "base/strong.h"
#include "felix/cni/release_journal.h"

#include <string>
#include <vector>

namespace margay::felix {

struct CutOffCall {
  PendingRelease call;
  IfName host_name;  // as the earlier agent named it, which another build may do in another way
  bool operator==(const CutOffCall&) const = default;
};

class CallJournal {
 public:
  // Reads what an earlier agent left; files that do not decode are removed.
  explicit CallJournal(const std::string& state_dir);

  // Fails when the state directory takes no file: an ADD is refused then.
  [[nodiscard]] Result<void> begin(const IfName& host_name, const PendingRelease& call) const;
  // Fails when the file stays: an ADD that the next agent would undo must not be answered.
  [[nodiscard]] Result<void> end(const IfName& host_name) const;

  // The calls of the earlier agent that nobody has ended yet. For one thread.
  [[nodiscard]] const std::vector<CutOffCall>& cut_off() const { return cut_off_; }
  void forget(const CutOffCall& call);

 private:
  [[nodiscard]] std::string path_of(const IfName& host_name) const;

  std::string state_dir_;
  std::string directory_;
  std::vector<CutOffCall> cut_off_;
};

}  // namespace margay::felix
