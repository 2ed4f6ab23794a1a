#pragma once
// Label selectors of Kubernetes, as several kinds have them. Internal to api/.

#include "api/codec.h"
#include "api/kubernetes.h"

namespace margay::api {

template <typename Visitor>
void describe(Visitor& visit, LabelSelector& selector);

}  // namespace margay::api
