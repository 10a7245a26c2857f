#!/usr/bin/env bash
# Run a command in a network and a process namespace of its own: what it starts ends with it, however it ends, and its
# ports are nobody else's. The one address, 10.200.0.1/16 on the loopback interface, makes all of 10.200.0.0/16 local:
# every "pod" binds an address of its own, and unlike 127.0.0.0/8 an EndpointSlice takes it.
set -euo pipefail

own=(--net --pid --fork --kill-child --mount-proc)
[ "$(id -u)" = 0 ] || own+=(--map-root-user)
if ! denied=$(unshare "${own[@]}" true 2>&1); then
  echo "make cluster-test needs the right to make a network namespace: run it as root, or in a container with" \
    "CAP_SYS_ADMIN (${denied:-unshare was refused})" >&2
  exit 1
fi
export SERIN_CLUSTER_TEST=10.200.0.1
exec unshare "${own[@]}" bash -c \
  'ip link set lo up && ip address add "$SERIN_CLUSTER_TEST/16" dev lo && exec "$@"' run "$@"
