#include "felix/stale_datagrams.h"

#include "felix/worker.h"
#include "kernel/conntrack_kernel.h"
#include "kernel/link_kernel.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace margay::felix {

namespace {

bool is_for(const ConnectionTuple& original,
            const HostPort& port,
            const std::set<IpAddr>& host_addresses) {
  return original.protocol == port.protocol && original.destination_port == port.port &&
         original.destination.family() == port.family &&
         (port.addr ? original.destination == *port.addr
                    : host_addresses.contains(original.destination));
}

// Published ports change rarely, so nothing is kept open between two times.
Result<void> end_stale(const PublishedPorts& ports) {
  const auto conntrack = open_conntrack_kernel();
  if (!conntrack) {
    return fail(conntrack.error());
  }
  const auto links = open_link_kernel();
  if (!links) {
    return fail(links.error());
  }
  const auto addresses = (*links)->addresses();
  if (!addresses) {
    return fail(addresses.error());
  }
  std::set<IpAddr> own;
  for (const AddressSpec& address : *addresses) {
    own.insert(address.address.addr);
  }
  const auto connections = (*conntrack)->dump();
  if (!connections) {
    return fail(connections.error());
  }
  const auto ended = (*conntrack)->remove(stale_datagrams(ports, own, *connections));
  return ended ? Result<void>() : fail(ended.error());
}

}  // namespace

std::vector<Connection> stale_datagrams(const PublishedPorts& ports,
                                        const std::set<IpAddr>& host_addresses,
                                        std::span<const Connection> connections) {
  std::vector<Connection> out;
  std::ranges::copy_if(connections, std::back_inserter(out), [&](const Connection& connection) {
    return std::ranges::any_of(ports, [&](const auto& entry) {
      const auto& [port, target] = entry;
      return is_for(connection.original, port, host_addresses) &&
             (connection.reply.source != target.addr ||
              connection.reply.source_port != target.port);
    });
  });
  return out;
}

void StaleDatagrams::on_changes(const CalcChanges& changes, std::uint64_t generation) {
  for (const auto& entry : changes.host_ports.set) {
    if (entry.first.protocol == api::kUdp.number) {
      published_[generation].push_back(entry);
    }
  }
}

void StaleDatagrams::on_enforced(std::uint64_t generation) {
  PublishedPorts due;
  const auto end = published_.upper_bound(generation);
  for (auto entry = published_.begin(); entry != end; ++entry) {
    due.insert(due.end(), entry->second.begin(), entry->second.end());
  }
  published_.erase(published_.begin(), end);
  if (due.empty()) {
    return;
  }
  environment_.worker.post([this, due = std::move(due)] {
    if (const auto done = end_stale(due); !done) {
      environment_.on_loop([this, error = done.error()] { environment_.on_error(error); });
    }
  });
}

}  // namespace margay::felix
