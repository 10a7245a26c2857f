#!/usr/bin/env bash
# Make sure that Kustomize is there, which renders the manifests: on the PATH, in kubectl, else built once into the cache.
set -euo pipefail
cd "$(dirname "$0")/kustomize"

bin="${XDG_CACHE_HOME:-$HOME/.cache}/serin/bin"
if command -v kustomize >/dev/null || command -v kubectl >/dev/null || [ -x "$bin/kustomize" ]; then
  exit 0
fi
if ! command -v go >/dev/null; then
  echo "make test needs kustomize or kubectl on the PATH, or Go to build kustomize with" >&2
  exit 1
fi
echo "building kustomize into $bin (once)"
mkdir -p "$bin"
go build -trimpath -ldflags "-s -w" -o "$bin/kustomize.$$" sigs.k8s.io/kustomize/kustomize/v5
mv "$bin/kustomize.$$" "$bin/kustomize"
