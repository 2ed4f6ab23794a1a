#include "policy/staged.h"

#include <utility>

namespace margay::policy {

namespace {

template <typename Staged>
std::optional<Unstaged> plain(const api::Resource& resource) {
  const auto* staged = std::get_if<Staged>(&resource.spec);
  if (staged == nullptr || staged->staged_action == api::StagedAction::kLearn ||
      staged->staged_action == api::StagedAction::kIgnore) {
    return std::nullopt;
  }
  return Unstaged{{resource.metadata, staged->policy},
                  staged->staged_action == api::StagedAction::kDelete};
}

}  // namespace

std::optional<Unstaged> unstaged(const api::Resource& staged) {
  if (auto found = plain<api::StagedGlobalNetworkPolicy>(staged)) {
    return found;
  }
  if (auto found = plain<api::StagedNetworkPolicy>(staged)) {
    return found;
  }
  return plain<api::StagedKubernetesNetworkPolicy>(staged);
}

}  // namespace margay::policy
