#include "felix/departed_addresses.h"

#include "felix/worker.h"
#include "kernel/conntrack_kernel.h"

#include <algorithm>
#include <utility>

namespace margay::felix {

namespace {

constexpr std::chrono::milliseconds kRetry{1000};

}  // namespace

struct DepartedAddresses::Kernel {
  std::unique_ptr<ConntrackKernel> conntrack;

  Result<std::size_t> remove(const std::vector<IpAddr>& addresses) {
    if (!conntrack) {
      auto opened = open_conntrack_kernel();
      if (!opened) {
        return fail(opened.error());
      }
      conntrack = std::move(*opened);
    }
    return conntrack->remove(addresses);
  }
};

DepartedAddresses::DepartedAddresses(Environment environment)
    : environment_(std::move(environment)), kernel_(std::make_shared<Kernel>()) {}
DepartedAddresses::~DepartedAddresses() = default;

void DepartedAddresses::depart(const IpAddr& addr, std::uint64_t generation) {
  departed_[addr] = generation;
  environment_.hold(addr);
}

// What the endpoint had and no longer has.
void DepartedAddresses::release(const api::ResourceKey& endpoint,
                                const std::vector<IpAddr>& kept,
                                std::uint64_t generation) {
  const auto had = addresses_.find(endpoint);
  if (had == addresses_.end()) {
    return;
  }
  for (const IpAddr& addr : had->second) {
    if (std::ranges::find(kept, addr) == kept.end()) {
      depart(addr, generation);
    }
  }
}

void DepartedAddresses::on_changes(const CalcChanges& changes, std::uint64_t generation) {
  for (const api::ResourceKey& key : changes.remove_endpoints) {
    release(key, {}, generation);
    addresses_.erase(key);
  }
  for (const auto& [key, endpoint] : changes.set_endpoints) {
    release(key, endpoint.addresses, generation);
    addresses_.insert_or_assign(key, endpoint.addresses);
  }
}

void DepartedAddresses::on_enforced(std::uint64_t generation) {
  enforced_ = std::max(enforced_, generation);
  if (!busy_) {
    start();
  }
}

void DepartedAddresses::start() {
  std::vector<IpAddr> due;
  for (const auto& [addr, generation] : departed_) {
    if (generation <= enforced_) {
      due.push_back(addr);
    }
  }
  if (due.empty()) {
    return;
  }
  busy_ = true;
  environment_.worker.post([this, kernel = kernel_, due = std::move(due), upto = enforced_] {
    const auto removed = kernel->remove(due);
    environment_.on_loop([this, due, upto, removed] {
      busy_ = false;
      if (!removed) {
        environment_.on_error(removed.error());
        environment_.after(kRetry, [this] { on_enforced(enforced_); });
        return;
      }
      // One that left again meanwhile waits for its own generation.
      std::erase_if(departed_, [upto](const auto& entry) { return entry.second <= upto; });
      std::vector<IpAddr> ended = due;
      std::erase_if(ended, [this](const IpAddr& addr) { return departed_.contains(addr); });
      environment_.on_ended(ended, *removed);
      on_enforced(enforced_);
    });
  });
}

}  // namespace margay::felix
