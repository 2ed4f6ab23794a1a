#pragma once
// Owning pointers of libnftnl's objects, and what encoding and decoding share. Internal to
// kernel/nft.

#include <libnftnl/chain.h>
#include <libnftnl/gen.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>

#include <memory>

namespace margay::nft {

// Bits of each part in the type number of a concatenation.
inline constexpr unsigned kTypeBits = 6;

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using GenPtr = std::unique_ptr<nftnl_gen, Freer<nftnl_gen_free>>;
using TablePtr = std::unique_ptr<nftnl_table, Freer<nftnl_table_free>>;
using ChainPtr = std::unique_ptr<nftnl_chain, Freer<nftnl_chain_free>>;
using RulePtr = std::unique_ptr<nftnl_rule, Freer<nftnl_rule_free>>;
using SetPtr = std::unique_ptr<nftnl_set, Freer<nftnl_set_free>>;
using ObjectPtr = std::unique_ptr<nftnl_obj, Freer<nftnl_obj_free>>;
using UserDataPtr = std::unique_ptr<nftnl_udata_buf, Freer<nftnl_udata_buf_free>>;

}  // namespace margay::nft
