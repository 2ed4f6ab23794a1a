#include "kernel/link_kernel.h"

#include "kernel/netlink/attributes.h"
#include "kernel/netlink/link_codec.h"
#include "kernel/netlink/request.h"
#include "kernel/sysctl.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace margay {
namespace {

class RealLinkKernel final : public LinkKernel {
 public:
  explicit RealLinkKernel(NetlinkSocket socket) : socket_(std::move(socket)) {}

  Result<std::vector<LinkState>> links() override {
    std::vector<LinkState> out;
    Result<void> done;
    for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
      out.clear();
      RequestBatch batch(socket_);
      nlmsghdr* message = batch.begin(RTM_GETLINK, NLM_F_DUMP);
      mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg));
      mnl_attr_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
      batch.end();
      done = socket_.dump(batch.bytes(), [&out](const nlmsghdr* answer) {
        if (auto link = decode_link(answer)) {
          out.push_back(std::move(*link));
        }
      });
      if (done || done.error().sys_errno != EINTR) {
        break;
      }
    }
    if (!done) {
      return fail(done.error(), "list links");
    }
    return out;
  }

  Result<LinkState> link(const IfName& name) override {
    RequestBatch batch(socket_);
    nlmsghdr* message = batch.begin(RTM_GETLINK, NLM_F_ACK);
    mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg));
    put_text(message, IFLA_IFNAME, name.str());
    return ask_link(batch, name.str());
  }

  Result<IfIndex> create_veth(const VethSpec& veth) override {
    RequestBatch batch(socket_);
    encode_veth(veth, batch);
    if (const auto done = run(batch, 0); !done) {
      return fail(done.error(),
                  "create link {} with {} in the container",
                  veth.host_name.str(),
                  veth.peer_name.str());
    }
    const auto created = link(veth.host_name);
    if (!created) {
      return fail(created.error());
    }
    return created->index;
  }

  Result<void> set_up(IfIndex index) override {
    RequestBatch batch(socket_);
    encode_link_up(index, batch);
    if (auto done = run(batch, 0); !done) {
      return fail(done.error(), "set link {} up", index.value());
    }
    return {};
  }

  Result<void> remove(std::span<const IfIndex> links) override {
    RequestBatch batch(socket_);
    for (const IfIndex index : links) {
      encode_link_removal(index, batch);
    }
    if (auto done = run(batch, ENODEV); !done) {
      return fail(done.error(), "remove links");
    }
    return {};
  }

  Result<void> configure(IfIndex index, const DeviceConfig& config) override {
    RequestBatch batch(socket_);
    encode_device_config(index, config, batch);
    if (auto done = run(batch, 0); !done) {
      return fail(done.error(), "configure link {}", index.value());
    }
    if (!config.ipv6_forwarding && !config.accept_ra && !config.ipv6_disabled) {
      return {};
    }
    RequestBatch question(socket_);
    nlmsghdr* message = question.begin(RTM_GETLINK, NLM_F_ACK);
    auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
    header->ifi_index = static_cast<int>(index.value());
    const auto found = ask_link(question, std::to_string(index.value()));
    if (!found) {
      return fail(found.error());
    }
    return configure_ipv6(found->name, config);
  }

  Result<void> add_addresses(std::span<const AddressSpec> addresses) override {
    RequestBatch batch(socket_);
    for (const AddressSpec& address : addresses) {
      encode_address(address, batch);
    }
    if (auto done = run(batch, EEXIST); !done) {
      return fail(done.error(), "add addresses");
    }
    return {};
  }

  Result<void> set_neighbours(std::span<const NeighbourSpec> neighbours) override {
    RequestBatch batch(socket_);
    for (const NeighbourSpec& neighbour : neighbours) {
      encode_neighbour(neighbour, batch);
    }
    if (auto done = run(batch, 0); !done) {
      return fail(done.error(), "set neighbours");
    }
    return {};
  }

  Result<std::vector<AddressSpec>> addresses() override {
    std::vector<AddressSpec> out;
    Result<void> done;
    for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
      out.clear();
      RequestBatch batch(socket_);
      mnl_nlmsg_put_extra_header(batch.begin(RTM_GETADDR, NLM_F_DUMP), sizeof(ifaddrmsg));
      batch.end();
      done = socket_.dump(batch.bytes(), [&out](const nlmsghdr* answer) {
        if (auto address = decode_address(answer)) {
          out.push_back(*address);
        }
      });
      if (done || done.error().sys_errno != EINTR) {
        break;
      }
    }
    if (!done) {
      return fail(done.error(), "list addresses");
    }
    return out;
  }

 private:
  // The first failure other than `accepted`.
  static Result<void> run(RequestBatch& batch, int accepted) {
    const auto codes = batch.run();
    if (!codes) {
      return fail(codes.error());
    }
    const auto failed = std::ranges::find_if(
        *codes, [accepted](int code) { return code != 0 && code != accepted; });
    if (failed != codes->end()) {
      return fail_errno(*failed, "netlink request {}", failed - codes->begin() + 1);
    }
    return {};
  }

  Result<LinkState> ask_link(RequestBatch& batch, const std::string& what) {
    batch.end();
    std::optional<LinkState> found;
    const auto done = socket_.dump(
        batch.bytes(), [&found](const nlmsghdr* answer) { found = decode_link(answer); });
    if (!done) {
      return fail(done.error(), "link {}", what);
    }
    if (!found) {
      return fail(Errc::kNotFound, "link {}: no answer", what);
    }
    return std::move(*found);
  }

  // Netlink carries no settings of IPv6 devices: they are files.
  static Result<void> configure_ipv6(const std::string& name, const DeviceConfig& config) {
    const auto write = [&name](std::string_view setting, unsigned value) -> Result<void> {
      const std::string key = fmt::format("net/ipv6/conf/{}/{}", name, setting);
      auto written = write_sysctl(key, std::to_string(value));
      // A kernel without IPv6 has nothing to set.
      return !written && written.error().code == Errc::kNotFound ? Result<void>() : written;
    };
    if (config.ipv6_disabled) {
      if (auto done = write("disable_ipv6", *config.ipv6_disabled ? 1 : 0); !done) {
        return done;
      }
    }
    if (config.ipv6_forwarding) {
      if (auto done = write("forwarding", *config.ipv6_forwarding ? 1 : 0); !done) {
        return done;
      }
    }
    return config.accept_ra ? write("accept_ra", *config.accept_ra) : Result<void>();
  }

  NetlinkSocket socket_;
};

}  // namespace

Result<std::unique_ptr<LinkKernel>> open_link_kernel() {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) {
    return fail(socket.error(), "links");
  }
  return std::unique_ptr<LinkKernel>(std::make_unique<RealLinkKernel>(std::move(*socket)));
}

}  // namespace margay
