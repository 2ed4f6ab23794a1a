#include "kernel/nft/transaction.h"

namespace margay::nft {
namespace {

struct Describe {
  std::string operator()(const AddTable& /*command*/) const { return "add table"; }
  std::string operator()(const DeleteTable& /*command*/) const { return "delete table"; }
  std::string operator()(const AddCounter& c) const { return "add counter " + c.name; }
  std::string operator()(const DeleteCounter& c) const { return "delete counter " + c.name; }
  std::string operator()(const AddSet& c) const { return "add set " + c.name; }
  std::string operator()(const DeleteSet& c) const { return "delete set " + c.name; }
  std::string operator()(const AddElements& c) const {
    return fmt::format("add {} elements to set {}", c.elements.size(), c.set);
  }
  std::string operator()(const DeleteElements& c) const {
    return fmt::format("delete {} elements of set {}", c.elements.size(), c.set);
  }
  std::string operator()(const AddChain& c) const { return "add chain " + c.name; }
  std::string operator()(const DeleteChain& c) const { return "delete chain " + c.name; }
  std::string operator()(const FlushChain& c) const { return "flush chain " + c.name; }
  std::string operator()(const AddRule& c) const { return "add rule to chain " + c.chain; }
  std::string operator()(const DeleteRule& c) const {
    return fmt::format("delete rule {} of chain {}", c.handle.value(), c.chain);
  }
};

}  // namespace

std::string describe(const Command& command) {
  return std::visit(Describe{}, command);
}

}  // namespace margay::nft
