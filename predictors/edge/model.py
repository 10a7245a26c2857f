"""KServe's interface to the scorer: V1 and V2 payloads in, V1 and V2 answers out."""

import asyncio
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput, ModelNotFound, ServerNotReady
from kserve.protocol.infer_type import to_http_parameters

from predictors.edge.answers import OUTPUTS, outputs, predictions
from predictors.identity import Identity
from predictors.online.events import EventSink
from predictors.requests.rows import Rows
from predictors.requests.schema import RequestSchema, Tensor, check_id
from predictors.scoring.tabular import RowScorer, Scores
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


class NoEvents(Exception):  # noqa: N818
    """The model takes no events: HTTP 404."""


class PredictorModel(Model):
    """One loaded model version. The online store is read on the event loop; what takes the processor runs in `threads`
    threads off it."""

    def __init__(
        self,
        identity: Identity,
        schema: RequestSchema,
        scorer: RowScorer,
        threads: int,
        events: EventSink | None = None,
    ) -> None:
        super().__init__(identity.model)
        self._events = events
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
        is_v2 = isinstance(payload, InferRequest)
        rows_of, answer = (self._rows_v2, self._answer_v2) if is_v2 else (self._rows_v1, self._answer_v1)
        now = datetime.now(UTC)
        try:
            request_id = check_id(_given_id(payload, headers or {}) or uuid4().hex)
            rows = await self._off_the_loop(rows_of, payload, now)
            found = await self._scorer.read(rows)
            result = await self._off_the_loop(self._scorer.score, rows, found, request_id, now)
            return answer(payload, result, request_id)
        except RequestError as error:
            raise InvalidInput(str(error)) from None
        except UnavailableError as error:
            raise Unavailable(str(error)) from None

    async def push(self, body: bytes) -> dict[str, int]:
        """Take the events and labels of a body in JSON; how many were accepted and how many are new.

        Raises InvalidInput, NoEvents or Unavailable.
        """
        if self._events is None:
            raise NoEvents(f"{self.name} takes no events: it has no window features, or its events have no `data.key`")
        try:
            pushed = await self._off_the_loop(self._events.take, body, datetime.now(UTC))
        except RequestError as error:
            raise InvalidInput(str(error)) from None
        except UnavailableError as error:
            raise Unavailable(str(error)) from None
        return {"accepted": pushed.accepted, "new": pushed.new}

    async def explain(self, _payload: Any, _headers: dict[str, str] | None = None) -> Any:
        """Refuse: this server explains nothing."""
        raise InvalidInput(f"{self.name} gives no explanations; allowed: predict and infer")

    def close(self) -> None:
        """Wait for the scoring threads."""
        self._pool.shutdown()

    async def _off_the_loop(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def _rows_v1(self, payload: Any, now: datetime) -> Rows:
        return self._schema.from_v1(payload, now)

    def _rows_v2(self, request: InferRequest, now: datetime) -> Rows:
        version = request.model_version
        if version and version != self._identity.version:
            raise ModelNotFound(f"{self.name}, version {version},")
        tensors = [_tensor(item, request) for item in request.inputs]
        return self._schema.from_v2(tensors, now, _parameters(request))

    def _answer_v1(self, _payload: Any, result: Scores, _request_id: str) -> dict[str, Any]:
        return {"predictions": predictions(result, self._identity.version)}

    def _answer_v2(self, request: InferRequest, result: Scores, request_id: str) -> InferResponse:
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
