#include "kernel/faults.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <thread>
#include <unistd.h>
#include <utility>

namespace margay {

namespace {

constexpr std::chrono::hours kHang{24};

std::vector<std::string_view> parts_of(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

std::optional<unsigned> number_of(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

bool take_action(std::string_view text, Fault& fault) {
  constexpr std::string_view kDelayPrefix = "delay=";
  if (text.starts_with(kDelayPrefix)) {
    const auto time = number_of(text.substr(kDelayPrefix.size()));
    fault.action = FaultAction::kDelay;
    fault.delay = std::chrono::milliseconds(time.value_or(0));
    return time.has_value();
  }
  fault.action = text == "fail"   ? FaultAction::kFail
                 : text == "hang" ? FaultAction::kHang
                                  : FaultAction::kKill;
  return text == "fail" || text == "hang" || text == "kill";
}

// What a fault does but for failing, which only a call can.
void strike(const Fault& fault) {
  switch (fault.action) {
    case FaultAction::kFail:
      break;
    case FaultAction::kDelay:
      std::this_thread::sleep_for(fault.delay);
      break;
    case FaultAction::kHang:
      std::this_thread::sleep_for(kHang);
      break;
    case FaultAction::kKill:
      ::kill(::getpid(), SIGKILL);
      break;
  }
}

Result<Fault> parse_step_fault(std::string_view text,
                               std::string_view name,
                               std::string_view action) {
  Fault fault;
  fault.area = kStepArea;
  const auto* step = std::ranges::find(kSteps, name, &StepName::name);
  if (step == kSteps.end()) {
    return fail(Errc::kInvalid, "\"{}\": expected a step that margayd fault-points lists", text);
  }
  fault.step = step->step;
  if (!take_action(action, fault) || fault.action == FaultAction::kFail) {
    return fail(Errc::kInvalid, "\"{}\": expected delay=MILLISECONDS, hang or kill", text);
  }
  return fault;
}

Result<Fault> parse_fault(std::string_view text) {
  const auto bad = [text](const char* expected) {
    return fail(Errc::kInvalid, "\"{}\": expected {}", text, expected);
  };
  const auto parts = parts_of(text, ':');
  constexpr std::size_t kParts = 3;
  if (parts.size() != kParts) {
    return bad("AREA:CALL:ACTION, such as nft:3:fail");
  }
  if (parts[0] == kStepArea) {
    return parse_step_fault(text, parts[1], parts[2]);
  }
  Fault fault;
  fault.area = parts[0];
  if (std::ranges::find(kFaultAreas, parts[0]) == kFaultAreas.end()) {
    return bad("the area nft, routes, fib, links or step");
  }
  std::string_view call = parts[1];
  if (call.ends_with('+')) {
    fault.onwards = true;
    call.remove_suffix(1);
  }
  fault.call = number_of(call).value_or(0);
  if (fault.call == 0) {
    return bad("the number of a call from 1, with + for all later ones");
  }
  if (!take_action(parts[2], fault)) {
    return bad("fail, delay=MILLISECONDS, hang or kill");
  }
  return fault;
}

// Counts the calls of one kernel object.
class FaultCounter {
 public:
  explicit FaultCounter(std::vector<Fault> faults) : faults_(std::move(faults)) {}

  // Before a call: the error to answer in its place, or nothing, perhaps after a while.
  std::optional<Error> before_call() {
    ++calls_;
    for (const Fault& fault : faults_) {
      if (fault.onwards ? calls_ < fault.call : calls_ != fault.call) {
        continue;
      }
      if (fault.action == FaultAction::kFail) {
        return Error{
            Errc::kUnavailable, fault.area + ": fault at call " + std::to_string(calls_), 0};
      }
      strike(fault);
    }
    return std::nullopt;
  }

 private:
  std::vector<Fault> faults_;
  unsigned calls_ = 0;
};

class FaultyNftKernel final : public nft::NftKernel {
 public:
  FaultyNftKernel(std::unique_ptr<nft::NftKernel> kernel, std::vector<Fault> faults)
      : kernel_(std::move(kernel)), faults_(std::move(faults)) {}

  Result<void, nft::CommitError> commit(const nft::Transaction& transaction) override {
    if (auto error = faults_.before_call()) {
      return fail(nft::CommitError{transaction.size(), std::move(*error)});
    }
    return kernel_->commit(transaction);
  }
  Result<std::optional<nft::Table>> dump() override {
    if (auto error = faults_.before_call()) {
      return fail(std::move(*error));
    }
    return kernel_->dump();
  }
  Result<std::vector<nft::RuleHandle>> rule_handles(const std::string& chain) override {
    if (auto error = faults_.before_call()) {
      return fail(std::move(*error));
    }
    return kernel_->rule_handles(chain);
  }
  [[nodiscard]] int event_descriptor() const override { return kernel_->event_descriptor(); }
  [[nodiscard]] nft::Changes take_changes() override { return kernel_->take_changes(); }

 private:
  std::unique_ptr<nft::NftKernel> kernel_;
  FaultCounter faults_;
};

class FaultyRouteKernel final : public RouteKernel {
 public:
  FaultyRouteKernel(std::unique_ptr<RouteKernel> kernel, std::vector<Fault> faults)
      : kernel_(std::move(kernel)), faults_(std::move(faults)) {}

  std::vector<Result<void>> apply(std::span<const RouteChange> changes) override {
    if (auto error = faults_.before_call()) {
      return {changes.size(), Result<void>(fail(*error))};
    }
    return kernel_->apply(changes);
  }
  Result<std::vector<RouteSpec>> dump(RouteProtocol protocol) override {
    if (auto error = faults_.before_call()) {
      return fail(std::move(*error));
    }
    return kernel_->dump(protocol);
  }
  [[nodiscard]] std::uint32_t port() const override { return kernel_->port(); }
  Result<NextHop> lookup(const IpAddr& destination) override {
    if (auto error = faults_.before_call()) {
      return fail(std::move(*error));
    }
    return kernel_->lookup(destination);
  }

 private:
  std::unique_ptr<RouteKernel> kernel_;
  FaultCounter faults_;
};

class FaultyLinkKernel final : public LinkKernel {
 public:
  FaultyLinkKernel(std::unique_ptr<LinkKernel> kernel, std::vector<Fault> faults)
      : kernel_(std::move(kernel)), faults_(std::move(faults)) {}

  Result<std::vector<LinkState>> links() override {
    return call([this] { return kernel_->links(); });
  }
  Result<LinkState> link(const IfName& name) override {
    return call([&] { return kernel_->link(name); });
  }
  Result<IfIndex> create_veth(const VethSpec& veth) override {
    return call([&] { return kernel_->create_veth(veth); });
  }
  Result<void> set_up(IfIndex link) override {
    return call([&] { return kernel_->set_up(link); });
  }
  Result<void> remove(std::span<const IfIndex> links) override {
    return call([&] { return kernel_->remove(links); });
  }
  Result<void> configure(IfIndex link, const DeviceConfig& config) override {
    return call([&] { return kernel_->configure(link, config); });
  }
  Result<void> add_addresses(std::span<const AddressSpec> addresses) override {
    return call([&] { return kernel_->add_addresses(addresses); });
  }
  Result<void> set_neighbours(std::span<const NeighbourSpec> neighbours) override {
    return call([&] { return kernel_->set_neighbours(neighbours); });
  }
  Result<std::vector<AddressSpec>> addresses() override {
    return call([this] { return kernel_->addresses(); });
  }

 private:
  template <typename Call>
  auto call(Call make) -> decltype(make()) {
    if (auto error = faults_.before_call()) {
      return fail(std::move(*error));
    }
    return make();
  }

  std::unique_ptr<LinkKernel> kernel_;
  FaultCounter faults_;
};

template <typename Faulty, typename Kernel>
std::unique_ptr<Kernel> wrap(std::unique_ptr<Kernel> kernel,
                             const std::vector<Fault>& faults,
                             std::string_view area) {
  std::vector<Fault> own;
  std::ranges::copy_if(
      faults, std::back_inserter(own), [area](const Fault& fault) { return fault.area == area; });
  if (own.empty()) {
    return kernel;
  }
  return std::make_unique<Faulty>(std::move(kernel), std::move(own));
}

}  // namespace

Result<std::vector<Fault>> parse_faults(std::string_view text) {
  std::vector<Fault> faults;
  if (text.empty()) {
    return faults;
  }
  for (const std::string_view part : parts_of(text, ',')) {
    auto fault = parse_fault(part);
    if (!fault) {
      return fail(fault.error());
    }
    faults.push_back(std::move(*fault));
  }
  return faults;
}

AtStep step_faults(const std::vector<Fault>& faults) {
  std::vector<Fault> own;
  std::ranges::copy_if(
      faults, std::back_inserter(own), [](const Fault& fault) { return fault.step.has_value(); });
  if (own.empty()) {
    return nullptr;
  }
  return [own](Step step) {
    for (const Fault& fault : own) {
      if (fault.step == step) {
        strike(fault);
      }
    }
  };
}

std::unique_ptr<nft::NftKernel> with_faults(std::unique_ptr<nft::NftKernel> kernel,
                                            const std::vector<Fault>& faults,
                                            std::string_view area) {
  return wrap<FaultyNftKernel>(std::move(kernel), faults, area);
}
std::unique_ptr<RouteKernel> with_faults(std::unique_ptr<RouteKernel> kernel,
                                         const std::vector<Fault>& faults,
                                         std::string_view area) {
  return wrap<FaultyRouteKernel>(std::move(kernel), faults, area);
}
std::unique_ptr<LinkKernel> with_faults(std::unique_ptr<LinkKernel> kernel,
                                        const std::vector<Fault>& faults,
                                        std::string_view area) {
  return wrap<FaultyLinkKernel>(std::move(kernel), faults, area);
}

}  // namespace margay
