#pragma once
// One change of the nftables table as a value: commands in the order the kernel applies them, all
// or none.
//
// A transaction is built by the reconciler, encoded by encode.h into one nfnetlink batch with a
// single commit, and can be applied to a model by a fake.

#include "kernel/model/nft.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace margay::nft {

using RuleHandle = Strong<struct RuleHandleTag, std::uint64_t>;  // never reused within a table

struct AddTable {};
struct DeleteTable {};  // with all it holds; the table must exist
struct AddCounter {
  std::string name;
};
struct DeleteCounter {
  std::string name;
};
struct AddSet {
  std::string name;
  SetSpec spec;
};
struct DeleteSet {
  std::string name;
};
struct AddElements {
  std::string set;
  SetSpec spec;
  Elements elements;
};
struct DeleteElements {
  std::string set;
  SetSpec spec;
  std::vector<ElementKey> elements;
};
struct AddChain {  // of an existing base chain: sets its policy
  std::string name;
  std::optional<Hook> hook;
};
struct DeleteChain {  // with its rules; nothing may jump to it any more
  std::string name;
};
struct FlushChain {
  std::string name;
};
struct AddRule {
  std::string chain;
  std::shared_ptr<const Rule> rule;
  std::optional<RuleHandle> before;  // absent: at the end
};
struct DeleteRule {
  std::string chain;
  RuleHandle handle;
};

using Command = std::variant<AddTable,
                             DeleteTable,
                             AddCounter,
                             DeleteCounter,
                             AddSet,
                             DeleteSet,
                             AddElements,
                             DeleteElements,
                             AddChain,
                             DeleteChain,
                             FlushChain,
                             AddRule,
                             DeleteRule>;
using Transaction = std::vector<Command>;

// "add rule to chain forward": for error messages.
[[nodiscard]] std::string describe(const Command& command);

}  // namespace margay::nft
