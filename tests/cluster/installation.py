"""Serin on the control plane of the tests: what an overlay renders, and the Secrets that it refers to."""

import base64
import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.cluster.api import Api, Document
from tests.cluster.istio import INGRESS
from tests.manifests import rendering

_FIRST = ("Namespace", "ServiceAccount")


def rendered(overlay: str) -> list[Document]:
    """The objects of an overlay, those that others need first."""
    return sorted(rendering.overlay(overlay), key=lambda d: _FIRST.index(d["kind"]) if d["kind"] in _FIRST else 9)


def neighbours(api: Api, found: Iterable[Document]) -> None:
    """The namespaces of what stands beside Serin, which its own installation makes."""
    named = {document["metadata"].get("namespace") for document in found} - {None, "serin"}
    for name in named:
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def here(document: Document, endpoints: Mapping[str, str], keys: str) -> Document:
    """An object of an overlay as it can work on the control plane of the tests.

    The endpoints are the tests' own, and so is the place of the tokens' keys; and the gateway does without mTLS to
    predictors, since these have no sidecar here.
    """
    changed: Document = copy.deepcopy(document)
    match document["kind"], document["metadata"]["name"]:
        case "ConfigMap", "serin-endpoints":
            changed["data"] |= endpoints
        case "RequestAuthentication", "serin":
            changed["spec"]["jwtRules"][0]["jwksUri"] = keys
        case "DestinationRule", "predictors":
            changed["spec"]["trafficPolicy"]["tls"] = {"mode": "DISABLE"}
    return changed


@dataclass(frozen=True)
class Stores:
    """Where Redis (HOST:PORT) and PostgreSQL (SQLAlchemy's URI) are; by default none is there."""

    redis: str = "127.0.0.1:6379,password=test"
    postgres: str = "postgresql://mlflow@postgres/mlflow"


def secrets(api: Api, endpoint: str, certificate: bytes, key: bytes, stores: Stores) -> None:
    """What manifests/ refers to and never holds; `endpoint` is that of S3, HOST:PORT, the pair the gateway's TLS."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    said = {"endpoint": endpoint, "usehttps": "0", "region": "us-east-1"}
    annotations = {f"serving.kserve.io/s3-{key}": value for key, value in said.items()}
    redis = {"SERIN_REDIS": stores.redis, "password": "test"}
    tls = {"tls.crt": certificate.decode(), "tls.key": key.decode()}
    api.apply(_secret("serin-s3", keys, annotations=annotations))
    api.apply(_secret("serin-redis", redis))
    api.apply(_secret("serin-mlflow", {"backend-store-uri": stores.postgres}))
    api.apply({**_secret("serin-gateway-tls", tls, namespace=INGRESS), "type": "kubernetes.io/tls"})


def _secret(name: str, data: Mapping[str, str], **metadata: Any) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, **metadata},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
