#!/usr/bin/env bash
# Make sure that what the cluster tests take from the system is installed.
set -euo pipefail

packages=()
command -v ip >/dev/null || packages+=(iproute2)
command -v prometheus >/dev/null || packages+=(prometheus)
[ ${#packages[@]} -eq 0 ] || "$(dirname "$0")/../packages.sh" cluster-test "${packages[@]}"

# Debian's is too old for Kustomize's components.
if ! kubectl kustomize --help 2>/dev/null | grep -q -- --load-restrictor; then
  echo "make cluster-test needs kubectl 1.21 or newer: https://kubernetes.io/docs/tasks/tools" >&2
  exit 1
fi
