#include "kernel/netlink/request.h"

#include <libmnl/libmnl.h>
#include <linux/netlink.h>

#include <algorithm>

namespace margay {

nlmsghdr* RequestBatch::begin(std::uint16_t type, std::uint16_t flags) {
  nlmsghdr* header = mnl_nlmsg_put_header(scratch_.data());
  header->nlmsg_type = type;
  header->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  header->nlmsg_seq = socket_.next_sequence();
  if (count_ == 0) {
    first_sequence_ = header->nlmsg_seq;
  }
  return header;
}

void RequestBatch::end() {
  const auto* header = reinterpret_cast<const nlmsghdr*>(scratch_.data());
  MARGAY_ASSERT(header->nlmsg_len <= kMaxMessage);
  last_ = bytes_.size();
  bytes_.insert(bytes_.end(), scratch_.data(), scratch_.data() + header->nlmsg_len);
  bytes_.resize((bytes_.size() + NLMSG_ALIGNTO - 1) / NLMSG_ALIGNTO * NLMSG_ALIGNTO, 0);
  ++count_;
}

Result<std::vector<int>> RequestBatch::run() {
  std::vector<int> outcome(count_, 0);
  if (count_ == 0) {
    return outcome;
  }
  // Failures are always answered; one acknowledgement at the end says that all is done.
  reinterpret_cast<nlmsghdr*>(bytes_.data() + last_)->nlmsg_flags |= NLM_F_ACK;
  if (const auto sent = socket_.send(bytes_); !sent) {
    return fail(sent.error());
  }
  bool done = false;
  while (!done) {
    const auto datagram = socket_.receive(true);
    if (!datagram) {
      return fail(datagram.error());
    }
    for_each_message(**datagram, [&](const nlmsghdr* message) {
      const auto code = error_of(message);
      const std::uint32_t at = message->nlmsg_seq - first_sequence_;
      if (code && at < count_) {
        outcome[at] = *code;
        done = done || at + 1 == count_;
      }
      return true;
    });
  }
  return outcome;
}

void put_attr(nlmsghdr* message, std::uint16_t type, std::span<const std::uint8_t> bytes) {
  mnl_attr_put(message, type, bytes.size(), bytes.data());
}

void put_text(nlmsghdr* message, std::uint16_t type, const std::string& text) {
  mnl_attr_put_strz(message, type, text.c_str());
}

}  // namespace margay
