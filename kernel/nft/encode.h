#pragma once
// A transaction -> one nfnetlink batch: begin, commands, end; one commit. Pure: no socket.
//
// Many elements become several messages of the same batch. Equal transactions give equal bytes.

#include "base/result.h"
#include "kernel/nft/transaction.h"

#include <cstdint>
#include <string>
#include <vector>

namespace margay::nft {

struct Batch {
  std::vector<std::uint8_t> bytes;
  std::uint32_t first_sequence = 0;             // of the begin message
  std::vector<std::size_t> command_of_message;  // of the messages after it

  // The command that an error with this sequence number is about; `none` for begin and end.
  [[nodiscard]] std::size_t command_of(std::uint32_t sequence, std::size_t none) const;
};

// kInvalid for what cannot be encoded: a name that is too long, a Foreign statement, a key whose
// width does not fit the set.
[[nodiscard]] Result<Batch> encode(const Transaction& transaction,
                                   const std::string& table,
                                   std::uint32_t first_sequence);

}  // namespace margay::nft
