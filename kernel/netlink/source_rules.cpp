#include "kernel/source_rules.h"

#include "kernel/netlink/request.h"

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

namespace margay {
namespace {

nlmsghdr* begin_rule(
    RequestBatch& batch, std::uint16_t type, std::uint16_t flags, int family, TableId table) {
  nlmsghdr* message = batch.begin(type, flags);
  auto* header =
      static_cast<fib_rule_hdr*>(mnl_nlmsg_put_extra_header(message, sizeof(fib_rule_hdr)));
  header->family = static_cast<std::uint8_t>(family);
  header->action = FR_ACT_TO_TBL;
  header->table = RT_TABLE_UNSPEC;  // the attribute has room for it
  mnl_attr_put_u32(message, FRA_TABLE, table.value());
  return message;
}

// One rule a call, until there is none.
Result<void> remove_rules(NetlinkSocket& socket, int family, TableId table) {
  constexpr unsigned kMost = 64;
  for (unsigned i = 0; i < kMost; ++i) {
    RequestBatch batch(socket);
    begin_rule(batch, RTM_DELRULE, 0, family, table);
    batch.end();
    const auto codes = batch.run();
    if (!codes) {
      return fail(codes.error());
    }
    if (codes->front() != 0) {
      const int code = codes->front();
      const bool none = code == ENOENT || code == EAFNOSUPPORT || code == EOPNOTSUPP;
      return none ? Result<void>() : fail_errno(code, "remove rules of table {}", table.value());
    }
  }
  return fail(Errc::kInternal, "table {} has more rules than anybody made", table.value());
}

}  // namespace

TableId table_of_interface(const IfName& name) {
  // Above all numbers that people use, below those that a signed reader would misread.
  constexpr std::uint32_t kFirst = 0x40000000;
  std::uint32_t hash = 0x811c9dc5U;  // FNV-1a
  for (const char byte : name.str()) {
    constexpr std::uint32_t kPrime = 0x01000193U;
    hash = (hash ^ static_cast<unsigned char>(byte)) * kPrime;
  }
  return TableId(kFirst | (hash & (kFirst - 1)));
}

Result<void> set_source_rules(std::span<const IpAddr> sources, TableId table) {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) {
    return fail(socket.error());
  }
  for (const int family : {AF_INET, AF_INET6}) {
    if (auto removed = remove_rules(*socket, family, table); !removed) {
      return removed;
    }
  }
  RequestBatch batch(*socket);
  for (const IpAddr& source : sources) {
    constexpr std::uint32_t kPriority = 30000;  // before the main table
    nlmsghdr* message = begin_rule(
        batch, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, source.is_v4() ? AF_INET : AF_INET6, table);
    auto* header = static_cast<fib_rule_hdr*>(mnl_nlmsg_get_payload(message));
    header->src_len = static_cast<std::uint8_t>(address_bits(source.family()));
    put_attr(message, FRA_SRC, source.bytes());
    mnl_attr_put_u32(message, FRA_PRIORITY, kPriority);
    batch.end();
  }
  const auto codes = batch.run();
  if (!codes) {
    return fail(codes.error());
  }
  for (const int code : *codes) {
    if (code != 0) {
      return fail_errno(code, "rule for table {}", table.value());
    }
  }
  return {};
}

}  // namespace margay
