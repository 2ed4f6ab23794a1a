#pragma once
// NftKernel: the kernel's side of one nftables table of family inet.
//
// One thread at a time. The real one talks nfnetlink over a socket of the network namespace it was
// opened in: every commit is one batch, so either all of a transaction is in force or nothing. Its
// monitor sees only what others do to the table: changes made through this object are filtered by
// the kernel before they reach the queue.

#include "base/result.h"
#include "kernel/nft/transaction.h"

#include <memory>
#include <string>
#include <vector>

namespace margay::nft {

struct CommitError {
  std::size_t command = 0;  // index in the transaction; its size when none can be named
  Error error;
};

struct Changes {
  bool foreign = false;  // someone else changed the table
  bool overrun = false;  // notifications were lost: read everything again
};

class NftKernel {
 public:
  virtual ~NftKernel() = default;

  [[nodiscard]] virtual Result<void, CommitError> commit(const Transaction& transaction) = 0;
  // All that the table holds, in canonical form; nothing when there is no such table.
  [[nodiscard]] virtual Result<std::optional<Table>> dump() = 0;
  // Handles of the rules of a chain, in order.
  [[nodiscard]] virtual Result<std::vector<RuleHandle>> rule_handles(const std::string& chain) = 0;
  // Readable when someone else may have changed the table; -1 if there is nothing to wait for.
  [[nodiscard]] virtual int event_descriptor() const = 0;
  [[nodiscard]] virtual Changes take_changes() = 0;
};

// Opens sockets in the calling thread's network namespace.
[[nodiscard]] Result<std::unique_ptr<NftKernel>> open_nft_kernel(const std::string& table);

}  // namespace margay::nft
