#!/usr/bin/env bash
# A cluster on this machine with all that Serin needs, and the overlay dev. Run it again to finish what was interrupted,
# or after a change. NOT RUN by its author, who had no Docker: infra/README.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=infra/upstream/versions.env
source infra/upstream/versions.env

cluster=serin
context=kind-$cluster
images=(serin-pipeline:0.1.0 serin-predictor:0.1.0)

say() { printf '\n== %s\n' "$*"; }
k() { kubectl --context "$context" "$@"; }
h() { helm --kube-context "$context" upgrade --install --create-namespace --wait --timeout 10m "$@"; }
apply() { k apply --server-side --force-conflicts "$@"; }
random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

need() {
  local missing=()
  for command in docker kind kubectl helm; do
    command -v "$command" >/dev/null || missing+=("$command")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    echo "make cluster needs ${missing[*]} on the PATH" >&2
    exit 1
  fi
  docker info >/dev/null 2>&1 || { echo "make cluster needs a Docker engine that runs; docker info finds none" >&2; exit 1; }
  for image in "${images[@]}"; do
    docker image inspect "$image" >/dev/null 2>&1 || { echo "there is no image $image; make images builds it" >&2; exit 1; }
  done
}

create_cluster() {
  say "cluster $cluster (Kubernetes $KUBERNETES)"
  kind get clusters 2>/dev/null | grep -qx "$cluster" || kind create cluster --config infra/kind/cluster.yaml --wait 5m
  kind load docker-image --name "$cluster" "${images[@]}"
}

install_cert_manager() {
  say "cert-manager $CERT_MANAGER"
  apply -f "https://github.com/cert-manager/cert-manager/releases/download/$CERT_MANAGER/cert-manager.yaml"
  k wait -n cert-manager --for=condition=Available deployment --all --timeout=5m
}

install_istio() {
  say "Istio $ISTIO"
  local charts=https://istio-release.storage.googleapis.com/charts
  h istio-base base --repo "$charts" --version "$ISTIO" -n istio-system
  h istio-cni cni --repo "$charts" --version "$ISTIO" -n istio-system
  h istiod istiod --repo "$charts" --version "$ISTIO" -n istio-system -f infra/upstream/istiod.yaml
  h istio-ingressgateway gateway --repo "$charts" --version "$ISTIO" -n istio-ingress -f infra/kind/gateway.yaml
}

install_metrics() {
  say "metrics-server $METRICS_SERVER, kube-prometheus-stack $KUBE_PROMETHEUS_STACK"
  apply -f "https://github.com/kubernetes-sigs/metrics-server/releases/download/$METRICS_SERVER/components.yaml"
  # kind's kubelets have certificates that nobody signed.
  k patch -n kube-system deployment metrics-server --type=strategic --patch \
    '{"spec":{"template":{"spec":{"containers":[{"name":"metrics-server","args":["--cert-dir=/tmp","--secure-port=10250",
      "--kubelet-preferred-address-types=InternalIP","--kubelet-use-node-status-port","--metric-resolution=15s",
      "--kubelet-insecure-tls"]}]}}}}'
  h kube-prometheus-stack kube-prometheus-stack --repo https://prometheus-community.github.io/helm-charts \
    --version "$KUBE_PROMETHEUS_STACK" -n monitoring -f infra/upstream/prometheus.yaml \
    --set grafana.enabled=false --set alertmanager.enabled=false
}

install_kserve() {
  say "KServe $KSERVE"
  h kserve-crd oci://ghcr.io/kserve/charts/kserve-crd --version "$KSERVE" -n kserve
  h kserve oci://ghcr.io/kserve/charts/kserve-resources --version "$KSERVE" -n kserve \
    --set kserve.controller.deploymentMode=Standard
}

install_kubeflow() {
  say "Kubeflow Pipelines $KFP"
  apply -k "https://github.com/kubeflow/pipelines/manifests/kustomize/cluster-scoped-resources?ref=$KFP"
  k wait --for=condition=Established crd/applications.app.k8s.io --timeout=2m
  apply -k infra/upstream/kubeflow
  # Tasks of this namespace reach the stores: manifests/base/network.
  k label --overwrite namespace kubeflow serin/tasks=true
  k wait -n kubeflow --for=condition=Available deployment/ml-pipeline deployment/workflow-controller --timeout=15m
}

# The value of a Secret's key; nothing where it is not there yet.
secret_value() { # NAME KEY
  k get secret -n serin "$1" --ignore-not-found -o "go-template={{index .data \"$2\" | base64decode}}"
}

secret() { # NAMESPACE NAME KEY=VALUE...
  local namespace=$1 name=$2 pairs=("${@:3}")
  k create secret generic "$name" -n "$namespace" "${pairs[@]/#/--from-literal=}" --dry-run=client -o yaml | apply -f -
}

create_secrets() {
  say "Secrets, with passwords made here and kept"
  local redis postgres user key
  redis=$(secret_value serin-redis password)
  postgres=$(secret_value serin-postgres password)
  user=$(secret_value serin-s3 AWS_ACCESS_KEY_ID)
  key=$(secret_value serin-s3 AWS_SECRET_ACCESS_KEY)
  redis=${redis:-$(random)} postgres=${postgres:-$(random)} user=${user:-serin} key=${key:-$(random)}

  secret serin serin-postgres "password=$postgres"
  secret serin serin-mlflow \
    "backend-store-uri=postgresql+psycopg2://mlflow:$postgres@postgres.serin.svc.cluster.local:5432/mlflow"
  for namespace in serin kubeflow; do
    secret "$namespace" serin-redis "password=$redis" \
      "SERIN_REDIS=redis.serin.svc.cluster.local:6379,password=$redis"
    secret "$namespace" serin-s3 "AWS_ACCESS_KEY_ID=$user" "AWS_SECRET_ACCESS_KEY=$key"
  done
  k annotate --overwrite secret -n serin serin-s3 serving.kserve.io/s3-endpoint=s3.serin.svc.cluster.local:9000 \
    serving.kserve.io/s3-usehttps=0 serving.kserve.io/s3-region=us-east-1
}

install_serin() {
  say "Serin, overlay dev"
  apply -f manifests/base/namespace.yaml
  create_secrets
  apply -k manifests/overlays/dev
  for workload in statefulset/redis statefulset/postgres statefulset/s3 deployment/mlflow; do
    k rollout status -n serin "$workload" --timeout=10m
  done
}

need
create_cluster
install_cert_manager
install_istio
install_metrics
install_kserve
install_kubeflow
install_serin
cat <<'T'

The cluster is up. The gateway is at http://localhost:8080 (Host: MODEL.serin.internal), without TLS and tokens.
What `serin` asks from here, each in a terminal of its own (kubectl --context kind-serin port-forward ...):
  -n kubeflow   svc/ml-pipeline-ui 8888:80                            SERIN_KFP_HOST=http://localhost:8888
  -n serin      svc/mlflow 5000                                       MLFLOW_TRACKING_URI=http://localhost:5000
  -n serin      svc/s3 9000                                           AWS_ENDPOINT_URL, FEAST_S3_ENDPOINT_URL=http://localhost:9000
  -n serin      svc/redis 6379                                        SERIN_REDIS=localhost:6379,password=...  (Secret serin-redis)
  -n monitoring svc/kube-prometheus-stack-prometheus 9090             SERIN_PROMETHEUS=http://localhost:9090
The keys of S3 are in the Secret serin-s3. make cluster-down removes the cluster with all that is in it.
T
