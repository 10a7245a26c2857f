#!/usr/bin/env bash
# Make sure that `make images-test` can build and run images here: install what is missing, or say in one line what it is.
set -euo pipefail

packages=()
for tool in buildah debootstrap runc; do command -v "$tool" >/dev/null || packages+=("$tool"); done
[ ${#packages[@]} -eq 0 ] || "$(dirname "$0")/../packages.sh" images-test "${packages[@]}"
[ "$(id -u)" = 0 ] || { echo "make images-test needs root, for it mounts root file systems: sudo make images-test" >&2; exit 1; }
