# For check.sh of the topologies: runs commands in nodes, in a lab of namespaces or in containerlab's containers.
set -u
lab=$(sed -n 's/^name: *//p' "$MARGAY_LAB_FILE")
failures=0

on() {  # on NODE COMMAND...
  local node=$1
  shift
  if [ -n "${MARGAY_LAB:-}" ]; then
    "$MARGAY_LAB" exec "$MARGAY_LAB_FILE" "$node" -- "$@" < /dev/null
  else
    docker exec "clab-$lab-$node" "$@"
  fi
}

# expect "what" NODE COMMAND... : the command succeeds within 30 s.
expect() {
  local what=$1 deadline=$((SECONDS + 30))
  shift
  until on "$@" > /dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      echo "FAIL $what"
      failures=$((failures + 1))
      return
    fi
    sleep 0.3
  done
  echo "ok   $what"
}

finish() {
  echo "$failures failed"
  [ "$failures" -eq 0 ]
  exit
}
