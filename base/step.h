#pragma once
// Steps: the moments of a CNI call between which something changes in the store, the kernel or the
// state directory. Whoever passes one says so through AtStep, so that a test can stop the agent
// exactly there (kernel/faults.h: `step:NAME:kill`); otherwise nobody listens.
//
// The table is the only list of them: `margayd fault-points` prints it, and the tests that stop an
// agent at each take it from there.

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>

namespace margay {

enum class Step : std::uint8_t {
  kAddBegun,
  kAddNoted,
  kClaimPending,
  kClaimConfirmed,
  kAssignPlanned,
  kAssignCommitted,
  kLinkMade,
  kHostEndSet,
  kContainerSet,
  kAddEnforced,
  kAddForgotten,
  kDelBegun,
  kDelNoted,
  kReleasePlanned,
  kReleaseCommitted,
  kLinkRemoved,
  kReleaseOwed,
  kReplayReleased,
};

struct StepName {
  Step step;
  std::string_view name;
  std::string_view during;  // ADD, DEL, or OWED: a DEL while the store is away, and what follows
  std::string_view what;    // has just happened
};

inline constexpr auto kSteps = std::to_array<StepName>({
    {Step::kAddBegun, "add-begun", "ADD", "an ADD was taken up"},
    {Step::kAddNoted, "add-noted", "ADD", "the state directory names the ADD"},
    {Step::kClaimPending, "claim-pending", "ADD", "a new block is claimed, but not made"},
    {Step::kClaimConfirmed, "claim-confirmed", "ADD", "the new block is stored"},
    {Step::kAssignPlanned, "assign-planned", "ADD", "addresses are chosen, nothing is stored"},
    {Step::kAssignCommitted, "assign-committed", "ADD", "addresses and endpoint are stored"},
    {Step::kLinkMade, "link-made", "ADD", "both ends of the veth are there"},
    {Step::kHostEndSet, "host-end-set", "ADD", "the host's end is set up"},
    {Step::kContainerSet, "container-set", "ADD", "the container's end is set up"},
    {Step::kAddEnforced, "add-enforced", "ADD", "policy and route are in the kernel"},
    {Step::kAddForgotten, "add-forgotten", "ADD", "the state directory names the ADD no more"},
    {Step::kDelBegun, "del-begun", "DEL", "a DEL was taken up"},
    {Step::kDelNoted, "del-noted", "DEL", "the state directory names the DEL"},
    {Step::kReleasePlanned, "release-planned", "DEL", "what to free is known, nothing is stored"},
    {Step::kReleaseCommitted, "release-committed", "DEL", "addresses and endpoint are gone"},
    {Step::kLinkRemoved, "link-removed", "DEL", "the veth is gone"},
    {Step::kReleaseOwed, "release-owed", "OWED", "the journal has the release"},
    {Step::kReplayReleased, "replay-released", "OWED", "a release that was owed is done"},
});

// Told after the step; null: nobody listens.
using AtStep = std::function<void(Step)>;

inline void pass(const AtStep& at_step, Step step) {
  if (at_step) {
    at_step(step);
  }
}

}  // namespace margay
