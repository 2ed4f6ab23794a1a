#include "kernel/limits.h"

#include "kernel/link_kernel.h"
#include "kernel/netlink/attributes.h"
#include "kernel/netlink/request.h"

#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

namespace margay {
namespace {

constexpr std::uint32_t kTbfHandle = 0x00010000;  // "1:"
constexpr std::uint64_t kMaxU32 = std::numeric_limits<std::uint32_t>::max();

constexpr std::size_t kPrefixLength = 3;  // "mgy"

// Runtimes that know no burst say the largest number of 31 or 32 bits, which would be no limit for
// the first hundreds of megabytes.
std::uint64_t burst_of(const RateLimit& limit) {
  constexpr std::uint64_t kNoBurst = 0x7FFFFFFFU / 8;
  constexpr std::uint64_t kLeast = 65536;   // one packet as large as they come
  constexpr std::uint64_t kPerSecond = 50;  // 20 ms of the rate
  return limit.burst_bytes == 0 || limit.burst_bytes >= kNoBurst
             ? std::max(kLeast, std::min(limit.bytes_per_s / kPerSecond, kNoBurst))
             : limit.burst_bytes;
}

nlmsghdr* begin_tc(RequestBatch& batch,
                   std::uint16_t type,
                   IfIndex link,
                   std::uint32_t parent,
                   std::uint32_t handle,
                   std::uint32_t info = 0) {
  nlmsghdr* message = batch.begin(type, NLM_F_CREATE | NLM_F_REPLACE);
  auto* header = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(tcmsg)));
  header->tcm_family = AF_UNSPEC;
  header->tcm_ifindex = static_cast<int>(link.value());
  header->tcm_parent = parent;
  header->tcm_handle = handle;
  header->tcm_info = info;
  return message;
}

void encode_token_bucket(RequestBatch& batch, IfIndex link, const RateLimit& limit) {
  constexpr std::uint64_t kPerSecond = 40;  // a packet waits at most 25 ms
  const std::uint64_t burst = burst_of(limit);
  tc_tbf_qopt options{};
  options.rate.linklayer = TC_LINKLAYER_ETHERNET;
  options.rate.rate = static_cast<std::uint32_t>(std::min(limit.bytes_per_s, kMaxU32));
  options.limit =
      static_cast<std::uint32_t>(std::min(limit.bytes_per_s / kPerSecond + burst, kMaxU32));
  nlmsghdr* message = begin_tc(batch, RTM_NEWQDISC, link, TC_H_ROOT, kTbfHandle);
  put_text(message, TCA_KIND, "tbf");
  nlattr* nest = mnl_attr_nest_start(message, TCA_OPTIONS);
  mnl_attr_put(message, TCA_TBF_PARMS, sizeof(options), &options);
  mnl_attr_put_u32(message, TCA_TBF_BURST, static_cast<std::uint32_t>(burst));
  if (limit.bytes_per_s > kMaxU32) {
    mnl_attr_put_u64(message, TCA_TBF_RATE64, limit.bytes_per_s);
  }
  mnl_attr_nest_end(message, nest);
  batch.end();
}

void encode_ifb(RequestBatch& batch, const IfName& name, std::uint32_t mtu) {
  nlmsghdr* message = batch.begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  header->ifi_flags = IFF_UP;
  header->ifi_change = IFF_UP;
  put_text(message, IFLA_IFNAME, name.str());
  mnl_attr_put_u32(message, IFLA_MTU, mtu);
  nlattr* info = mnl_attr_nest_start(message, IFLA_LINKINFO);
  put_text(message, IFLA_INFO_KIND, "ifb");
  mnl_attr_nest_end(message, info);
  batch.end();
}

// Every packet that enters at `from` leaves at `to`.
void encode_redirect(RequestBatch& batch, IfIndex from, IfIndex to) {
  nlmsghdr* qdisc = begin_tc(batch, RTM_NEWQDISC, from, TC_H_INGRESS, TC_H_MAKE(TC_H_INGRESS, 0));
  put_text(qdisc, TCA_KIND, "ingress");
  batch.end();
  const std::uint32_t info = TC_H_MAKE(1U << 16U, htons(ETH_P_ALL));  // priority 1
  nlmsghdr* filter = begin_tc(batch, RTM_NEWTFILTER, from, TC_H_MAKE(TC_H_INGRESS, 0), 0, info);
  put_text(filter, TCA_KIND, "u32");
  nlattr* options = mnl_attr_nest_start(filter, TCA_OPTIONS);
  // Of the one key that stands behind the selector, no bit is looked at.
  std::array<std::uint8_t, sizeof(tc_u32_sel) + sizeof(tc_u32_key)> match_all{};
  auto selector = tc_u32_sel();  // clang counts braces around its empty list
  selector.flags = TC_U32_TERMINAL;
  selector.nkeys = 1;
  std::memcpy(match_all.data(), &selector, sizeof(selector));
  put_attr(filter, TCA_U32_SEL, match_all);
  nlattr* actions = mnl_attr_nest_start(filter, TCA_U32_ACT);
  nlattr* first = mnl_attr_nest_start(filter, 1);
  put_text(filter, TCA_ACT_KIND, "mirred");
  nlattr* parameters = mnl_attr_nest_start(filter, TCA_ACT_OPTIONS);
  tc_mirred mirred{};
  mirred.action = TC_ACT_STOLEN;
  mirred.eaction = TCA_EGRESS_REDIR;
  mirred.ifindex = to.value();
  mnl_attr_put(filter, TCA_MIRRED_PARMS, sizeof(mirred), &mirred);
  mnl_attr_nest_end(filter, parameters);
  mnl_attr_nest_end(filter, first);
  mnl_attr_nest_end(filter, actions);
  mnl_attr_nest_end(filter, options);
  batch.end();
}

// Codes of the kernel that only mean "this kernel has no such thing".
Result<void> run(RequestBatch& batch, std::string_view needs) {
  const auto codes = batch.run();
  if (!codes) {
    return fail(codes.error());
  }
  for (const int code : *codes) {
    if (code == ENOENT || code == EOPNOTSUPP) {
      return fail(Errc::kInvalid, "limit the bandwidth: this kernel lacks {}", needs);
    }
    if (code != 0) {
      return fail_errno(code, "limit the bandwidth");
    }
  }
  return {};
}

Result<void> limit_sending(NetlinkSocket& socket,
                           const LinkState& host_end,
                           const RateLimit& limit) {
  const auto host_name = IfName::parse(host_end.name);
  const auto links = open_link_kernel();
  if (!host_name || !links) {
    return fail(host_name ? links.error() : host_name.error());
  }
  RequestBatch make(socket);
  encode_ifb(make, limiter_name(*host_name), host_end.mtu);
  if (auto made = run(make, "ifb devices (module ifb)"); !made) {
    return made;
  }
  const auto limiter = (*links)->link(limiter_name(*host_name));
  if (!limiter) {
    return fail(limiter.error());
  }
  RequestBatch bucket(socket);
  encode_token_bucket(bucket, limiter->index, limit);
  if (auto set = run(bucket, "the token bucket (module sch_tbf)"); !set) {
    return set;
  }
  RequestBatch redirect(socket);
  encode_redirect(redirect, host_end.index, limiter->index);
  return run(redirect, "redirection (modules sch_ingress, cls_u32, act_mirred)");
}

std::uint64_t rate_in(const nlattr* options) {
  std::uint64_t rate = 0;
  for_each_nested(options, [&rate](const nlattr* attr) {
    const auto bytes = bytes_of(attr);
    if (mnl_attr_get_type(attr) == TCA_TBF_PARMS && bytes.size() >= sizeof(tc_tbf_qopt)) {
      tc_tbf_qopt parameters{};
      std::memcpy(&parameters, bytes.data(), sizeof(parameters));
      rate = std::max<std::uint64_t>(rate, parameters.rate.rate);
    }
    if (mnl_attr_get_type(attr) == TCA_TBF_RATE64 && bytes.size() >= sizeof(rate)) {
      rate = mnl_attr_get_u64(attr);
    }
  });
  return rate;
}

// Of the token bucket at the root of the link; 0 when there is none.
Result<std::uint64_t> rate_of(NetlinkSocket& socket, IfIndex link) {
  RequestBatch batch(socket);
  nlmsghdr* message = batch.begin(RTM_GETQDISC, NLM_F_DUMP);
  auto* header = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(tcmsg)));
  header->tcm_ifindex = static_cast<int>(link.value());
  batch.end();
  std::uint64_t rate = 0;
  const auto done = socket.dump(batch.bytes(), [&](const nlmsghdr* answer) {
    const auto* qdisc = header_of<tcmsg>(answer);
    if (qdisc == nullptr || qdisc->tcm_ifindex != static_cast<int>(link.value())) {
      return;
    }
    bool is_bucket = false;
    const nlattr* options = nullptr;
    for_each_attr(answer, sizeof(tcmsg), [&](const nlattr* attr) {
      is_bucket = is_bucket || (mnl_attr_get_type(attr) == TCA_KIND && text_of(attr) == "tbf");
      options = mnl_attr_get_type(attr) == TCA_OPTIONS ? attr : options;
    });
    rate = is_bucket && options != nullptr ? rate_in(options) : rate;
  });
  return done ? Result<std::uint64_t>(rate) : fail(done.error(), "list queues");
}

Result<void> expect_rate(NetlinkSocket& socket, const LinkState& link, const RateLimit& limit) {
  const auto rate = rate_of(socket, link.index);
  if (!rate) {
    return fail(rate.error());
  }
  return *rate == limit.bytes_per_s ? Result<void>()
                                    : fail(Errc::kConflict,
                                           "link {} lets {} bytes a second through instead of {}",
                                           link.name,
                                           *rate,
                                           limit.bytes_per_s);
}

}  // namespace

IfName limiter_name(const IfName& host_name) {
  // No host end has this name: its digits are hexadecimal.
  std::string name = host_name.str();
  name.insert(std::min(kPrefixLength, name.size()), "i");
  constexpr std::size_t kMaxName = 15;
  name.resize(std::min(name.size(), kMaxName));
  const auto parsed = IfName::parse(name);
  MARGAY_ASSERT(parsed.has_value());
  return *parsed;
}

std::string host_end_of_limiter(std::string limiter) {
  if (limiter.size() > kPrefixLength && limiter[kPrefixLength] == 'i') {
    limiter.erase(kPrefixLength, 1);
  }
  return limiter;
}

Result<void> set_limits(const LinkState& host_end, const Bandwidth& bandwidth) {
  if (bandwidth == Bandwidth{}) {
    return {};
  }
  auto socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) {
    return fail(socket.error());
  }
  if (bandwidth.to_container.bytes_per_s != 0) {
    RequestBatch batch(*socket);
    encode_token_bucket(batch, host_end.index, bandwidth.to_container);
    if (auto done = run(batch, "the token bucket (module sch_tbf)"); !done) {
      return done;
    }
  }
  return bandwidth.from_container.bytes_per_s != 0
             ? limit_sending(*socket, host_end, bandwidth.from_container)
             : Result<void>();
}

Result<void> check_limits(const LinkState& host_end, const Bandwidth& bandwidth) {
  if (bandwidth == Bandwidth{}) {
    return {};
  }
  auto socket = NetlinkSocket::open(NETLINK_ROUTE);
  const auto links = open_link_kernel();
  const auto host_name = IfName::parse(host_end.name);
  if (!socket || !links || !host_name) {
    return fail(Errc::kInternal, "read the limits of {}", host_end.name);
  }
  if (bandwidth.to_container.bytes_per_s != 0) {
    if (auto right = expect_rate(*socket, host_end, bandwidth.to_container); !right) {
      return right;
    }
  }
  if (bandwidth.from_container.bytes_per_s == 0) {
    return {};
  }
  const auto limiter = (*links)->link(limiter_name(*host_name));
  return limiter ? expect_rate(*socket, *limiter, bandwidth.from_container)
                 : fail(limiter.error(), "limit of what the container sends");
}

}  // namespace margay
