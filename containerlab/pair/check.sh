#!/usr/bin/env bash
# Both nodes are ready and have a session with each other.
. "$(dirname "$0")/../lib.sh"
for node in node1 node2; do
  expect "$node: one session is up" "$node" sh -c 'test "$(margayctl bgp peers | grep -ci established)" -eq 1'
done
finish
