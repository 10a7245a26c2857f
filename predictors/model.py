"""KServe's interface to the scorer: V1 and V2 payloads in, V1 and V2 answers out."""

import asyncio
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput, ModelNotFound, ServerNotReady

from predictors.requests import RequestSchema, Rows, Tensor, check_id
from predictors.score import Identity, RowScorer, Scores
from serin.errors import RequestError, UnavailableError

OUTPUTS = (("score", "FP64"), ("decision", "BOOL"), ("model_version", "BYTES"))


class Unavailable(ServerNotReady):
    """Something that the answer needs does not answer: HTTP 503, gRPC UNAVAILABLE."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        # KServe's gRPC side reads `reason`, which its own class lacks.
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class PredictorModel(Model):
    """One loaded model version. Scoring and the store lookup run in `threads` threads, off the event loop."""

    def __init__(self, identity: Identity, schema: RequestSchema, scorer: RowScorer, threads: int) -> None:
        super().__init__(identity.model)
        self._identity = identity
        self._schema = schema
        self._scorer = scorer
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="score")
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        """The columns of a keyed request, for the V2 metadata."""
        return [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in self._schema.inputs]

    def get_output_types(self) -> list[dict[str, Any]]:
        """The answer's tensors, for the V2 metadata."""
        return [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in OUTPUTS]

    def validate(self, payload: Any) -> Any:
        """Leave the checks to `RequestSchema`."""
        return payload

    async def predict(
        self, payload: Any, headers: dict[str, str] | None = None, _response_headers: dict[str, str] | None = None
    ) -> Any:
        """Answer a V1 body (a dict, or bytes of JSON) or a V2 InferRequest.

        Raises InvalidInput, ModelNotFound for another version, or Unavailable.
        """
        answer = self._answer_v2 if isinstance(payload, InferRequest) else self._answer_v1
        loop = asyncio.get_running_loop()
        try:
            request_id = check_id(_given_id(payload, headers or {}) or uuid4().hex)
            return await loop.run_in_executor(self._pool, answer, payload, request_id)
        except RequestError as error:
            raise InvalidInput(str(error)) from None
        except UnavailableError as error:
            raise Unavailable(str(error)) from None

    async def explain(self, _payload: Any, _headers: dict[str, str] | None = None) -> Any:
        """Refuse: this server explains nothing."""
        raise InvalidInput(f"{self.name} gives no explanations; allowed: predict and infer")

    def close(self) -> None:
        """Wait for the scoring threads."""
        self._pool.shutdown()

    def _answer_v1(self, payload: Any, request_id: str) -> dict[str, Any]:
        if isinstance(payload, bytes | str):
            payload = _json(payload)
        now = datetime.now(UTC)
        result = self._scorer.score(self._schema.from_v1(payload, now), request_id, now)
        version = self._identity.version
        return {
            "predictions": [
                {"score": score, "decision": decision, "model_version": version}
                for score, decision in zip(result.scores, result.decisions, strict=True)
            ]
        }

    def _answer_v2(self, request: InferRequest, request_id: str) -> InferResponse:
        version = request.model_version
        if version and version != self._identity.version:
            raise ModelNotFound(f"{self.name}, version {version},")
        now = datetime.now(UTC)
        rows: Rows = self._schema.from_v2([_tensor(item, request) for item in request.inputs], now)
        result = self._scorer.score(rows, request_id, now)
        return InferResponse(
            response_id=request_id,
            model_name=self.name,
            model_version=self._identity.version,
            infer_outputs=self._outputs(result),
            use_binary_outputs=request.use_binary_outputs,
            requested_outputs=request.request_outputs,
        )

    def _outputs(self, result: Scores) -> list[InferOutput]:
        count = len(result.scores)
        data = (result.scores, result.decisions, [self._identity.version] * count)
        return [
            InferOutput(name, [count], datatype, values) for (name, datatype), values in zip(OUTPUTS, data, strict=True)
        ]


def _given_id(payload: Any, headers: Mapping[str, str]) -> str | None:
    """A V2 request's own id, otherwise that of the headers."""
    return (payload.id if isinstance(payload, InferRequest) else None) or headers.get("x-request-id")


def _json(body: bytes | str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is no JSON: {error}") from None


def _tensor(item: InferInput, request: InferRequest) -> Tensor:
    """The input's own lists; only raw gRPC contents are decoded, for a cast would hide what was sent."""
    data = item.data
    if request.from_grpc and request.use_binary_outputs:
        try:
            data = item.as_numpy().ravel().tolist()
        except (InvalidInput, TypeError, ValueError, struct.error) as error:
            raise RequestError(f"column {item.name}: its raw contents can't be read: {error}") from None
    return Tensor(item.name, item.datatype, item.shape, data)
