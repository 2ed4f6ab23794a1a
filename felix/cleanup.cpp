#include "felix/cleanup.h"

#include "bgp/bird/driver.h"
#include "felix/dataplane/sysctl_reconciler.h"
#include "felix/directory_lock.h"
#include "felix/kernel_thread.h"
#include "kernel/link_kernel.h"
#include "kernel/nft/nft_kernel.h"
#include "kernel/route_kernel.h"

#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

namespace margay::felix {

namespace {

Result<void> remove_table() {
  auto kernel = nft::open_nft_kernel(kTableName);
  if (!kernel) {
    return fail(kernel.error(), "nftables");
  }
  const auto table = (*kernel)->dump();
  if (!table) {
    return fail(table.error(), "nftables");
  }
  if (!*table) {
    return {};
  }
  if (auto done = (*kernel)->commit({nft::DeleteTable{}}); !done) {
    return fail(done.error().error, "delete table inet {}", kTableName);
  }
  return {};
}

Result<void> remove_routes() {
  auto kernel = open_route_kernel();
  if (!kernel) {
    return fail(kernel.error(), "routes");
  }
  std::vector<RouteChange> changes;
  for (const RouteProtocol protocol :
       {kProtocolLocal, kProtocolBgp, kProtocolBlackhole, kProtocolPeer}) {
    const auto routes = (*kernel)->dump(protocol);
    if (!routes) {
      return fail(routes.error(), "list routes of protocol {}", protocol.value());
    }
    for (const RouteSpec& route : *routes) {
      changes.push_back({RouteAction::kRemove, route});
    }
  }
  const auto outcomes = (*kernel)->apply(changes);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (!outcomes[i] && outcomes[i].error().code != Errc::kNotFound) {
      return fail(outcomes[i].error(), "remove route {}", changes[i].route.str());
    }
  }
  return {};
}

Result<void> remove_links() {
  auto kernel = open_link_kernel();
  if (!kernel) {
    return fail(kernel.error(), "links");
  }
  const auto links = (*kernel)->links();
  if (!links) {
    return fail(links.error(), "list links");
  }
  std::vector<IfIndex> ours;
  for (const LinkState& link : *links) {
    if ((link.kind == "veth" || link.kind == "ifb") &&
        link.name.starts_with(KernelThread::Options{}.interface_prefix)) {
      ours.push_back(link.index);
    }
  }
  return (*kernel)->remove(ours);
}

}  // namespace

std::string sysctl_record_path(const std::string& state_dir) {
  return state_dir + "/sysctls";
}

Result<void> cleanup_kernel(const AgentConfig& config) {
  std::optional<DirectoryLock> lock;
  if (std::filesystem::exists(config.run_dir)) {
    auto taken = DirectoryLock::take(config.run_dir, std::chrono::milliseconds(0));
    if (!taken) {
      return fail(Errc::kUnavailable, "an agent is running in {}: stop it first", config.run_dir);
    }
    lock.emplace(std::move(*taken));
  }
  std::optional<Error> first;
  if (const auto gone = bgp::bird::remove_bird(config.run_dir, false); !gone) {
    first = gone.error();
  }
  for (const auto part : {remove_routes, remove_table, remove_links}) {
    if (const auto done = part(); !done && !first) {
      first = done.error();
    }
  }
  if (const auto done = restore_sysctls(sysctl_record_path(config.state_dir)); !done && !first) {
    first = done.error();
  }
  if (first) {
    return fail(*first);
  }
  return {};
}

}  // namespace margay::felix
