#pragma once
// Links and addresses <-> rtnetlink messages. Pure: no socket.

#include "kernel/model/link.h"
#include "kernel/netlink/request.h"

#include <optional>

namespace margay {

// Nothing for messages that are too short.
[[nodiscard]] std::optional<LinkState> decode_link(const nlmsghdr* message);
[[nodiscard]] std::optional<AddressSpec> decode_address(const nlmsghdr* message);

void encode_veth(const VethSpec& veth, RequestBatch& batch);
void encode_link_up(IfIndex link, RequestBatch& batch);
void encode_link_removal(IfIndex link, RequestBatch& batch);
// The settings that netlink can carry (those of IPv4).
void encode_device_config(IfIndex link, const DeviceConfig& config, RequestBatch& batch);
void encode_address(const AddressSpec& address, RequestBatch& batch);
void encode_neighbour(const NeighbourSpec& neighbour, RequestBatch& batch);

}  // namespace margay
