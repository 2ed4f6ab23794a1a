#pragma once
// StoreChecker: a process of its own that sees every change of a store, in order, and judges each
// by rules that know nothing of ipam/: written after the design, not after the code.
//
//   - an ordinal of a block is either free, once, or held;
//   - a held address changes hands by way of being free;
//   - blocks do not overlap, and at most one node is the confirmed owner of one;
//   - a handle counts at least what blocks hold for it, at every moment.

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace margay::ipam {

class StoreChecker {
 public:
  // Before the first change that counts.
  explicit StoreChecker(const std::string& url);
  ~StoreChecker();
  StoreChecker(const StoreChecker&) = delete;
  StoreChecker& operator=(const StoreChecker&) = delete;

  // Waits until it has seen everything up to the revision: "N changes" when all was well, else what
  // was not.
  std::string end(std::uint64_t revision);

 private:
  pid_t pid_ = -1;
  int to_ = -1;
  int from_ = -1;
};

}  // namespace margay::ipam
