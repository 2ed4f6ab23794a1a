#pragma once
// The part of the table that host endpoints need; nothing of it is there without them.
//
//   prerouting raw     host-untracked-in     doNotTrack, ingress: Allow ends connection tracking
//   prerouting mangle  host-pre-dnat         preDNAT
//   input 2            host-input            to the host            }  failsafe ports first
//   output raw         host-untracked-out    doNotTrack, egress     }
//   output 0           host-output           from the host          }
//   forward 2, 3       host-forward-in/-out  applyOnForward, by interface of arrival and departure
//
//   each: established accept; loopback and workloads accept (they have chains of their own);
//   neighbour discovery; failsafe ports; vmap interface -> stack; the stack for all interfaces
//
// Where no interface has policy at a hook, the hook has no chain.

#include "felix/calc/stack.h"
#include "felix/render/layout.h"
#include "kernel/model/nft.h"

namespace margay::felix {

// Chains and sets; stacks are named, not made.
[[nodiscard]] nft::Table host_table(const LayoutOptions& options, const HostInterfaces& hosts);

}  // namespace margay::felix
