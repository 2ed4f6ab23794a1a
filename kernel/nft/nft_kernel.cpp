#include "kernel/nft/nft_kernel.h"

#include "kernel/netlink/socket.h"
#include "kernel/nft/dump.h"
#include "kernel/nft/encode.h"

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace margay::nft {
namespace {

constexpr int kCommandBuffer = 4 << 20;
constexpr int kEventBuffer = 1 << 20;

// The table that a notification is about: the first attribute of every kind of message but that of
// a generation, which names none.
std::string_view table_of(const nlmsghdr* message) {
  const auto* attr =
      static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, sizeof(nfgenmsg)));
  const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  for (; mnl_attr_ok(attr, static_cast<int>(end - reinterpret_cast<const char*>(attr)));
       attr = mnl_attr_next(attr)) {
    constexpr std::uint16_t kTableName = 1;  // NFTA_TABLE_NAME, NFTA_SET_TABLE and so on
    if (mnl_attr_get_type(attr) == kTableName) {
      return mnl_attr_get_str(attr);
    }
  }
  return {};
}

class RealNftKernel final : public NftKernel {
 public:
  RealNftKernel(NetlinkSocket commands, NetlinkSocket events, std::string table)
      : commands_(std::move(commands)), events_(std::move(events)), table_(std::move(table)) {}

  Result<void, CommitError> commit(const Transaction& transaction) override {
    if (transaction.empty()) {
      return {};
    }
    const std::size_t none = transaction.size();
    const std::uint32_t first = sequence_;
    const auto batch = encode(transaction, table_, first);
    if (!batch) {
      return fail(CommitError{none, batch.error()});
    }
    sequence_ = first + static_cast<std::uint32_t>(batch->command_of_message.size()) + 2;
    if (const auto sent = commands_.send(batch->bytes); !sent) {
      return fail(CommitError{none, sent.error()});
    }
    return take_answers(*batch, transaction);
  }

  Result<std::optional<Table>> dump() override { return dump_table(commands_, table_); }

  Result<std::vector<RuleHandle>> rule_handles(const std::string& chain) override {
    return dump_rule_handles(commands_, table_, chain);
  }

  [[nodiscard]] int event_descriptor() const override { return events_.fd(); }

  Changes take_changes() override {
    Changes changes;
    while (true) {
      const auto datagram = events_.receive(false);
      if (!datagram) {
        changes.overrun = true;
        if (datagram.error().sys_errno != ENOBUFS) {
          return changes;
        }
        continue;
      }
      if (!datagram->has_value()) {
        return changes;
      }
      for_each_message(**datagram, [&](const nlmsghdr* message) {
        const auto* header = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message));
        const bool generation = (message->nlmsg_type & 0xffU) == NFT_MSG_NEWGEN;
        changes.foreign = changes.foreign || (!generation && header->nfgen_family == NFPROTO_INET &&
                                              table_of(message) == table_);
        return !changes.foreign;
      });
    }
  }

 private:
  // All answers are queued once the batch is sent: errors by sequence number, or the one
  // acknowledgement of the last command.
  Result<void, CommitError> take_answers(const Batch& batch, const Transaction& transaction) {
    std::optional<CommitError> failure;
    bool answered = false;
    while (true) {
      const auto datagram = commands_.receive(!answered);
      if (!datagram) {
        return fail(CommitError{transaction.size(), datagram.error()});
      }
      if (!datagram->has_value()) {
        break;
      }
      for_each_message(**datagram, [&](const nlmsghdr* message) {
        const auto code = error_of(message);
        const std::uint32_t offset = message->nlmsg_seq - batch.first_sequence;
        if (!code || offset > batch.command_of_message.size() + 1) {
          return true;  // left over from a request that was given up
        }
        answered = true;
        if (*code != 0 && !failure) {
          failure = describe_failure(batch, transaction, message->nlmsg_seq, *code);
        }
        return true;
      });
    }
    if (failure) {
      return fail(std::move(*failure));
    }
    return {};
  }

  static CommitError describe_failure(const Batch& batch,
                                      const Transaction& transaction,
                                      std::uint32_t sequence,
                                      int code) {
    const std::size_t command = batch.command_of(sequence, transaction.size());
    const std::string what =
        command < transaction.size() ? describe(transaction[command]) : "commit";
    return {command, fail_errno(code, "nftables: {}", what).error};
  }

  NetlinkSocket commands_;
  NetlinkSocket events_;
  std::string table_;
  std::uint32_t sequence_ = 1U << 20U;  // apart from the numbers of dumps
};

}  // namespace

Result<std::unique_ptr<NftKernel>> open_nft_kernel(const std::string& table) {
  auto commands = NetlinkSocket::open(NETLINK_NETFILTER, kCommandBuffer);
  if (!commands) {
    return fail(commands.error(), "nftables");
  }
  auto events = NetlinkSocket::open(NETLINK_NETFILTER, kEventBuffer);
  if (!events) {
    return fail(events.error(), "nftables events");
  }
  if (const auto filtered = events->ignore_port(commands->port()); !filtered) {
    return fail(filtered.error());
  }
  if (const auto joined = events->join(NFNLGRP_NFTABLES); !joined) {
    return fail(joined.error(), "nftables events");
  }
  return std::unique_ptr<NftKernel>(
      std::make_unique<RealNftKernel>(std::move(*commands), std::move(*events), table));
}

}  // namespace margay::nft
