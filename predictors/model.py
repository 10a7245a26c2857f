"""KServe's interface to the scorer: V1 and V2 payloads in, V1 and V2 answers out."""

import asyncio
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput, ModelNotFound, ServerNotReady
from kserve.protocol.infer_type import to_http_parameters

from predictors.answers import OUTPUTS, outputs, predictions
from predictors.requests import RequestSchema, Tensor, check_id
from predictors.score import Identity, RowScorer
from serin.errors import RequestError, UnavailableError

# Of KServe's own: how the answer is encoded, which is not for the scorer.
_ENCODING = "binary_data_output"


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
        """Answer a V1 body, parsed, or a V2 InferRequest.

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
        now = datetime.now(UTC)
        result = self._scorer.score(self._schema.from_v1(payload, now), request_id, now)
        return {"predictions": predictions(result, self._identity.version)}

    def _answer_v2(self, request: InferRequest, request_id: str) -> InferResponse:
        version = request.model_version
        if version and version != self._identity.version:
            raise ModelNotFound(f"{self.name}, version {version},")
        now = datetime.now(UTC)
        tensors = [_tensor(item, request) for item in request.inputs]
        rows = self._schema.from_v2(tensors, now, _parameters(request))
        result = self._scorer.score(rows, request_id, now)
        return InferResponse(
            response_id=request_id,
            model_name=self.name,
            model_version=self._identity.version,
            infer_outputs=[
                InferOutput(output.name, [len(output.data)], output.datatype, output.data)
                for output in outputs(result, self._identity.version)
            ],
            use_binary_outputs=request.use_binary_outputs,
            requested_outputs=request.request_outputs,
        )


def _given_id(payload: Any, headers: Mapping[str, str]) -> str | None:
    """A V2 request's own id, otherwise that of the headers."""
    return (payload.id if isinstance(payload, InferRequest) else None) or headers.get("x-request-id")


def _tensor(item: InferInput, request: InferRequest) -> Tensor:
    """The input's own lists; only raw gRPC contents are decoded, for a cast would hide what was sent."""
    data = item.data
    if request.from_grpc and request.use_binary_outputs:
        try:
            data = item.as_numpy().ravel().tolist()
        except (InvalidInput, TypeError, ValueError, struct.error) as error:
            raise RequestError(f"column {item.name}: its raw contents can't be read: {error}") from None
    return Tensor(item.name, item.datatype, item.shape, data, item.parameters or {})


def _parameters(request: InferRequest) -> dict[str, Any]:
    given = to_http_parameters(request.parameters or {})
    return {name: value for name, value in given.items() if name != _ENCODING}
