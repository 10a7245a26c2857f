#!/usr/bin/env bash
# Make sure that `make images-test` can build and run images here, or say in one line what it lacks.
set -euo pipefail

missing=()
for tool in buildah debootstrap runc; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if [ ${#missing[@]} -gt 0 ]; then
  echo "make images-test needs ${missing[*]}: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
[ "$(id -u)" = 0 ] || { echo "make images-test needs root, for it mounts root file systems: sudo make images-test" >&2; exit 1; }
