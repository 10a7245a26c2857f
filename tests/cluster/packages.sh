#!/usr/bin/env bash
# Make sure that what the cluster tests take from the system is installed.
set -euo pipefail

packages=()
command -v ip >/dev/null || packages+=(iproute2)
command -v prometheus >/dev/null || packages+=(prometheus)
[ ${#packages[@]} -eq 0 ] || "$(dirname "$0")/../packages.sh" cluster-test "${packages[@]}"

"$(dirname "$0")/../manifests/kustomize.sh"
if ! command -v kubectl >/dev/null; then
  echo "make cluster-test needs kubectl, to show what a user sees: https://kubernetes.io/docs/tasks/tools" >&2
  exit 1
fi
