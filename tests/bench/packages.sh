#!/usr/bin/env bash
# Make sure that the servers and the load generator which `make bench` starts are installed.
set -euo pipefail

packages=()
command -v redis-server >/dev/null || packages+=(redis-server)
command -v wrk >/dev/null || packages+=(wrk)
[ ${#packages[@]} -eq 0 ] || "$(dirname "$0")/../packages.sh" bench "${packages[@]}"
