#!/usr/bin/env bash
# Download the CustomResourceDefinitions of the pinned releases into the cache, for the tests of the manifests.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=infra/upstream/versions.env
source infra/upstream/versions.env

cache="${XDG_CACHE_HOME:-$HOME/.cache}/serin"
mkdir -p "$cache"
fresh=$(mktemp -d "$cache/crds.XXXXXX")
trap 'rm -rf "$fresh"' EXIT

fetch() { # NAME URL
  echo "  $1 from $2"
  curl --fail --silent --show-error --location --retry 3 --output "$fresh/$1.yaml" "$2"
}
github=https://github.com
fetch kserve "$github/kserve/kserve/releases/download/$KSERVE/kserve-crds.yaml"
fetch istio "https://raw.githubusercontent.com/istio/istio/$ISTIO/manifests/charts/base/files/crd-all.gen.yaml"
fetch prometheus \
  "$github/prometheus-operator/prometheus-operator/releases/download/$PROMETHEUS_OPERATOR/stripped-down-crds.yaml"

# All or nothing: a half-filled folder would let tests skip in silence.
rm -rf "$cache/crds"
mv "$fresh" "$cache/crds"
trap - EXIT
echo "the CRDs are in $cache/crds"
