#pragma once
// Faults on purpose, for tests of what stands on the kernel: its n-th call fails, waits, hangs, or
// the process is killed instead of it. The same at a named step of a CNI call (base/step.h), which
// cannot fail. Off unless the configuration field fault_injection names some.

#include "base/step.h"
#include "kernel/link_kernel.h"
#include "kernel/nft/nft_kernel.h"
#include "kernel/route_kernel.h"

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace margay {

enum class FaultAction : std::uint8_t { kFail, kDelay, kHang, kKill };

// The calls of one kernel object are counted together, dumps and writes, from 1.
struct Fault {
  std::string area;                         // one of kFaultAreas, or kStepArea
  unsigned call = 1;                        // from 1
  std::optional<Step> step = std::nullopt;  // of kStepArea, instead of a call
  bool onwards = false;                     // this one and every later one
  FaultAction action = FaultAction::kFail;
  std::chrono::milliseconds delay{};  // of kDelay
};
inline constexpr std::array<std::string_view, 4> kFaultAreas{"nft", "routes", "fib", "links"};
inline constexpr std::string_view kStepArea = "step";

// "nft:3:fail,routes:5+:delay=200,links:1:hang,fib:2:kill,step:link-made:kill"; times in
// milliseconds. Empty: none.
[[nodiscard]] Result<std::vector<Fault>> parse_faults(std::string_view text);

// Does what the faults say of a step, each time it is passed; null when they name none.
[[nodiscard]] AtStep step_faults(const std::vector<Fault>& faults);

// Those of `area` around the kernel; the same object when there are none.
[[nodiscard]] std::unique_ptr<nft::NftKernel> with_faults(std::unique_ptr<nft::NftKernel> kernel,
                                                          const std::vector<Fault>& faults,
                                                          std::string_view area);
[[nodiscard]] std::unique_ptr<RouteKernel> with_faults(std::unique_ptr<RouteKernel> kernel,
                                                       const std::vector<Fault>& faults,
                                                       std::string_view area);
[[nodiscard]] std::unique_ptr<LinkKernel> with_faults(std::unique_ptr<LinkKernel> kernel,
                                                      const std::vector<Fault>& faults,
                                                      std::string_view area);

}  // namespace margay
