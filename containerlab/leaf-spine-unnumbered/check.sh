#!/usr/bin/env bash
# Sessions over wires without addresses, equal-cost paths over both spines in both families, nodes and pods reach each other.
. "$(dirname "$0")/../lib.sh"
expect "spine1 (margay-bgpd): two sessions" spine1 sh -c 'test "$(margayctl bgp peers | grep -ci established)" -eq 2'
expect "spine2 (FRR): two sessions" spine2 sh -c \
  'test "$(vtysh -c "show bgp ipv4 unicast summary json" | grep -c "\"Established\"")" -eq 2'
expect "leaf1 (BIRD): four sessions" leaf1 sh -c 'test "$(birdc show protocols | grep -c Established)" -eq 4'
expect "leaf2 (FRR): four sessions" leaf2 sh -c \
  'test "$(vtysh -c "show bgp ipv4 unicast summary json" | grep -c "\"Established\"")" -eq 4'
for node in node1 node2 node3 node4; do
  expect "$node: session with its leaf" "$node" sh -c 'margayctl bgp peers | grep -qi established'
  expect "$node: BFD with its leaf" "$node" sh -c 'margayctl bgp neighbors leaf | grep -q "bfd Up"'
done
expect "leaf1: no wire has an IPv4 address" leaf1 sh -c '! ip -4 -o addr show | grep -q " eth"'
expect "leaf1: two paths to node4" leaf1 sh -c 'test "$(ip route show 10.255.2.14 | grep -c "nexthop via inet6 fe80:")" -eq 2'
expect "leaf2: two paths to node1" leaf2 sh -c 'test "$(ip route show 10.255.1.11 | grep -c "via inet6 fe80:")" -eq 2'
expect "node1 reaches node4 by its loopback address" node1 ping -c 1 -W 1 10.255.2.14
expect "and by IPv6" node1 ping -c 1 -W 1 2001:db8:255:2::14
server4=$(on server ip -4 -o addr show dev eth0 | sed -n 's/.* inet \([0-9.]*\).*/\1/p')
server6=$(on server ip -6 -o addr show dev eth0 scope global | sed -n 's/.* inet6 \([0-9a-f:]*\).*/\1/p')
expect "client reaches server ($server4)" client ping -c 1 -W 1 "$server4"
expect "client reaches server ($server6)" client ping -c 1 -W 1 "$server6"
finish
