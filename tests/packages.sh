#!/usr/bin/env bash
# packages.sh TARGET PACKAGE...: install packages by apt where we may, else say what `make TARGET` needs.
set -euo pipefail

target=$1
shift
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing $* for make $target"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # No server is to start by itself: the tests start their own.
  policy=/usr/sbin/policy-rc.d
  [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; trap 'rm -f "$policy"' EXIT; }
  apt-get install -qq -y --no-install-recommends "$@" >/dev/null
  exit 0
fi
echo "make $target needs $*: sudo apt-get install $*" >&2
exit 1
