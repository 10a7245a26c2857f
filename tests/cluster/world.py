"""Serin on the control plane: everything that the tests share, and a client of the gateway."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from pyarrow import fs

from serin import deployments
from tests import services
from tests.cluster import installation, istio, tokens
from tests.cluster.api import Document, Refused
from tests.cluster.kserve_stand_in import SERVING, attended
from tests.cluster.node_stand_in import NodeStandIn
from tests.cluster.plane import Plane, control_plane
from tests.cluster.tokens import Issuer
from tests.integration.serving_world import CASE, ROW, TEMPLATES, until

ISTIO = "networking.istio.io/v1"
HOST = f"{CASE.model_name}.serin.internal"


@dataclass(frozen=True)
class World:
    """The control plane with Serin's overlay, the object store `s3` (its variables) and what runs on it."""

    plane: Plane
    node: NodeStandIn
    s3: dict[str, str]
    issuer: Issuer

    def store(self, artifact: Path, version: int) -> str:
        """Put a model artifact where the cluster finds it; returns its URI."""
        system = fs.S3FileSystem(
            access_key="test", secret_key="test", endpoint_override=self.s3["AWS_ENDPOINT_URL"], region="us-east-1"
        )
        place = f"serin/models/{CASE.model_name}/{version}"
        fs.copy_files(str(artifact), place, destination_filesystem=system)
        return f"s3://{place}"

    def deploy(self, version: int, uri: str) -> str:
        """Apply the InferenceService of a version and wait until it is ready; returns its name."""
        document = deployments.inference_service(CASE, version, uri, TEMPLATES.inference_service)
        name = str(self.plane.api.apply(document)["metadata"]["name"])
        self.await_ready(name)
        return name

    def await_ready(self, name: str) -> None:
        """Wait until an InferenceService is ready. AssertionError: a container of it has failed."""

        def settled() -> bool:
            status = self.status(name)
            failure = (status.get("modelStatus") or {}).get("lastFailureInfo")
            assert not failure, failure
            return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))

        until(settled, f"{name} ready", 120)

    def share(self, weights: dict[str, int], **changes: Any) -> Document:
        """Apply the VirtualService with these weights; `changes` replace what its spec says."""
        document = deployments.virtual_service(CASE, weights, TEMPLATES.virtual_service)
        document["spec"].update(changes)
        return self.plane.api.apply(document)

    def status(self, name: str) -> Document:
        """The status of an InferenceService."""
        return self.plane.api.get(SERVING, "InferenceService", name).get("status", {})

    def remove(self, *names: str) -> None:
        """Delete the VirtualService, if it is there, and InferenceServices, with all that was made of them."""
        self.plane.api.delete(ISTIO, "VirtualService", CASE.model_name)
        for name in names:
            self.plane.api.delete(SERVING, "InferenceService", name)
        until(lambda: not self._left(names), f"the end of {names}", 60)

    def _left(self, names: tuple[str, ...]) -> bool:
        gone = {f"{name}-predictor" for name in names}
        slices = self.plane.api.list("v1", "Service")
        return any(found["metadata"]["name"] in gone for found in slices) or any(
            process.name.startswith(tuple(gone)) for process in list(self.node.pods.values())
        )


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Everything, until the end of the block."""
    with ExitStack() as stack:
        plane = stack.enter_context(control_plane(folder))
        stack.enter_context(istio.istiod(plane))
        s3, issuer = stack.enter_context(services.s3("serin")), stack.enter_context(tokens.issuer())
        pair = plane.authority.issue("gateway", hosts=["*.serin.internal"])
        found = installation.rendered("overlays/production")
        installation.neighbours(plane.api, found)
        endpoints = {key: s3[key] for key in ("AWS_ENDPOINT_URL", "FEAST_S3_ENDPOINT_URL", "AWS_DEFAULT_REGION")}
        for document in found:
            plane.api.apply(installation.here(document, {**endpoints, "SERIN_STORAGE": "s3://serin"}, issuer.keys))
        endpoint = urlsplit(s3["AWS_ENDPOINT_URL"]).netloc
        installation.secrets(plane.api, endpoint, pair.certificate.read_bytes(), pair.key.read_bytes())
        stack.enter_context(istio.gateway(plane))
        node = NodeStandIn(plane.api, folder / "node", services.workspace_copy(folder / "workspace"))
        stack.enter_context(attended(plane.api, node))
        yield World(plane, node, s3, issuer)


class Client:
    """A client of the gateway, over TLS and with a token."""

    def __init__(self, world: World, **headers: str) -> None:
        rule = world.plane.api.get("security.istio.io/v1", "RequestAuthentication", "serin", istio.INGRESS)["spec"]
        token = world.issuer.token(rule["jwtRules"][0]["issuer"], rule["jwtRules"][0]["audiences"][0])
        self.headers = {"Host": HOST, "Authorization": f"Bearer {token}", **headers}
        context = ssl.create_default_context(cafile=world.plane.authority.certificate)
        self._client = httpx.Client(base_url=f"https://{istio.GATEWAY}", verify=context, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._client.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request; `headers` come on top of the client's own, and None takes one of these away."""
        headers = {**self.headers, **options.pop("headers", {})}
        given = {key: value for key, value in headers.items() if value is not None}
        return self._client.request(method, path, headers=given, extensions={"sni_hostname": HOST}, **options)

    def predict(self, **headers: str | None) -> httpx.Response:
        """One V1 prediction."""
        path = f"/v1/models/{CASE.model_name}:predict"
        return self.request("POST", path, json={"instances": [ROW]}, headers=headers)

    def version(self, **headers: str | None) -> str:
        """The version that answers a V1 prediction."""
        response = self.predict(**headers)
        assert response.status_code == 200, f"{response.status_code}: {response.text}"
        return str(response.json()["predictions"][0]["model_version"])

    def reaches(self, version: str) -> bool:
        """Whether a request was answered, and by this version: routes arrive a moment after they were applied."""
        response = self.predict()
        return response.status_code == 200 and f'"model_version":"{version}"' in response.text.replace(" ", "")
