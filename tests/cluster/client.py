"""A client of the gateway, over TLS and with a token: HTTP and gRPC on the one port."""

import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import grpc
import httpx
from kserve import InferInput, InferRequest
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from tests.cluster import istio
from tests.cluster.world import World
from tests.integration.serving_world import CASE, ROW, until
from tests.predictor_process import tensors

HOST = f"{CASE.model_name}.serin.internal"


class Client:
    """A client of the gateway, over TLS and with a token."""

    def __init__(self, world: World, **headers: str) -> None:
        rule = world.plane.api.get("security.istio.io/v1", "RequestAuthentication", "serin", istio.INGRESS)["spec"]
        self.issuer = str(rule["jwtRules"][0]["issuer"])
        token = world.issuer.token(self.issuer, rule["jwtRules"][0]["audiences"][0])
        self.headers = {"Host": HOST, "Authorization": f"Bearer {token}", **headers}
        self._authority = world.plane.authority.certificate
        context = ssl.create_default_context(cafile=self._authority)
        self._client = httpx.Client(base_url=f"https://{istio.GATEWAY}", verify=context, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End its connections."""
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

    @contextmanager
    def grpc(self, **headers: str) -> Iterator[Callable[[], str]]:
        """A function that asks for a V2 prediction over gRPC, and gives the version that answered."""
        credentials = grpc.ssl_channel_credentials(self._authority.read_bytes())
        options = [("grpc.ssl_target_name_override", HOST), ("grpc.default_authority", HOST)]
        metadata = [("authorization", self.headers["Authorization"]), *headers.items()]
        message = InferRequest(CASE.model_name, [InferInput(**tensor) for tensor in tensors()]).to_grpc()
        with grpc.secure_channel(f"{istio.GATEWAY}:443", credentials, options) as channel:
            stub = GRPCInferenceServiceStub(channel)
            yield lambda: str(stub.ModelInfer(message, metadata=metadata, timeout=30).model_version)


class Load:
    """Sends one prediction after the other until it is left: how often each version answered, and what failed."""

    def __init__(self, world: World) -> None:
        self.versions: Counter[str] = Counter()
        self.failed: list[str] = []
        self._client, self._left = Client(world), threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._left.set()
        self._thread.join()
        self._client.close()

    def more(self, requests: int) -> None:
        """Wait for so many more answers."""
        before = self.versions.total() + len(self.failed)
        until(lambda: self.versions.total() + len(self.failed) >= before + requests, "more answers")

    def _send(self) -> None:
        while not self._left.wait(0.005):
            try:
                self.versions[self._client.version()] += 1
            except (AssertionError, httpx.TransportError) as error:
                self.failed.append(repr(error))
