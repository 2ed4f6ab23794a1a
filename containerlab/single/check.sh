#!/usr/bin/env bash
# The agent is ready, both pods have addresses, and the client reaches the server by plain routing.
. "$(dirname "$0")/../lib.sh"
expect "agent is ready" node1 margayctl node status
expect "route of a pod is there" node1 sh -c 'ip route show proto 90 | grep -q mgy'
expect "no bridge and no tunnel" node1 sh -c '! ip -d link | grep -Eq "bridge|vxlan|ipip|gre"'
server=$(on server ip -4 -o addr show dev eth0 | sed -n 's/.* inet \([0-9.]*\).*/\1/p')
expect "client reaches server ($server)" client ping -c 1 -W 1 "$server"
finish
