#!/usr/bin/env bash
# Every node has a session with both others.
. "$(dirname "$0")/../lib.sh"
for node in node1 node2 node3; do
  expect "$node: two sessions are up" "$node" sh -c 'test "$(margayctl bgp peers | grep -ci established)" -eq 2'
done
finish
