#pragma once
// What a node's tables may look like, for the same policy: ours, Calico's, and none but connection
// tracking. Each is loaded into the network namespace of the calling thread.
//
// Endpoint 0 is the client and 1 the server of a Path. Every endpoint has three policies for what
// comes in, of which the last one allows UDP (or what else is said) to Path::kPort from a hundredth
// of the endpoints, the client among them for the server's; what goes out is allowed by a profile.

#include "api/policy.h"
#include "base/result.h"

namespace margay::bench {

struct Size {
  unsigned endpoints;
  unsigned policies;  // at least 3
};

// Tracks connections and accepts: what any stateful filter costs.
Result<void> load_floor();
// The same, and one thing more that ours does: to tell what each part of it costs.
Result<void> load_floor_and_spoof_check();   // one lookup of interface and source, in raw
Result<void> load_floor_and_second_chain();  // the second base chain in forward
// What Docker and flannel set up beside their bridges: masquerading of what leaves the cluster, so
// that connections are tracked, and a forward chain that accepts.
Result<void> load_masquerade();
Result<void> load_ours(const Size& size, api::Protocol protocol = api::kUdp);
// Calico's nftables layout (felix/nftables), from its documented chains, marks and sets: a chain
// per endpoint and direction, a chain per policy, marks as verdicts, interval sets, fib check and
// the raw, mangle and nat chains that are always there.
Result<void> load_calico(const Size& size);

}  // namespace margay::bench
