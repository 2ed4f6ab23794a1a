#pragma once
// Set elements <-> netlink attributes.
//
// A set with ranges over a single field (an rbtree in the kernel) holds each range as a start and
// an exclusive end with a flag; a concatenation with ranges holds both ends in one element; other
// sets hold plain keys.

#include "kernel/model/nft.h"

#include <string>
#include <vector>

struct nlattr;
struct nlmsghdr;

namespace margay::nft {

struct RawElement {
  std::string key;
  std::string key_end;  // concatenated ranges only
  bool interval_end = false;
  ElementData data;
};

// One or two raw elements. Keys and data must fit the set (see fits()).
[[nodiscard]] std::vector<RawElement> to_raw(const SetSpec& spec,
                                             const ElementKey& key,
                                             const ElementData& data);
[[nodiscard]] Elements from_raw(const SetSpec& spec, std::vector<RawElement> raw);
[[nodiscard]] bool fits(const SetSpec& spec, const ElementKey& key, const ElementData& data);

// with_data: false when an element is deleted.
void put_element(nlmsghdr* message, const SetSpec& spec, const RawElement& raw, bool with_data);
// The elements of a NFT_MSG_NEWSETELEM message.
void parse_elements(const nlmsghdr* message, std::vector<RawElement>& into);

}  // namespace margay::nft
