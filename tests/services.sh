#!/usr/bin/env bash
# Make sure that the servers which the integration tests talk to are installed: by apt where we may, else say so.
set -euo pipefail
"$(dirname "$0")/manifests/kustomize.sh"

packages=()
command -v redis-server >/dev/null || packages+=(redis-server)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || packages+=(postgresql)
command -v prometheus >/dev/null || packages+=(prometheus)
[ ${#packages[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing ${packages[*]} for the integration tests"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # No server is to start by itself: the tests start their own.
  policy=/usr/sbin/policy-rc.d
  [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; trap 'rm -f "$policy"' EXIT; }
  apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null
  exit 0
fi
echo "make test needs ${packages[*]}: sudo apt-get install ${packages[*]}" >&2
exit 1
