#!/usr/bin/env bash
# Make sure that what the cluster tests take from the system is installed; `packages.sh node`: for those with a node too.
set -euo pipefail

packages=()
command -v ip >/dev/null || packages+=(iproute2)
command -v prometheus >/dev/null || packages+=(prometheus)
if [ "${1:-}" = node ]; then
  for program in containerd runc buildah debootstrap iptables gcc; do
    command -v "$program" >/dev/null || packages+=("$program")
  done
  [ -x /usr/lib/cni/bridge ] || packages+=(containernetworking-plugins)
fi
[ ${#packages[@]} -eq 0 ] || "$(dirname "$0")/../packages.sh" cluster-test "${packages[@]}"

"$(dirname "$0")/../manifests/kustomize.sh"
if ! command -v kubectl >/dev/null; then
  echo "make cluster-test needs kubectl, to show what a user sees: https://kubernetes.io/docs/tasks/tools" >&2
  exit 1
fi
