#pragma once
// Kernels in memory that behave: they hold state, keep the real one's rules about references and
// keys, report events, and can fail the n-th call.

#include "kernel/link_kernel.h"
#include "kernel/model/event.h"
#include "kernel/nft/nft_kernel.h"
#include "kernel/route_kernel.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace margay::test {

// Fails one call, counted from 1; zero never fails.
class FailurePoint {
 public:
  void fail_call(unsigned number) { countdown_ = number; }
  [[nodiscard]] bool hit() {
    ++calls_;
    return countdown_ != 0 && --countdown_ == 0;
  }
  [[nodiscard]] unsigned calls() const { return calls_; }

 private:
  unsigned calls_ = 0;
  unsigned countdown_ = 0;
};

class FakeNftKernel final : public nft::NftKernel {
 public:
  Result<void, nft::CommitError> commit(const nft::Transaction& transaction) override;
  Result<std::optional<nft::Table>> dump() override;
  Result<std::vector<nft::RuleHandle>> rule_handles(const std::string& chain) override;
  [[nodiscard]] int event_descriptor() const override { return -1; }
  [[nodiscard]] nft::Changes take_changes() override;

  // Someone else changes the table.
  void tamper(std::optional<nft::Table> table);

  FailurePoint failures;
  std::vector<nft::Transaction> committed;
  [[nodiscard]] const std::optional<nft::Table>& table() const { return table_; }

 private:
  struct State {
    std::optional<nft::Table> table;
    std::map<std::string, std::vector<nft::RuleHandle>> handles;
    std::uint64_t next_handle = 1;
  };
  // Empty: accepted. Otherwise what the kernel would say.
  static std::optional<Error> apply(const nft::Command& command, State& state);

  std::optional<nft::Table> table_;
  std::map<std::string, std::vector<nft::RuleHandle>> handles_;
  std::uint64_t next_handle_ = 1;
  nft::Changes pending_;
};

class FakeLinkKernel final : public LinkKernel {
 public:
  Result<std::vector<LinkState>> links() override;
  Result<LinkState> link(const IfName& name) override;
  Result<IfIndex> create_veth(const VethSpec& veth) override;
  Result<void> set_up(IfIndex link) override;
  Result<void> remove(std::span<const IfIndex> links) override;
  Result<void> configure(IfIndex link, const DeviceConfig& config) override;
  Result<void> add_addresses(std::span<const AddressSpec> addresses) override;
  Result<void> set_neighbours(std::span<const NeighbourSpec> neighbours) override;
  Result<std::vector<AddressSpec>> addresses() override;

  // A link that is there and up; returns its state for a LinkChanged event.
  LinkState add_link(const std::string& name, const std::string& kind = "veth");
  void remove_link(const std::string& name);

  FailurePoint failures;

 private:
  std::map<std::uint32_t, LinkState> links_;
  std::vector<AddressSpec> addresses_;
  std::uint32_t next_index_ = 10;
};

class FakeRouteKernel final : public RouteKernel {
 public:
  std::vector<Result<void>> apply(std::span<const RouteChange> changes) override;
  Result<std::vector<RouteSpec>> dump(RouteProtocol protocol) override;
  Result<NextHop> lookup(const IpAddr& destination) override;

  FailurePoint failures;
  unsigned writes = 0;  // changes asked for, accepted or not
  std::map<RouteKey, RouteSpec> routes;
};

}  // namespace margay::test
