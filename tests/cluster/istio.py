"""istiod with its validating webhook, and a stock Envoy that it configures as the ingress gateway."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import yaml

from tests.cluster.api import ADDRESS, Document
from tests.cluster.plane import Plane, binary, running
from tests.integration.serving_world import until

ROOT = "istio-system"
INGRESS = "istio-ingress"
GATEWAY = "10.200.0.2"
_NAME = "istio-ingressgateway"
_POD = f"{_NAME}-0"
_LABELS = {"app": _NAME, "istio": "ingressgateway"}
_PORTS = {"http2": 80, "https": 443}
_ADMIN = "http://127.0.0.1:15000"
# A stock Envoy has none of the filters that Istio's build adds.
_SETTINGS = {
    "ENABLE_LEADER_ELECTION": "false",
    "INJECTION_WEBHOOK_CONFIG_NAME": "",
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "PILOT_ENABLE_GATEWAY_API": "false",
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "POD_NAME": "istiod-0",
    "POD_NAMESPACE": ROOT,
    "REVISION": "default",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "",
}
_MESH = {"enableAutoMtls": False, "enableTracing": False, "defaultConfig": {"discoveryAddress": f"{ADDRESS}:15012"}}


@contextmanager
def istiod(plane: Plane) -> Iterator[None]:
    """istiod, ready and asked by the API server about every object of Istio's, until the end of the block."""
    folder = plane.folder / "istiod"
    folder.mkdir()
    mesh = folder / "mesh.yaml"
    mesh.write_text(yaml.safe_dump(_MESH))
    pair = plane.authority.issue("istiod", hosts=[ADDRESS, f"istiod.{ROOT}.svc"])
    plane.api.apply(_object("v1", "Namespace", ROOT))
    command = [
        binary("pilot-discovery"), "discovery", "--kubeconfig", plane.admin, "--meshConfig", mesh,
        "--registries", "Kubernetes", "--clusterID", "Kubernetes", "--namespace", ROOT,
        "--httpAddr", "127.0.0.1:15013", "--monitoringAddr", "127.0.0.1:15014",
        "--caCertFile", plane.authority.certificate, "--tlsCertFile", pair.certificate, "--tlsKeyFile", pair.key,
        "--log_output_level", "default:warn",
    ]  # fmt: skip
    with running(command, folder / "istiod.log", **_SETTINGS) as process:
        until(lambda: process.poll() is not None or _answers("http://127.0.0.1:15013/ready"), "istiod", 60)
        assert process.poll() is None, (folder / "istiod.log").read_text()[-2000:]
        plane.api.apply(_webhook(plane.authority.certificate.read_bytes()))
        yield


@contextmanager
def gateway(plane: Plane) -> Iterator[None]:
    """The ingress gateway on the address GATEWAY, ports 80 and 443, until the end of the block.

    It signs on to istiod as the gateway's service account, as Istio's own does; only so does it get the key of a TLS
    server.
    """
    for document in _gateway_objects():
        plane.api.apply(document)
    ready = [{"type": "Ready", "status": "True"}]
    status = {"phase": "Running", "podIP": GATEWAY, "podIPs": [{"ip": GATEWAY}], "conditions": ready}
    plane.api.apply({**_object("v1", "Pod", _POD), "status": status}, part="status")
    bootstrap = plane.folder / "gateway.yaml"
    token = plane.api.token(INGRESS, _NAME, "istio-ca")
    bootstrap.write_text(json.dumps(_bootstrap(token, str(plane.authority.certificate))))
    command = ["envoy", "-c", bootstrap, "--concurrency", "1", "--log-level", "warn"]
    with running(command, plane.folder / "gateway.log") as process:
        until(lambda: process.poll() is not None or _answers(f"{_ADMIN}/ready"), "the gateway", 60)
        assert process.poll() is None, (plane.folder / "gateway.log").read_text()[-2000:]
        yield


def gateway_config() -> str:
    """What Envoy holds just now, JSON."""
    return httpx.get(f"{_ADMIN}/config_dump?include_eds", timeout=30).text


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def _object(api: str, kind: str, name: str, **parts: Any) -> Document:
    metadata = {"name": name, "namespace": INGRESS} if kind != "Namespace" else {"name": name}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **parts}


def _webhook(authority: bytes) -> Document:
    """As Istio's chart has it, but for the URL: there is no Service network here."""
    groups = [f"{group}.istio.io" for group in ("security", "networking", "telemetry", "extensions")]
    rule = {"operations": ["CREATE", "UPDATE"], "apiGroups": groups, "apiVersions": ["*"], "resources": ["*"]}
    webhook = {
        "name": "rev.validation.istio.io",
        "clientConfig": {
            "url": f"https://{ADDRESS}:15017/validate",
            "caBundle": base64.b64encode(authority).decode(),
        },
        "rules": [rule],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    api, kind = "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "istio-validator"}, "webhooks": [webhook]}


def _gateway_objects() -> list[Document]:
    """What Istio's chart makes for the gateway, and what a kubelet and the endpoint controller would add."""
    subject = [{"kind": "ServiceAccount", "name": _NAME, "namespace": INGRESS}]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": _NAME}
    secrets = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "watch", "list"]}]
    pod = _object("v1", "Pod", _POD)
    pod["metadata"]["labels"] = _LABELS
    containers = [{"name": "istio-proxy", "image": "envoy"}]
    # It runs already: no scheduler is to give it to a node.
    pod["spec"] = {"serviceAccountName": _NAME, "schedulerName": "none", "containers": containers}
    ports = [{"name": name, "port": port, "targetPort": port} for name, port in _PORTS.items()]
    endpoints = _object("discovery.k8s.io/v1", "EndpointSlice", _NAME)
    endpoints["metadata"]["labels"] = {"kubernetes.io/service-name": _NAME}
    target = {"kind": "Pod", "name": _POD, "namespace": INGRESS}
    endpoints |= {
        "addressType": "IPv4",
        "ports": [{"name": name, "port": port} for name, port in _PORTS.items()],
        "endpoints": [{"addresses": [GATEWAY], "conditions": {"ready": True}, "targetRef": target}],
    }
    return [
        _object("v1", "Namespace", INGRESS),
        _object("v1", "ServiceAccount", _NAME),
        _object("rbac.authorization.k8s.io/v1", "Role", _NAME, rules=secrets),
        _object("rbac.authorization.k8s.io/v1", "RoleBinding", _NAME, subjects=subject, roleRef=role),
        pod,
        _object("v1", "Service", _NAME, spec={"selector": _LABELS, "ports": ports}),
        endpoints,
    ]


def _bootstrap(token: str, authority: str) -> Document:
    ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    service = {
        "envoy_grpc": {"cluster_name": "xds-grpc"},
        "initial_metadata": [{"key": "authorization", "value": f"Bearer {token}"}],
    }
    return {
        "node": _node(),
        "admin": {"address": _address("127.0.0.1", 15000)},
        "dynamic_resources": {
            "lds_config": ads,
            "cds_config": ads,
            "ads_config": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [service]},
        },
        "static_resources": {"clusters": [_discovery_cluster(authority)]},
    }


def _node() -> Document:
    return {
        "id": f"router~{GATEWAY}~{_POD}.{INGRESS}~{INGRESS}.svc.cluster.local",
        "cluster": f"{_NAME}.{INGRESS}",
        "metadata": {
            "CLUSTER_ID": "Kubernetes",
            "INSTANCE_IPS": GATEWAY,
            "ISTIO_VERSION": "1.31.0",
            "LABELS": _LABELS,
            "MESH_ID": "cluster.local",
            "NAME": _POD,
            "NAMESPACE": INGRESS,
            "SERVICE_ACCOUNT": _NAME,
        },
    }


def _discovery_cluster(authority: str) -> Document:
    validation = {"trusted_ca": {"filename": authority}}
    tls = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": f"istiod.{ROOT}.svc",
        "common_tls_context": {"alpn_protocols": ["h2"], "validation_context": validation},
    }
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": _address(ADDRESS, 15012)}}
    return {
        "name": "xds-grpc",
        "type": "STATIC",
        "connect_timeout": "1s",
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
        "load_assignment": {"cluster_name": "xds-grpc", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address(host: str, port: int) -> Document:
    return {"socket_address": {"address": host, "port_value": port}}
