"""The gRPC edge: V2's service on the bytes of its messages, bounded, with ModelInfer answered by the data plane.

Messages are parsed here, for gRPC itself would call one that is no message our own fault (INTERNAL) and log a
traceback of it.
"""

import os
import time
from collections.abc import Awaitable, Callable, Sized
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from kserve.errors import InvalidInput, ModelNotFound
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.servicer import InferenceServicer

from predictors.dataplane import SMALL, DataPlane
from predictors.edge import tensors
from predictors.edge.answers import names, outputs
from predictors.edge.body import MAX_BODY
from predictors.edge.connection import REQUEST_SECONDS
from predictors.edge.errors import RefusedError, told
from predictors.edge.ids import in_header
from predictors.faults import FaultLog
from predictors.identity import Identity
from predictors.requests.fast import FastDecoder
from predictors.requests.rows import Rows
from predictors.requests.schema import MAX_ROWS, check_id, options_of
from predictors.scoring.kind import Answered, Kind
from serin.columns import shown
from serin.errors import ConflictError, NotFoundError, RequestError, UnavailableError

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
# KServe's clients send it; it says how an answer is encoded in REST, and nothing in gRPC.
_ENCODING = "binary_data_output"
_MOST_OUTPUTS = 64

# A connection is told to end after so long, which costs no call: its caller opens another, to wherever the Service's
# name leads by then. It is less than the time from the end of a pod's readiness to its stop (preStop, DRAIN_SECONDS),
# as a caller would keep its connection to the very end otherwise. gRPC makes it up to a tenth more or less.
CONNECTION_SECONDS = 6

Method = Callable[[bytes, Any], Awaitable[bytes]]


class Inference:
    """ModelInfer of one model version."""

    def __init__(self, identity: Identity, kind: Kind, plane: DataPlane, faults: FaultLog) -> None:
        self._identity, self._schema, self._outputs = identity, kind.schema, kind.outputs
        self._fast = FastDecoder(kind.schema)
        self._plane, self._faults = plane, faults
        # Twice as many as there are columns: of some that are unknown, or there twice, the schema tells the names.
        self._most_inputs = 2 * len({**self._schema.keyed, **self._schema.raw})
        self.latest = float("-inf")  # when the latest call came (time.perf_counter)

    async def answer(self, data: bytes, context: Any) -> bytes:
        """Answer the bytes of a ModelInferRequest with those of a ModelInferResponse.

        Who comes when others wait too long already is told so before the message is parsed.
        """
        self.latest = started = time.perf_counter()
        held = len(data) if len(data) > SMALL else 0
        try:
            self._plane.check()
            self._plane.held.take(held)
        except UnavailableError as error:
            self._plane.count(told(error).counted, started)
            await _abort(context, error, self._faults, "")
        try:
            return await self._answer(data, context, started)
        finally:
            self._plane.held.give_back(held)

    async def _answer(self, data: bytes, context: Any, started: float) -> bytes:
        headers: dict[str, Any] = dict(context.invocation_metadata() or ())
        request_id = ""
        try:
            request = _parsed(pb.ModelInferRequest, data)
            self._check_model(request)
            request_id = check_id(request.id or headers.get("x-request-id") or os.urandom(16).hex())
            if len(data) > SMALL:
                self._check_size(request)
        except RefusedError as error:
            # Another model's or another version's, which are not counted as this one's.
            await _abort(context, error, self._faults, request_id)
        except RequestError as error:
            self._plane.count("invalid", started)
            await _abort(context, error, self._faults, request_id)
        # Each once, as in REST: thousands of names would be as many copies.
        wanted = dict.fromkeys(output.name for output in request.outputs)
        raw = bool(request.raw_input_contents)
        identity = self._identity

        def encode(answered: Answered) -> bytes:
            found = outputs(answered, self._outputs, identity.version)
            if wanted:
                by_name = {output.name: output for output in found}
                found = [by_name[name] for name in wanted]
            missing = sum(answered.missing)
            answer = tensors.response(identity.model, identity.version, request_id, found, missing=missing, raw=raw)
            return bytes(answer.SerializeToString())

        context.set_trailing_metadata(_id_metadata(request_id))
        try:
            return await self._plane.predict(
                lambda: self._rows(request),
                encode,
                request_id=request_id,
                size=len(data),
                started=started,
                headers=headers,
            )
        except Exception as error:
            await _abort(context, error, self._faults, request_id)
            raise

    def _check_model(self, request: Any) -> None:
        model, version = request.model_name, request.model_version
        if model != self._identity.model:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"Model with name {model} does not exist.")
        if version and version != self._identity.version:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"Model with name {model}, version {version}, does not exist.")

    def _check_size(self, request: Any) -> None:
        """Raises RequestError for more parts than any good request has: some megabytes of empty ones take seconds, and
        a hundred times their size, to be looked at one by one."""
        _check_count("the request", "inputs", request.inputs, self._most_inputs)
        _check_count("the request", "outputs", request.outputs, _MOST_OUTPUTS)
        for item in request.inputs:
            for field, values in (*item.contents.ListFields(), *item.ListFields()):
                if field.is_repeated:
                    _check_count(f"column {shown(item.name)}", f"{field.name}", values, MAX_ROWS)

    def _rows(self, request: Any) -> Rows:
        given = tensors.parameters(request.parameters) if request.parameters else {}
        given.pop(_ENCODING, None)
        if request.outputs:
            allowed = names(self._outputs, options_of(given))
            for output in request.outputs:
                if output.name not in allowed:
                    raise RequestError(f"output {shown(output.name)} is unknown; allowed: {', '.join(allowed)}")
        inputs = tensors.tensors(request)
        rows = None if given else self._fast.tensors(inputs)
        return self._schema.from_v2(inputs, datetime.now(UTC), given) if rows is None else rows


class GrpcServer:
    """V2's gRPC service on an address of our choice."""

    def __init__(
        self,
        servicer: InferenceServicer,
        infer: Inference,
        faults: FaultLog,
        host: str,
        port: int,
        *,
        connection_seconds: float = CONNECTION_SECONDS,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        """Bind the address; `port` 0 is any that is free. A connection that was told to end after `connection_seconds`
        is given `request_seconds` for its calls. Raises ConflictError where the address can't be had."""
        self._server = aio.server(
            ThreadPoolExecutor(1),
            options=[
                ("grpc.max_receive_message_length", MAX_BODY),
                # An answer is about as large as its request; whoever takes less of it says so.
                ("grpc.max_send_message_length", -1),
                # Otherwise two servers share a port, and each answers some of the requests.
                ("grpc.so_reuseport", 0),
                ("grpc.max_connection_age_ms", int(connection_seconds * 1000)),
                # Or a call whose message never comes would hold its connection for good.
                ("grpc.max_connection_age_grace_ms", int(request_seconds * 1000)),
            ],
        )
        methods = {method.name: _guarded(servicer, method, faults) for method in SERVICE.methods}
        methods["ModelInfer"] = infer.answer
        handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE.full_name, handlers),))
        self.port = self._bound(host, port)
        self._infer = infer

    @property
    def quiet_seconds(self) -> float:
        """How long nobody has asked for a prediction."""
        return time.perf_counter() - self._infer.latest

    async def start(self) -> None:
        """Answer what comes."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Take no new calls (GOAWAY), and let those in flight end within `grace` seconds.

        Calls that cross the GOAWAY on the wire are CANCELLED: gRPC's core takes none once it stops. So no caller
        should be left by now.
        """
        await self._server.stop(grace)

    def _bound(self, host: str, port: int) -> int:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            return int(self._server.add_insecure_port(address))
        except RuntimeError:
            raise ConflictError(f"gRPC port {port} on {host} can't be opened; another process may have it") from None


def _guarded(servicer: InferenceServicer, method: Any, faults: FaultLog) -> Method:
    """One of KServe's methods, from bytes to bytes, with errors by our table."""
    function: Callable[[Any, Any], Awaitable[Any]] = getattr(servicer, method.name)
    kind = GetMessageClass(method.input_type)

    async def answer(data: bytes, context: Any) -> bytes:
        try:
            found = await function(_parsed(kind, data), context)
            return bytes(found.SerializeToString())
        except ModelNotFound as error:
            await _abort(context, NotFoundError(str(error)), faults, "")
            raise
        except InvalidInput as error:
            await _abort(context, RequestError(str(error)), faults, "")
            raise
        except Exception as error:
            await _abort(context, error, faults, "")
            raise

    return answer


def _parsed(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise RequestError(f"the request is no {kind.DESCRIPTOR.full_name} of the V2 protocol") from None


def _check_count(whose: str, what: str, found: Sized, most: int) -> None:
    if len(found) > most:
        raise RequestError(f"{whose} has {len(found)} {what}; allowed: {most} at most")


async def _abort(context: Any, error: Exception, faults: FaultLog, request_id: str) -> None:
    found = told(error, request_id)
    if found.ours:
        faults.fault(error, request_id)
    await context.abort(found.code, found.details, (*_id_metadata(request_id), *found.metadata))


def _id_metadata(request_id: str) -> tuple[tuple[str, str], ...]:
    """The request's id as a caller finds it beside the answer."""
    if not request_id:
        return ()
    return (("x-request-id", in_header(request_id)),)
