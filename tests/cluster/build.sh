#!/usr/bin/env bash
# Build the control plane from the Go modules that tests/cluster/go pins, into a cache outside the checkout: each binary
# once, and again when its pins change. `build.sh node` builds what a node runs as well.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/serin/cluster/bin
# module, package
programs=(
  "etcd go.etcd.io/etcd/server/v3 etcd"
  "kubernetes k8s.io/kubernetes/cmd/kube-apiserver kube-apiserver"
  "kubernetes k8s.io/kubernetes/cmd/kube-controller-manager kube-controller-manager"
  "istio istio.io/istio/pilot/cmd/pilot-discovery pilot-discovery"
)
if [ "${1:-}" = node ]; then
  for name in kube-scheduler kubelet kube-proxy; do programs+=("kubernetes k8s.io/kubernetes/cmd/$name $name"); done
fi

# What "kubectl version" and a client's checks are told; Kubernetes' own build sets it so.
release=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ { print $2 }' "$here/go/kubernetes/go.mod")
flags="-s -w -X k8s.io/component-base/version.gitVersion=$release"

pins() { { cat "$here/go/$1/go.mod" "$here/go/$1/go.sum"; echo "$flags"; } | sha256sum | cut -c 1-16; }

missing=()
for program in "${programs[@]}"; do
  read -r module _ name <<<"$program"
  [ -x "$cache/$name" ] && [ "$(cat "$cache/$name.pins" 2>/dev/null)" = "$(pins "$module")" ] || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] && exit 0

version=$(go env GOVERSION 2>/dev/null || true)
if ! printf '%s\n%s\n' go1.26 "${version:-go0}" | sort -V -C; then
  echo "make cluster-test needs Go 1.26 or newer, found ${version:-none}: https://go.dev/dl" >&2
  exit 1
fi
mkdir -p "$cache"
echo "building ${#missing[@]} of ${#programs[@]} programs of the control plane into $cache (once)"
for program in "${missing[@]}"; do
  read -r module package name <<<"$program"
  printf '  %-24s ' "$name"
  start=$SECONDS
  (cd "$here/go/$module" && go build -trimpath -ldflags "$flags" -o "$cache/$name.new" "$package")
  # Only a whole binary gets its name.
  mv "$cache/$name.new" "$cache/$name"
  pins "$module" >"$cache/$name.pins"
  echo "$((SECONDS - start)) s, $(($(stat -c %s "$cache/$name") / 1000000)) MB"
done
