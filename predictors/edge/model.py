"""The model as KServe's own routes see it: its metadata, and whether it is ready."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kserve.model import Model
from kserve.protocol.infer_type import InferOutput, InferRequest, InferResponse, to_http_parameters

from predictors.dataplane import DataPlane
from predictors.edge.answers import VERSION, outputs, predictions
from predictors.identity import Identity
from predictors.requests.rows import Rows
from predictors.requests.schema import RequestSchema, Tensor, check_id
from predictors.scoring.kind import Answered, Kind


class PredictorModel(Model):
    """One loaded model version; it is `ready` while requests are to come.

    They reach the data plane through our own edge. Should one ever come by KServe's routes, it is answered the same
    way: `predict` and `explain` raise what the data plane raises.
    """

    def __init__(self, identity: Identity, kind: Kind, plane: DataPlane) -> None:
        super().__init__(identity.model)
        self._identity, self._kind, self._plane = identity, kind, plane

    def get_input_types(self) -> list[dict[str, Any]]:
        """The columns of a keyed request, for the V2 metadata."""
        return [_described(name, datatype) for name, datatype in self._kind.schema.inputs]

    def get_output_types(self) -> list[dict[str, Any]]:
        """The answer's tensors, for the V2 metadata."""
        return [_described(output.name, output.datatype) for output in (*self._kind.outputs, VERSION)]

    def validate(self, payload: Any) -> Any:
        """Leave the checks to `RequestSchema`."""
        return payload

    async def predict(self, payload: Any, headers: dict[str, str] | None = None, *_: Any) -> Any:
        """Answer a V1 body, parsed, or a V2 InferRequest."""
        request_id = _id(payload, headers)
        encode = self._v2(request_id) if isinstance(payload, InferRequest) else self._v1
        started = time.perf_counter()
        return await self._plane.predict(
            self._decode(payload), encode, request_id=request_id, size=0, started=started, headers=headers
        )

    async def explain(self, payload: Any, headers: dict[str, str] | None = None) -> Any:
        """Explain the rows of a V1 body, parsed."""
        request_id = _id(payload, headers)
        found = await self._plane.explain(self._decode(payload), request_id=request_id, size=0, headers=headers)
        return {"explanations": found}

    def _decode(self, payload: Any) -> Callable[[], Rows]:
        schema, now = self._kind.schema, datetime.now(UTC)
        if isinstance(payload, InferRequest):
            return lambda: _rows(schema, payload, now)
        return lambda: schema.from_v1(payload, now)

    def _v1(self, answered: Answered) -> dict[str, Any]:
        return {"predictions": predictions(answered, self._identity.version)}

    def _v2(self, request_id: str) -> Callable[[Answered], InferResponse]:
        version = self._identity.version

        def encode(answered: Answered) -> InferResponse:
            tensors = [
                InferOutput(output.name, [len(output.data)], output.datatype, list(output.data))
                for output in outputs(answered, self._kind.outputs, version)
            ]
            return InferResponse(request_id, self.name, tensors, version)

        return encode


def _rows(schema: RequestSchema, request: InferRequest, now: datetime) -> Rows:
    tensors = [
        Tensor(item.name, item.datatype, item.shape, item.data, item.parameters or {}) for item in request.inputs
    ]
    return schema.from_v2(tensors, now, to_http_parameters(request.parameters or {}))


def _id(payload: Any, headers: Mapping[str, str] | None) -> str:
    """A V2 request's own id, otherwise that of the headers, otherwise a new one."""
    own = payload.id if isinstance(payload, InferRequest) else None
    return check_id(own or (headers or {}).get("x-request-id") or uuid4().hex)


def _described(name: str, datatype: str) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1]}
