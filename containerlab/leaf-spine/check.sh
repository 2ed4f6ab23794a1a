#!/usr/bin/env bash
# Sessions on both sides, equal-cost paths over both spines, the other rack's nodes reachable.
. "$(dirname "$0")/../lib.sh"
for protocol in spine1 spine2 node1 node2; do
  expect "leaf1 (BIRD): session with $protocol" leaf1 sh -c "birdc show protocols $protocol | grep -q Established"
done
expect "leaf2 (FRR): four sessions" leaf2 sh -c \
  'test "$(vtysh -c "show bgp ipv4 unicast summary json" | grep -c "\"Established\"")" -eq 4'
expect "leaf1: two paths to leaf2" leaf1 sh -c 'test "$(ip route show 10.255.0.12 | grep -c nexthop)" -eq 2'
expect "leaf2: two paths to leaf1" leaf2 sh -c 'ip route show 10.255.0.11 | grep -q nhid; test "$(ip route show 10.255.0.11 | grep -c "via 10.0")" -eq 2'
for node in node1 node2 node3 node4; do
  expect "$node: session with its leaf" "$node" sh -c 'margayctl bgp peers | grep -qi established'
done
expect "node1 reaches node4 across the racks" node1 ping -c 1 -W 1 172.16.2.14
finish
