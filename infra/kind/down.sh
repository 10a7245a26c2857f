#!/usr/bin/env bash
# Remove the cluster of up.sh, with all that is in it.
set -euo pipefail
command -v kind >/dev/null || { echo "make cluster-down needs kind on the PATH" >&2; exit 1; }
kind delete cluster --name serin
