#!/usr/bin/env bash
# Make sure that the servers which the integration tests talk to are installed, and what LightGBM needs.
set -euo pipefail
"$(dirname "$0")/manifests/kustomize.sh"

packages=()
command -v redis-server >/dev/null || packages+=(redis-server)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || packages+=(postgresql)
command -v prometheus >/dev/null || packages+=(prometheus)
# A Mac's LightGBM looks for OpenMP elsewhere.
[ "$(uname)" != Linux ] || python3 -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || packages+=(libgomp1)
[ ${#packages[@]} -eq 0 ] || "$(dirname "$0")/packages.sh" test "${packages[@]}"
