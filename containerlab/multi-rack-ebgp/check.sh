#!/usr/bin/env bash
# Every node has a session with both switches of its rack, equal-cost paths everywhere, pods of different racks reach each other.
. "$(dirname "$0")/../lib.sh"
expect "spine1 (margay-bgpd): six sessions" spine1 sh -c 'test "$(margayctl bgp peers | grep -ci established)" -eq 6'
expect "spine2 (FRR): six sessions" spine2 sh -c \
  'test "$(vtysh -c "show bgp ipv4 unicast summary json" | grep -c "\"Established\"")" -eq 6'
for node in node1 node2 node3 node4; do
  expect "$node: sessions with both switches" "$node" sh -c 'test "$(margayctl bgp peers | grep -ci established)" -eq 2'
done
for switch in tor1b tor2b tor3b; do
  expect "$switch (FRR): BFD is up with spines and nodes" "$switch" sh -c \
    'vtysh -c "show bfd peers brief" > /run/bfd; ! grep -q down /run/bfd && test "$(grep -c up /run/bfd)" -ge 3'
done
for switch in tor1a tor2a tor3a; do
  expect "$switch (BIRD): BFD is up with spines and nodes" "$switch" sh -c \
    'birdc show bfd sessions > /run/bfd; ! grep -Eq "Down|Init" /run/bfd && test "$(grep -c " Up " /run/bfd)" -ge 3'
done
server=$(on server ip -4 -o addr show dev eth0 | sed -n 's/.* inet \([0-9.]*\).*/\1/p')
expect "node1: both switches lead to the other rack" node1 sh -c \
  'test "$(ip route show proto 91 | grep -A2 "^10\.244" | grep -c "nexthop via 172.16.1")" -ge 2'
expect "tor1a: both spines lead to the other rack" tor1a sh -c "test \"\$(ip route show match $server | grep -c 'nexthop via 10.0')\" -eq 2"
expect "spine1: both switches of rack 3 lead to it" spine1 sh -c "test \"\$(ip route show match $server | grep -c 'nexthop via 10.0')\" -eq 2"
expect "client reaches server ($server)" client ping -c 1 -W 1 "$server"
finish
