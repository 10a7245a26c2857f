"""A stand-in for KServe's controller: the Deployment and the Service that it makes of an InferenceService.

As seen of KServe 0.20: labels are handed down, the container's first port becomes port 80, every other one keeps its
number. The sidecar stands for Istio's injection.
"""

from collections.abc import Iterator

from tests.manifests.rendering import Document

SIDECAR: Document = {
    "name": "istio-proxy",
    "ports": [{"name": "http-envoy-prom", "containerPort": 15090, "protocol": "TCP"}],
}


def made_of(service: Document, runtime: Document) -> Iterator[Document]:
    """What there is once a version runs."""
    predictor, name = service["spec"]["predictor"], f"{service['metadata']['name']}-predictor"
    own = {"serving.kserve.io/inferenceservice": service["metadata"]["name"], "app": f"isvc.{name}"}
    labels = {**service["metadata"]["labels"], **own}
    metadata = {"name": name, "namespace": service["metadata"]["namespace"], "labels": labels}
    (container,) = runtime["spec"]["containers"]
    account = {key: predictor[key] for key in ("serviceAccountName",) if key in predictor}
    pod = {**account, "containers": [container, SIDECAR], "volumes": runtime["spec"]["volumes"]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    selector = {"app": f"isvc.{name}"}
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"selector": {"matchLabels": selector}, "template": template},
    }
    first, *more = (port["containerPort"] for port in container["ports"])
    ports = [{"port": 80, "targetPort": first}, *({"port": port, "targetPort": port} for port in more)]
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": selector, "ports": ports},
    }
