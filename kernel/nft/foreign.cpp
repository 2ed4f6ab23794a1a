#include "kernel/nft/foreign.h"

#include "kernel/netlink/socket.h"
#include "kernel/nft/handles.h"

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>

namespace margay::nft {

namespace {

constexpr int kForeignBuffer = 1 << 20;

const char* family_name(std::uint32_t family) {
  switch (family) {
    case NFPROTO_IPV4:
      return "ip";
    case NFPROTO_IPV6:
      return "ip6";
    case NFPROTO_INET:
      return "inet";
    default:
      return nullptr;
  }
}

Result<void> dump_all(NetlinkSocket& socket,
                      std::uint16_t type,
                      const std::function<void(const nlmsghdr*)>& on_message) {
  constexpr std::size_t kBytes = 256;
  alignas(nlmsghdr) std::array<char, kBytes> bytes{};
  const nlmsghdr* header =
      nftnl_nlmsg_build_hdr(bytes.data(), type, NFPROTO_UNSPEC, NLM_F_DUMP, socket.next_sequence());
  return socket.dump({reinterpret_cast<const std::uint8_t*>(bytes.data()), header->nlmsg_len},
                     on_message);
}

std::string text_of(const nftnl_chain* chain, std::uint16_t attribute) {
  const char* text = nftnl_chain_get_str(chain, attribute);
  return text == nullptr ? std::string() : text;
}

std::optional<ForeignFilter> decode_filter(const nftnl_chain* chain, const std::string& own) {
  const char* family = family_name(nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY));
  if (family == nullptr || nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM) == 0) {
    return std::nullopt;
  }
  ForeignFilter filter;
  filter.family = family;
  filter.table = text_of(chain, NFTNL_CHAIN_TABLE);
  filter.chain = text_of(chain, NFTNL_CHAIN_NAME);
  if (filter.table == own && filter.family == "inet") {
    return std::nullopt;
  }
  filter.hook = static_cast<HookPoint>(nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM));
  filter.priority = nftnl_chain_get_s32(chain, NFTNL_CHAIN_PRIO);
  filter.drops_by_policy = nftnl_chain_is_set(chain, NFTNL_CHAIN_POLICY) != 0 &&
                           nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY) == NF_DROP;
  return filter;
}

bool drops(const nftnl_rule* rule) {
  bool found = false;
  nftnl_expr_foreach(
      const_cast<nftnl_rule*>(rule),
      [](nftnl_expr* expr, void* out) {
        const std::string_view name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);
        const bool drop = name == "reject" ||
                          (name == "immediate" && nftnl_expr_is_set(expr, NFTNL_EXPR_IMM_VERDICT) &&
                           nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_VERDICT) == NF_DROP);
        *static_cast<bool*>(out) = *static_cast<bool*>(out) || drop;
        return 0;
      },
      &found);
  return found;
}

void count_drops(const nlmsghdr* message, std::vector<ForeignFilter>& filters) {
  const RulePtr rule(nftnl_rule_alloc());
  if (nftnl_rule_nlmsg_parse(message, rule.get()) != 0 || !drops(rule.get())) {
    return;
  }
  const char* family = family_name(nftnl_rule_get_u32(rule.get(), NFTNL_RULE_FAMILY));
  for (ForeignFilter& filter : filters) {
    if (family != nullptr && filter.family == family &&
        filter.table == nftnl_rule_get_str(rule.get(), NFTNL_RULE_TABLE) &&
        filter.chain == nftnl_rule_get_str(rule.get(), NFTNL_RULE_CHAIN)) {
      ++filter.dropping_rules;
    }
  }
}

}  // namespace

std::string ForeignFilter::str() const {
  return "table " + family + " " + table + " chain " + chain;
}

Result<std::vector<ForeignFilter>> foreign_filters(const std::string& own) {
  auto socket = NetlinkSocket::open(NETLINK_NETFILTER, kForeignBuffer);
  if (!socket) {
    return fail(socket.error(), "open nfnetlink socket");
  }
  std::vector<ForeignFilter> filters;
  auto done = dump_all(*socket, NFT_MSG_GETCHAIN, [&](const nlmsghdr* message) {
    const ChainPtr chain(nftnl_chain_alloc());
    if (nftnl_chain_nlmsg_parse(message, chain.get()) == 0) {
      if (auto filter = decode_filter(chain.get(), own)) {
        filters.push_back(std::move(*filter));
      }
    }
  });
  if (done && !filters.empty()) {
    done = dump_all(*socket, NFT_MSG_GETRULE, [&filters](const nlmsghdr* message) {
      count_drops(message, filters);
    });
  }
  if (!done) {
    return fail(done.error(), "read the tables of others");
  }
  std::erase_if(filters, [](const ForeignFilter& filter) {
    return !filter.drops_by_policy && filter.dropping_rules == 0;
  });
  return filters;
}

}  // namespace margay::nft
