#include "kernel/packet_log.h"

#include "kernel/netlink/attributes.h"
#include "kernel/netlink/request.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>

#include <cerrno>
#include <utility>

namespace margay {

namespace {

constexpr std::size_t kMaxTaken = 1024;
constexpr std::uint32_t kCopyBytes = 4096;  // of each packet: what DNS over UDP allows (RFC 6891)

constexpr std::uint16_t log_type(unsigned message) {
  return static_cast<std::uint16_t>((NFNL_SUBSYS_ULOG << 8U) | message);
}

nlmsghdr* begin_config(RequestBatch& batch, std::uint16_t group) {
  nlmsghdr* message = batch.begin(log_type(NFULNL_MSG_CONFIG), NLM_F_ACK);
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
  header->nfgen_family = AF_UNSPEC;
  header->version = NFNETLINK_V0;
  header->res_id = htons(group);
  return message;
}

Result<void> bind_group(NetlinkSocket& socket, std::uint16_t group) {
  RequestBatch batch(socket);
  nlmsghdr* message = begin_config(batch, group);
  const nfulnl_msg_config_cmd command{NFULNL_CFG_CMD_BIND};
  mnl_attr_put(message, NFULA_CFG_CMD, sizeof command, &command);
  batch.end();
  message = begin_config(batch, group);
  nfulnl_msg_config_mode mode{};
  mode.copy_mode = NFULNL_COPY_PACKET;
  mode.copy_range = htonl(kCopyBytes);
  mnl_attr_put(message, NFULA_CFG_MODE, sizeof mode, &mode);
  mnl_attr_put_u32(message, NFULA_CFG_QTHRESH, htonl(1));  // each packet at once
  batch.end();
  const auto outcomes = batch.run();
  if (!outcomes) {
    return fail(outcomes.error());
  }
  for (const int error : *outcomes) {
    if (error != 0) {
      return fail_errno(error, "listen to nflog group {}", group);
    }
  }
  return {};
}

class RealPacketLog final : public PacketLog {
 public:
  explicit RealPacketLog(NetlinkSocket socket) : socket_(std::move(socket)) {}

  [[nodiscard]] int descriptor() const override { return socket_.fd(); }

  Taken take() override {
    Taken taken;
    while (taken.packets.size() < kMaxTaken) {
      const auto datagram = socket_.receive(false);
      if (!datagram) {
        taken.lost = true;
        if (datagram.error().sys_errno != ENOBUFS) {
          break;
        }
        continue;
      }
      if (!datagram->has_value()) {
        break;
      }
      for_each_message(**datagram, [&taken](const nlmsghdr* message) {
        if (message->nlmsg_type == log_type(NFULNL_MSG_PACKET) &&
            header_of<nfgenmsg>(message) != nullptr) {
          for_each_attr(message, sizeof(nfgenmsg), [&taken](const nlattr* attr) {
            if (mnl_attr_get_type(attr) == NFULA_PAYLOAD) {
              const auto bytes = bytes_of(attr);
              taken.packets.emplace_back(bytes.begin(), bytes.end());
            }
          });
        }
        return true;
      });
    }
    return taken;
  }

 private:
  NetlinkSocket socket_;
};

}  // namespace

Result<std::unique_ptr<PacketLog>> open_packet_log(std::uint16_t group) {
  constexpr int kReceiveBuffer = 4 << 20;
  auto socket = NetlinkSocket::open(NETLINK_NETFILTER, kReceiveBuffer);
  if (!socket) {
    return fail(socket.error());
  }
  if (auto bound = bind_group(*socket, group); !bound) {
    return fail(bound.error());
  }
  return std::unique_ptr<PacketLog>(std::make_unique<RealPacketLog>(std::move(*socket)));
}

}  // namespace margay
