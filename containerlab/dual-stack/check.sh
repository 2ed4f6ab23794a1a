#!/usr/bin/env bash
# A session per family with every node and with the router; pods and the router reach each other over both families.
. "$(dirname "$0")/../lib.sh"
for node in node1 node2 node3; do
  expect "$node: six sessions are up" "$node" sh -c 'test "$(margayctl bgp peers | grep -ci established)" -eq 6'
  expect "$node: the router's network, IPv4" "$node" sh -c 'ip route show 198.51.100.0/24 proto 91 | grep -q "via 172.18.0.1"'
  expect "$node: the router's network, IPv6" "$node" sh -c 'ip -6 route show 2001:db8:98::/48 proto 91 | grep -q via'
done
v4=$(on server ip -4 -o addr show dev eth0 | sed -n 's/.* inet \([0-9.]*\).*/\1/p')
v6=$(on server ip -6 -o addr show dev eth0 scope global | sed -n 's/.* inet6 \([0-9a-f:]*\).*/\1/p')
expect "client reaches server ($v4)" client ping -c 1 -W 1 "$v4"
expect "client reaches server ($v6)" client ping -c 1 -W 1 "$v6"
expect "client reaches the router, IPv4" client ping -c 1 -W 1 198.51.100.1
expect "client reaches the router, IPv6" client ping -c 1 -W 1 2001:db8:98::1
finish
