#!/usr/bin/env bash
# Every node has a session with both reflectors and no other; routes are reflected with the cluster's identifier.
. "$(dirname "$0")/../lib.sh"
for node in node1 node2 node3 node4 node5 node6; do
  expect "$node: two sessions, both up" "$node" sh -c \
    'margayctl bgp peers > /run/peers; test "$(grep -ci established /run/peers)" -eq 2 -a "$(grep -c reflectors- /run/peers)" -eq 2'
done
for reflector in rr1 rr2; do
  expect "$reflector: seven sessions are up" "$reflector" sh -c 'test "$(margayctl bgp peers | grep -ci established)" -eq 7'
done
server=$(on server ip -4 -o addr show dev eth0 | sed -n 's/.* inet \([0-9.]*\).*/\1/p')
expect "node1 has the way to the pods of node6 itself" node1 sh -c "ip route get $server | grep -q 'via 172.18.0.16'"
expect "node1 has it from both reflectors" node1 sh -c \
  'test "$(margayctl bgp routes -o json | grep -o 244.0.0.1 | wc -l)" -ge 2'
expect "client reaches server ($server)" client ping -c 1 -W 1 "$server"
finish
