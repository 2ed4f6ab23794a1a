#include "kernel/nft/encode.h"

#include "kernel/nft/element_codec.h"
#include "kernel/nft/fields.h"
#include "kernel/nft/handles.h"
#include "kernel/nft/rule_codec.h"

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <memory>

namespace margay::nft {
namespace {

constexpr std::size_t kMaxMessage = 98304;       // largest single message we build
constexpr std::size_t kElementsMessage = 32768;  // elements per message: attributes end at 64 KiB
constexpr std::size_t kMaxName = 127;
constexpr std::size_t kMaxSetUserData = 64;

std::uint32_t hook_number(HookPoint point) {
  switch (point) {
    case HookPoint::kPrerouting:
      return NF_INET_PRE_ROUTING;
    case HookPoint::kInput:
      return NF_INET_LOCAL_IN;
    case HookPoint::kForward:
      return NF_INET_FORWARD;
    case HookPoint::kOutput:
      return NF_INET_LOCAL_OUT;
    case HookPoint::kPostrouting:
      return NF_INET_POST_ROUTING;
  }
  return NF_INET_FORWARD;
}

const char* type_name(ChainType type) {
  switch (type) {
    case ChainType::kFilter:
      return "filter";
    case ChainType::kNat:
      return "nat";
    case ChainType::kRoute:
      return "route";
  }
  return "filter";
}

std::uint32_t byte_order(bool host) {
  constexpr std::uint32_t kHost = 1;  // nft's enum byteorder
  constexpr std::uint32_t kBig = 2;
  return host ? kHost : kBig;
}

class Encoder {
 public:
  Encoder(const std::string& table, std::uint32_t first_sequence)
      : table_(table),
        sequence_(first_sequence),
        scratch_(std::make_unique_for_overwrite<char[]>(kMaxMessage)) {
    batch_.first_sequence = first_sequence;
    nftnl_batch_begin(scratch_.get(), sequence_++);
    append();
  }

  Result<void> add(const Command& command, std::size_t index) {
    index_ = index;
    return std::visit(*this, command);
  }

  Batch finish() {
    // The kernel answers the last command once the whole batch is committed.
    if (last_ != 0) {
      reinterpret_cast<nlmsghdr*>(batch_.bytes.data() + last_)->nlmsg_flags |= NLM_F_ACK;
    }
    nftnl_batch_end(scratch_.get(), sequence_++);
    append();
    return std::move(batch_);
  }

  Result<void> operator()(const AddTable& /*command*/) {
    return table_message(NFT_MSG_NEWTABLE, NLM_F_CREATE);
  }
  Result<void> operator()(const DeleteTable& /*command*/) {
    return table_message(NFT_MSG_DELTABLE, 0);
  }
  Result<void> operator()(const AddCounter& command) {
    return counter_message(NFT_MSG_NEWOBJ, NLM_F_CREATE, command.name);
  }
  Result<void> operator()(const DeleteCounter& command) {
    return counter_message(NFT_MSG_DELOBJ, 0, command.name);
  }
  Result<void> operator()(const AddSet& command);
  Result<void> operator()(const DeleteSet& command) {
    const SetPtr set(nftnl_set_alloc());
    nftnl_set_set_str(set.get(), NFTNL_SET_TABLE, table_.c_str());
    nftnl_set_set_str(set.get(), NFTNL_SET_NAME, command.name.c_str());
    nftnl_set_nlmsg_build_payload(begin(NFT_MSG_DELSET, 0), set.get());
    commit();
    return {};
  }
  Result<void> operator()(const AddElements& command) {
    ElementWriter writer(*this, NFT_MSG_NEWSETELEM, NLM_F_CREATE, command.set);
    for (const auto& [element_key, data] : command.elements) {
      if (!fits(command.spec, element_key, data)) {
        return misfit(command.set);
      }
      writer.put(command.spec, element_key, data, true);
    }
    writer.finish();
    return {};
  }
  Result<void> operator()(const DeleteElements& command) {
    ElementWriter writer(*this, NFT_MSG_DELSETELEM, 0, command.set);
    for (const ElementKey& element_key : command.elements) {
      if (element_key.from.bytes().size() != padded(key_bytes(command.spec.key))) {
        return misfit(command.set);
      }
      writer.put(command.spec, element_key, {}, false);
    }
    writer.finish();
    return {};
  }
  Result<void> operator()(const AddChain& command);
  Result<void> operator()(const DeleteChain& command) {
    const ChainPtr chain = named_chain(command.name);
    nftnl_chain_nlmsg_build_payload(begin(NFT_MSG_DELCHAIN, 0), chain.get());
    commit();
    return {};
  }
  Result<void> operator()(const FlushChain& command) {
    const RulePtr rule = rule_in(command.name);
    nftnl_rule_nlmsg_build_payload(begin(NFT_MSG_DELRULE, 0), rule.get());
    commit();
    return {};
  }
  Result<void> operator()(const AddRule& command);
  Result<void> operator()(const DeleteRule& command) {
    const RulePtr rule = rule_in(command.chain);
    nftnl_rule_set_u64(rule.get(), NFTNL_RULE_HANDLE, command.handle.value());
    nftnl_rule_nlmsg_build_payload(begin(NFT_MSG_DELRULE, 0), rule.get());
    commit();
    return {};
  }

 private:
  // Elements in as few messages as fit.
  class ElementWriter {
   public:
    ElementWriter(Encoder& encoder, std::uint16_t type, std::uint16_t flags, const std::string& set)
        : encoder_(encoder), type_(type), flags_(flags), set_(set) {}

    void put(const SetSpec& spec,
             const ElementKey& element_key,
             const ElementData& data,
             bool with_data) {
      if (message_ != nullptr && message_->nlmsg_len > kElementsMessage) {
        finish();
      }
      if (message_ == nullptr) {
        message_ = encoder_.begin(type_, flags_);
        mnl_attr_put_strz(message_, NFTA_SET_ELEM_LIST_TABLE, encoder_.table_.c_str());
        mnl_attr_put_strz(message_, NFTA_SET_ELEM_LIST_SET, set_.c_str());
        nest_ = mnl_attr_nest_start(message_, NFTA_SET_ELEM_LIST_ELEMENTS);
      }
      for (const RawElement& raw : to_raw(spec, element_key, data)) {
        put_element(message_, spec, raw, with_data);
      }
    }
    void finish() {
      if (message_ != nullptr) {
        mnl_attr_nest_end(message_, nest_);
        message_ = nullptr;
        encoder_.commit();
      }
    }

   private:
    Encoder& encoder_;
    std::uint16_t type_;
    std::uint16_t flags_;
    const std::string& set_;
    nlmsghdr* message_ = nullptr;
    nlattr* nest_ = nullptr;
  };

  nlmsghdr* begin(std::uint16_t type, std::uint16_t flags) {
    return nftnl_nlmsg_build_hdr(scratch_.get(), type, NFPROTO_INET, flags, sequence_);
  }
  void commit() {
    ++sequence_;
    last_ = batch_.bytes.size();
    batch_.command_of_message.push_back(index_);
    append();
  }
  void append() {
    const auto* message = reinterpret_cast<const nlmsghdr*>(scratch_.get());
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(scratch_.get());
    batch_.bytes.insert(batch_.bytes.end(), bytes, bytes + message->nlmsg_len);
    batch_.bytes.resize(padded(batch_.bytes.size()), 0);
  }

  static Result<void> check_name(const std::string& name) {
    if (name.empty() || name.size() > kMaxName) {
      return fail(Errc::kInvalid, "name \"{}\": expected 1 to {} bytes", name, kMaxName);
    }
    return {};
  }
  static Result<void> misfit(const std::string& set) {
    return fail(Errc::kInvalid, "set {}: an element does not have the types of the set", set);
  }

  Result<void> table_message(std::uint16_t type, std::uint16_t flags) {
    const TablePtr table(nftnl_table_alloc());
    nftnl_table_set_str(table.get(), NFTNL_TABLE_NAME, table_.c_str());
    nftnl_table_nlmsg_build_payload(begin(type, flags), table.get());
    commit();
    return {};
  }
  Result<void> counter_message(std::uint16_t type, std::uint16_t flags, const std::string& name) {
    if (auto checked = check_name(name); !checked) {
      return checked;
    }
    const ObjectPtr counter(nftnl_obj_alloc());
    nftnl_obj_set_str(counter.get(), NFTNL_OBJ_TABLE, table_.c_str());
    nftnl_obj_set_str(counter.get(), NFTNL_OBJ_NAME, name.c_str());
    nftnl_obj_set_u32(counter.get(), NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
    nftnl_obj_nlmsg_build_payload(begin(type, flags), counter.get());
    commit();
    return {};
  }
  [[nodiscard]] ChainPtr named_chain(const std::string& name) const {
    ChainPtr chain(nftnl_chain_alloc());
    nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TABLE, table_.c_str());
    nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_NAME, name.c_str());
    return chain;
  }
  [[nodiscard]] RulePtr rule_in(const std::string& chain) const {
    RulePtr rule(nftnl_rule_alloc());
    nftnl_rule_set_str(rule.get(), NFTNL_RULE_TABLE, table_.c_str());
    nftnl_rule_set_str(rule.get(), NFTNL_RULE_CHAIN, chain.c_str());
    return rule;
  }

  const std::string& table_;
  std::uint32_t sequence_;
  std::unique_ptr<char[]> scratch_;
  std::size_t index_ = 0;
  std::size_t last_ = 0;  // where the last command starts
  std::uint32_t next_set_id_ = 1;
  Batch batch_;
};

std::uint32_t type_number(const DataTypes& types) {
  std::uint32_t number = 0;
  for (const DataType type : types) {
    number = (number << kTypeBits) | code_of(type).number;
  }
  return number;
}
bool is_host_order(const DataTypes& types) {
  return types.size() == 1 && code_of(types.front()).host_order;
}

void describe_key(nftnl_set* set, const SetSpec& spec) {
  std::vector<std::uint8_t> widths;
  widths.reserve(spec.key.size());
  for (const DataType type : spec.key) {
    widths.push_back(static_cast<std::uint8_t>(code_of(type).bytes));
  }
  nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, type_number(spec.key));
  nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, key_bytes(spec.key));
  if (widths.size() > 1 && spec.interval) {
    nftnl_set_set_data(
        set, NFTNL_SET_DESC_CONCAT, widths.data(), static_cast<std::uint32_t>(widths.size()));
  }
}

std::uint32_t flags_of(const SetSpec& spec) {
  std::uint32_t flags = 0;
  flags |= spec.interval ? std::uint32_t{NFT_SET_INTERVAL} : 0U;
  flags |= spec.constant ? std::uint32_t{NFT_SET_CONSTANT} : 0U;
  flags |= spec.is_map() ? std::uint32_t{NFT_SET_MAP} : 0U;
  flags |= spec.interval && spec.key.size() > 1 ? std::uint32_t{NFT_SET_CONCAT} : 0U;
  return flags;
}

Result<void> Encoder::operator()(const AddSet& command) {
  if (auto checked = check_name(command.name); !checked) {
    return checked;
  }
  const SetSpec& spec = command.spec;
  constexpr std::size_t kMaxParts = 5;  // a type number has 32 bits
  if (spec.key.empty() || spec.key.size() > kMaxParts) {
    return fail(Errc::kInvalid, "set {}: {} parts in a key", command.name, spec.key.size());
  }
  const SetPtr set(nftnl_set_alloc());
  nftnl_set_set_str(set.get(), NFTNL_SET_TABLE, table_.c_str());
  nftnl_set_set_str(set.get(), NFTNL_SET_NAME, command.name.c_str());
  nftnl_set_set_u32(set.get(), NFTNL_SET_ID, next_set_id_++);
  nftnl_set_set_u32(set.get(), NFTNL_SET_FLAGS, flags_of(spec));
  describe_key(set.get(), spec);
  bool data_host_order = false;
  if (std::holds_alternative<VerdictData>(spec.data)) {
    nftnl_set_set_u32(set.get(), NFTNL_SET_DATA_TYPE, NFT_DATA_VERDICT);
  } else if (const auto* types = std::get_if<DataTypes>(&spec.data)) {
    nftnl_set_set_u32(set.get(), NFTNL_SET_DATA_TYPE, type_number(*types));
    nftnl_set_set_u32(set.get(), NFTNL_SET_DATA_LEN, key_bytes(*types));
    data_host_order = is_host_order(*types);
  }
  // What `nft list` needs to print the elements.
  const UserDataPtr user(nftnl_udata_buf_alloc(kMaxSetUserData));
  nftnl_udata_put_u32(
      user.get(), NFTNL_UDATA_SET_KEYBYTEORDER, byte_order(is_host_order(spec.key)));
  if (spec.is_map()) {
    nftnl_udata_put_u32(user.get(), NFTNL_UDATA_SET_DATABYTEORDER, byte_order(data_host_order));
  }
  nftnl_set_set_data(set.get(),
                     NFTNL_SET_USERDATA,
                     nftnl_udata_buf_data(user.get()),
                     nftnl_udata_buf_len(user.get()));
  nftnl_set_nlmsg_build_payload(begin(NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL), set.get());
  commit();
  return {};
}

Result<void> Encoder::operator()(const AddChain& command) {
  if (auto checked = check_name(command.name); !checked) {
    return checked;
  }
  const ChainPtr chain = named_chain(command.name);
  if (command.hook) {
    nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TYPE, type_name(command.hook->type));
    nftnl_chain_set_u32(chain.get(), NFTNL_CHAIN_HOOKNUM, hook_number(command.hook->point));
    nftnl_chain_set_u32(
        chain.get(), NFTNL_CHAIN_PRIO, static_cast<std::uint32_t>(command.hook->priority));
    nftnl_chain_set_u32(chain.get(),
                        NFTNL_CHAIN_POLICY,
                        command.hook->policy == Policy::kAccept ? NF_ACCEPT : NF_DROP);
  }
  nftnl_chain_nlmsg_build_payload(begin(NFT_MSG_NEWCHAIN, NLM_F_CREATE), chain.get());
  commit();
  return {};
}

Result<void> Encoder::operator()(const AddRule& command) {
  const auto is_foreign = [](const Statement& statement) {
    return std::holds_alternative<Foreign>(statement);
  };
  if (std::ranges::any_of(command.rule->statements, is_foreign)) {
    return fail(Errc::kInvalid, "chain {}: a rule with a foreign statement", command.chain);
  }
  if (command.rule->statements.size() > kMaxStatements) {
    return fail(Errc::kInvalid,
                "chain {}: a rule with {} statements, at most {} are possible",
                command.chain,
                command.rule->statements.size(),
                kMaxStatements);
  }
  const RulePtr rule = rule_in(command.chain);
  std::uint16_t flags = NLM_F_CREATE | NLM_F_APPEND;
  if (command.before) {
    nftnl_rule_set_u64(rule.get(), NFTNL_RULE_POSITION, command.before->value());
    flags = NLM_F_CREATE;  // without NLM_F_APPEND: in front of the position
  }
  encode_rule(*command.rule, rule.get());
  nftnl_rule_nlmsg_build_payload(begin(NFT_MSG_NEWRULE, flags), rule.get());
  commit();
  return {};
}

}  // namespace

std::size_t Batch::command_of(std::uint32_t sequence, std::size_t none) const {
  const std::uint32_t message = sequence - first_sequence;  // 0 is the begin message
  return message >= 1 && message <= command_of_message.size() ? command_of_message[message - 1]
                                                              : none;
}

Result<Batch> encode(const Transaction& transaction,
                     const std::string& table,
                     std::uint32_t first_sequence) {
  Encoder encoder(table, first_sequence);
  for (std::size_t i = 0; i < transaction.size(); ++i) {
    if (const auto added = encoder.add(transaction[i], i); !added) {
      return fail(added.error(), "{}", describe(transaction[i]));
    }
  }
  return encoder.finish();
}

}  // namespace margay::nft
