#include "kernel/nft/dump.h"

#include "kernel/nft/element_codec.h"
#include "kernel/nft/fields.h"
#include "kernel/nft/handles.h"
#include "kernel/nft/rule_codec.h"

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/gen.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <memory>

namespace margay::nft {
namespace {

constexpr int kAttempts = 10;

// A request and the place for its attributes.
class Request {
 public:
  Request(NetlinkSocket& socket, std::uint16_t type, std::uint16_t flags)
      : socket_(socket),
        header_(nftnl_nlmsg_build_hdr(
            bytes_.data(), type, NFPROTO_INET, flags, socket.next_sequence())) {}

  Request& with(std::uint16_t attribute, const std::string& text) {
    mnl_attr_put_strz(header_, attribute, text.c_str());
    return *this;
  }
  Result<void> run(const std::function<void(const nlmsghdr*)>& on_message) {
    return socket_.dump({reinterpret_cast<const std::uint8_t*>(bytes_.data()), header_->nlmsg_len},
                        on_message);
  }

 private:
  static constexpr std::size_t kBytes = 1024;
  NetlinkSocket& socket_;
  alignas(nlmsghdr) std::array<char, kBytes> bytes_{};
  nlmsghdr* header_;
};

bool is_in(const char* found, const std::string& table) {
  return found != nullptr && table == found;
}

Result<std::uint32_t> generation(NetlinkSocket& socket) {
  std::uint32_t id = 0;
  const auto done = Request(socket, NFT_MSG_GETGEN, NLM_F_ACK).run([&id](const nlmsghdr* message) {
    const GenPtr gen(nftnl_gen_alloc());
    if (nftnl_gen_nlmsg_parse(message, gen.get()) == 0) {
      id = nftnl_gen_get_u32(gen.get(), NFTNL_GEN_ID);
    }
  });
  if (!done) {
    return fail(done.error(), "read the nftables generation");
  }
  return id;
}

Result<bool> exists(NetlinkSocket& socket, const std::string& table) {
  bool found = false;
  const auto done = Request(socket, NFT_MSG_GETTABLE, NLM_F_ACK)
                        .with(NFTA_TABLE_NAME, table)
                        .run([&found](const nlmsghdr* /*message*/) { found = true; });
  if (!done && done.error().sys_errno != ENOENT) {
    return fail(done.error(), "look for table {}", table);
  }
  return done.has_value() && found;
}

Result<void> dump_counters(NetlinkSocket& socket, const std::string& name, Table& table) {
  return Request(socket, NFT_MSG_GETOBJ, NLM_F_DUMP)
      .with(NFTA_OBJ_TABLE, name)
      .run([&](const nlmsghdr* message) {
        const ObjectPtr object(nftnl_obj_alloc());
        if (nftnl_obj_nlmsg_parse(message, object.get()) == 0 &&
            is_in(nftnl_obj_get_str(object.get(), NFTNL_OBJ_TABLE), name) &&
            nftnl_obj_get_u32(object.get(), NFTNL_OBJ_TYPE) == NFT_OBJECT_COUNTER) {
          table.counters.insert(nftnl_obj_get_str(object.get(), NFTNL_OBJ_NAME));
        }
      });
}

// A concatenation's types share one number, the last in its lowest bits (nft's datatype.h). Nothing
// for one that we do not write.
std::optional<DataTypes> types_of(std::uint32_t number) {
  DataTypes types;
  for (; number != 0; number >>= kTypeBits) {
    const auto type = type_of(number & ((1U << kTypeBits) - 1U));
    if (!type) {
      return std::nullopt;
    }
    types.insert(types.begin(), *type);
  }
  return types.empty() ? std::nullopt : std::optional(std::move(types));
}

// The spec has no key when the set is of a kind that we do not write.
SetSpec decode_set(const nftnl_set* set) {
  constexpr std::uint32_t kOurFlags =
      NFT_SET_ANONYMOUS | NFT_SET_CONSTANT | NFT_SET_INTERVAL | NFT_SET_MAP | NFT_SET_CONCAT;
  SetSpec spec;
  const std::uint32_t flags =
      nftnl_set_is_set(set, NFTNL_SET_FLAGS) ? nftnl_set_get_u32(set, NFTNL_SET_FLAGS) : 0U;
  auto key = types_of(nftnl_set_get_u32(set, NFTNL_SET_KEY_TYPE));
  bool known = (flags & ~kOurFlags) == 0 && key.has_value();
  spec.key = std::move(key).value_or(DataTypes{});
  spec.interval = (flags & NFT_SET_INTERVAL) != 0;
  spec.constant = (flags & NFT_SET_CONSTANT) != 0;
  if ((flags & NFT_SET_MAP) != 0) {
    const std::uint32_t data = nftnl_set_get_u32(set, NFTNL_SET_DATA_TYPE);
    if (data == NFT_DATA_VERDICT) {
      spec.data = VerdictData{};
    } else if (auto types = types_of(data)) {
      spec.data = std::move(*types);
    } else {
      known = false;
    }
  }
  if (!known || key_bytes(spec.key) != nftnl_set_get_u32(set, NFTNL_SET_KEY_LEN)) {
    spec.key.clear();
  }
  return spec;
}

Result<void> dump_sets(NetlinkSocket& socket, const std::string& name, Table& table) {
  auto done = Request(socket, NFT_MSG_GETSET, NLM_F_DUMP)
                  .with(NFTA_SET_TABLE, name)
                  .run([&](const nlmsghdr* message) {
                    const SetPtr set(nftnl_set_alloc());
                    if (nftnl_set_nlmsg_parse(message, set.get()) == 0 &&
                        is_in(nftnl_set_get_str(set.get(), NFTNL_SET_TABLE), name)) {
                      table.sets[nftnl_set_get_str(set.get(), NFTNL_SET_NAME)].spec =
                          decode_set(set.get());
                    }
                  });
  if (!done) {
    return done;
  }
  for (auto& [set_name, set] : table.sets) {
    if (set.spec.key.empty()) {
      continue;
    }
    std::vector<RawElement> raw;
    auto read = Request(socket, NFT_MSG_GETSETELEM, NLM_F_DUMP)
                    .with(NFTA_SET_ELEM_LIST_TABLE, name)
                    .with(NFTA_SET_ELEM_LIST_SET, set_name)
                    .run([&raw](const nlmsghdr* message) { parse_elements(message, raw); });
    if (!read) {
      return read;
    }
    set.elements = from_raw(set.spec, std::move(raw));
  }
  return {};
}

std::optional<HookPoint> hook_point(std::uint32_t number) {
  switch (number) {
    case NF_INET_PRE_ROUTING:
      return HookPoint::kPrerouting;
    case NF_INET_LOCAL_IN:
      return HookPoint::kInput;
    case NF_INET_FORWARD:
      return HookPoint::kForward;
    case NF_INET_LOCAL_OUT:
      return HookPoint::kOutput;
    case NF_INET_POST_ROUTING:
      return HookPoint::kPostrouting;
    default:
      return std::nullopt;
  }
}

std::optional<Hook> decode_hook(const nftnl_chain* chain) {
  if (!nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM)) {
    return std::nullopt;
  }
  const auto point = hook_point(nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM));
  Hook hook;
  hook.point = point.value_or(HookPoint::kPrerouting);
  hook.priority = static_cast<std::int32_t>(nftnl_chain_get_u32(chain, NFTNL_CHAIN_PRIO));
  hook.policy =
      nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY) == NF_DROP ? Policy::kDrop : Policy::kAccept;
  const char* type = nftnl_chain_get_str(chain, NFTNL_CHAIN_TYPE);
  const std::string_view name = type == nullptr ? "" : type;
  hook.type = name == "nat"     ? ChainType::kNat
              : name == "route" ? ChainType::kRoute
                                : ChainType::kFilter;
  return hook;
}

Result<void> dump_chains(NetlinkSocket& socket, const std::string& name, Table& table) {
  return Request(socket, NFT_MSG_GETCHAIN, NLM_F_DUMP)
      .with(NFTA_CHAIN_TABLE, name)
      .run([&](const nlmsghdr* message) {
        const ChainPtr chain(nftnl_chain_alloc());
        if (nftnl_chain_nlmsg_parse(message, chain.get()) == 0 &&
            is_in(nftnl_chain_get_str(chain.get(), NFTNL_CHAIN_TABLE), name)) {
          table.chains[nftnl_chain_get_str(chain.get(), NFTNL_CHAIN_NAME)].hook =
              decode_hook(chain.get());
        }
      });
}

Result<void> dump_rules(NetlinkSocket& socket, const std::string& name, Table& table) {
  return Request(socket, NFT_MSG_GETRULE, NLM_F_DUMP)
      .with(NFTA_RULE_TABLE, name)
      .run([&](const nlmsghdr* message) {
        const RulePtr rule(nftnl_rule_alloc());
        if (nftnl_rule_nlmsg_parse(message, rule.get()) == 0 &&
            is_in(nftnl_rule_get_str(rule.get(), NFTNL_RULE_TABLE), name)) {
          table.chains[nftnl_rule_get_str(rule.get(), NFTNL_RULE_CHAIN)].rules.push_back(
              decode_rule(rule.get()));
        }
      });
}

Result<std::optional<Table>> dump_once(NetlinkSocket& socket, const std::string& name) {
  const auto found = exists(socket, name);
  if (!found) {
    return fail(found.error());
  }
  if (!*found) {
    return std::optional<Table>();
  }
  Table table;
  for (const auto& part : {dump_counters, dump_sets, dump_chains, dump_rules}) {
    if (const auto done = part(socket, name, table); !done) {
      return fail(done.error(), "read table {}", name);
    }
  }
  return std::optional(std::move(table));
}

}  // namespace

Result<std::optional<Table>> dump_table(NetlinkSocket& socket, const std::string& table) {
  Error last{Errc::kUnavailable, "the ruleset changes all the time", EINTR};
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto before = generation(socket);
    if (!before) {
      return fail(before.error());
    }
    auto dumped = dump_once(socket, table);
    // An interrupted dump, or a table that vanished between two requests: read it again.
    if (!dumped && dumped.error().sys_errno != EINTR && dumped.error().sys_errno != ENOENT) {
      return dumped;
    }
    const auto after = generation(socket);
    if (!after) {
      return fail(after.error());
    }
    if (dumped && *before == *after) {
      return dumped;
    }
    if (!dumped) {
      last = dumped.error();
    }
  }
  return fail(last, "read table {}", table);
}

Result<std::vector<RuleHandle>> dump_rule_handles(NetlinkSocket& socket,
                                                  const std::string& table,
                                                  const std::string& chain) {
  std::vector<RuleHandle> handles;
  const auto done = Request(socket, NFT_MSG_GETRULE, NLM_F_DUMP)
                        .with(NFTA_RULE_TABLE, table)
                        .with(NFTA_RULE_CHAIN, chain)
                        .run([&](const nlmsghdr* message) {
                          const RulePtr rule(nftnl_rule_alloc());
                          if (nftnl_rule_nlmsg_parse(message, rule.get()) == 0 &&
                              is_in(nftnl_rule_get_str(rule.get(), NFTNL_RULE_CHAIN), chain)) {
                            handles.emplace_back(nftnl_rule_get_u64(rule.get(), NFTNL_RULE_HANDLE));
                          }
                        });
  if (!done) {
    return fail(done.error(), "read the rules of chain {}", chain);
  }
  return handles;
}

}  // namespace margay::nft
