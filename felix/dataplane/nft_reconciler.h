#pragma once
// NftReconciler: makes the kernel's table equal to the desired one, by the smallest transaction.
//
// Desired changes come as deltas and cost what they change: only the names in a delta are compared
// on apply. Everything of one apply is one transaction, ordered so that nothing refers to what is
// not there yet and nothing is removed while something refers to it; only base chains that leave
// take a second one, see table_between(). At the start, after an
// overrun, after a change by someone else and after a rejected transaction the table is read back
// and compared whole; if it is as desired, nothing is written. A table that was flushed or deleted
// comes back in one transaction. Not thread-safe: lives on the dataplane worker.

#include "felix/dataplane/backoff.h"
#include "felix/dataplane/nft_plan.h"
#include "felix/dataplane/report.h"
#include "kernel/nft/nft_kernel.h"

#include <string>

namespace margay::felix {

class NftReconciler {
 public:
  explicit NftReconciler(nft::NftKernel& kernel) : kernel_(kernel) {}

  void set_desired(nft::Delta delta);
  void set_desired(nft::Table table);
  // Nothing is written before the first call with true: an empty desired table is not yet a wish.
  void set_in_sync(bool in_sync) { in_sync_ = in_sync; }

  [[nodiscard]] ApplyReport apply();
  // Takes notifications of the kernel; true when apply() has work.
  bool on_event();
  void resync() { observed_valid_ = false; }

  [[nodiscard]] const nft::Table& desired() const { return desired_; }

 private:
  Result<void> read_back();
  // One transaction from what is observed to `target`; fresh: it was read for this apply.
  ApplyReport move_to(const nft::Table& target, bool fresh);
  Result<nft::Transaction> plan(const nft::Table& target);
  ApplyReport failed(std::string what, Error error);

  nft::NftKernel& kernel_;
  nft::Table desired_;
  nft::Table observed_;
  bool table_exists_ = false;
  bool observed_valid_ = false;
  bool refused_ = false;  // the last transaction was, of a table that had just been read
  bool rebuild_ = false;  // and the one before it: write the whole table anew
  bool in_sync_ = false;
  NftDirty dirty_;
  Backoff backoff_;
};

}  // namespace margay::felix
