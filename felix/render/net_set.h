#pragma once
// NetSet: networks of which some lie in others, and the outermost ones, which are what an interval
// set of the kernel can hold. Both operations cost the networks next to the one that changes.

#include "base/ip_addr.h"

#include <set>
#include <vector>

namespace margay::felix {

class NetSet {
 public:
  struct Change {
    std::vector<Prefix> add;  // became outermost
    std::vector<Prefix> remove;
  };
  // Adding what is there and removing what is not change nothing.
  Change insert(const Prefix& net);
  Change erase(const Prefix& net);

  [[nodiscard]] bool empty() const { return all_.empty(); }
  [[nodiscard]] const std::set<Prefix>& outermost() const { return outermost_; }

 private:
  [[nodiscard]] std::vector<Prefix> inside(const std::set<Prefix>& nets, const Prefix& net) const;

  std::set<Prefix> all_;  // by address, shorter first: what lies in a network follows it
  std::set<Prefix> outermost_;
};

}  // namespace margay::felix
