#include "felix/defaults.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <unistd.h>

namespace margay::felix {

namespace {

using datastore::Store;

// Addresses of RFC 5737 and RFC 3849: never a real host, but routed by the default route.
sockaddr_storage outside(Family family, socklen_t& length) {
  constexpr std::uint16_t kDiscardPort = 9;
  sockaddr_storage storage{};
  if (family == Family::kIpv4) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(kDiscardPort);
    address.sin_addr.s_addr = htonl(0xC0000201U);
    length = sizeof(address);
    std::memcpy(&storage, &address, sizeof(address));
  } else {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(kDiscardPort);
    constexpr std::uint8_t kDocumentation[4] = {0x20, 0x01, 0x0d, 0xb8};
    std::memcpy(&address.sin6_addr, kDocumentation, sizeof(kDocumentation));
    length = sizeof(address);
    std::memcpy(&storage, &address, sizeof(address));
  }
  return storage;
}

std::optional<api::Resource> missing_node(Store& store, const NodeName& name) {
  if (store.get({api::Kind::kNode, {}, name.str()})) {
    return std::nullopt;
  }
  api::Resource node;
  node.metadata.name = name.str();
  api::Node spec;
  api::NodeBgp bgp;
  if (const auto v4 = detect_node_address(Family::kIpv4)) {
    bgp.ipv4_address = InterfaceAddr{*v4, address_bits(Family::kIpv4)};
    spec.addresses.push_back({v4->str(), "InternalIP"});
  }
  if (const auto v6 = detect_node_address(Family::kIpv6)) {
    bgp.ipv6_address = InterfaceAddr{*v6, address_bits(Family::kIpv6)};
    spec.addresses.push_back({v6->str(), "InternalIP"});
  }
  if (bgp.ipv4_address || bgp.ipv6_address) {
    spec.bgp = bgp;
  }
  node.spec = spec;
  return node;
}

api::Resource default_pool(std::string name, const char* cidr, unsigned block_size) {
  api::Resource pool;
  pool.metadata.name = std::move(name);
  api::IPPool spec;
  spec.cidr = *Prefix::parse(cidr);
  spec.block_size = block_size;
  pool.spec = spec;
  return pool;
}

}  // namespace

Result<IpAddr> detect_node_address(Family family) {
  const int fd =
      ::socket(family == Family::kIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return fail_errno(errno, "socket");
  }
  socklen_t length = 0;
  sockaddr_storage address = outside(family, length);
  const int connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), length);
  const int connect_errno = errno;
  length = sizeof(address);
  const int named =
      connected == 0 ? ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) : -1;
  ::close(fd);
  if (connected != 0) {
    return fail_errno(connect_errno, "no default route");
  }
  if (named != 0) {
    return fail(Errc::kInternal, "no local address");
  }
  if (family == Family::kIpv4) {
    sockaddr_in local{};
    std::memcpy(&local, &address, sizeof(local));
    return IpAddr::v4(ntohl(local.sin_addr.s_addr));
  }
  sockaddr_in6 local{};
  std::memcpy(&local, &address, sizeof(local));
  return IpAddr::from_bytes(std::span<const std::uint8_t>(local.sin6_addr.s6_addr, 16));
}

Result<std::vector<std::string>> ensure_defaults(Store& store, const NodeName& node) {
  std::vector<api::Resource> wanted;
  const auto pools = store.list({.kind = api::Kind::kIPPool, .ns = {}});
  if (!pools) {
    return fail(pools.error(), "look for pools");
  }
  if (auto resource = missing_node(store, node)) {
    wanted.push_back(std::move(*resource));
  }
  if (pools->objects.empty()) {
    wanted.push_back(default_pool("default-ipv4-ippool", "10.244.0.0/16", 26));
    wanted.push_back(default_pool("default-ipv6-ippool", "fd00:10:244::/64", 122));
  }
  std::vector<std::string> created;
  for (const api::Resource& resource : wanted) {
    const auto done = store.create(resource);
    if (!done && done.error().code != Errc::kExists) {
      return fail(done.error(), "create {}", resource.key().str());
    }
    if (done) {
      created.push_back("created " + resource.key().str());
    }
  }
  return created;
}

}  // namespace margay::felix
