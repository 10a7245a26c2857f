"""KServe's ModelServer with an address to bind, one fixed model and an orderly end."""

import asyncio
import logging
import signal
import socket
import struct
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi.exceptions import FastAPIDeprecationWarning, RequestValidationError
from grpc import aio
from kserve import InferRequest, ModelRepository, ModelServer
from kserve.constants.constants import FASTAPI_APP_IMPORT_STRING
from kserve.errors import InvalidInput, ModelNotFound, ServerNotReady
from kserve.model_server import app
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer

from predictors.edge.app import RestEdge, bad_body, bad_input
from predictors.edge.grpc import MeasuredServicer, start_grpc
from predictors.edge.model import PredictorModel
from predictors.identity import Identity
from predictors.metrics import Metrics
from serin.errors import ConflictError

GRACE_SECONDS = 20

Before = Callable[[], Coroutine[Any, Any, None]]
logger = logging.getLogger("kserve")


class StrictDataPlane(DataPlane):
    """KServe's data plane for one model version, whose decoding blames the request for what can't be decoded."""

    def __init__(self, models: ModelRepository, version: str) -> None:
        super().__init__(models)
        self._version = version

    async def model_metadata(self, model_name: str) -> dict[str, Any]:
        """KServe's metadata of the model, with its version."""
        return {**await super().model_metadata(model_name), "versions": [self._version]}

    def decode(self, body: Any, headers: Any, *arguments: Any, **options: Any) -> Any:
        """The decoded request. Raises InvalidInput for every body that can't be decoded."""
        try:
            request, attributes = super().decode(body, headers, *arguments, **options)
            if isinstance(request, InferRequest):
                _check(request)
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError, struct.error) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"the body is no inference request: {type(error).__name__}: {error}") from None
        return request, attributes


def _check(request: InferRequest) -> None:
    """What the binary extension leaves unchecked and the answer relies on."""
    names = [item.name for item in request.inputs]
    names += [output.name for output in request.request_outputs or ()]
    names += [request.id] if request.id is not None else []
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a name or id is no text")
    flags = [request.use_binary_outputs, *(output.binary_data for output in request.request_outputs or ())]
    if not all(flag is None or isinstance(flag, bool) for flag in flags):
        raise TypeError("binary_data is neither true nor false")


class FixedRepository(ModelRepositoryExtension):
    """A model repository that no caller can change."""

    async def load(self, model_name: str) -> None:  # noqa: ARG002
        """Refuse."""
        raise InvalidInput("this server serves the model version that it was started with; it loads no other")

    async def unload(self, model_name: str) -> None:  # noqa: ARG002
        """Refuse."""
        raise InvalidInput("this server serves the model version that it was started with; it can't be unloaded")


class PredictorServer(ModelServer):
    """Serves one PredictorModel until SIGTERM or SIGINT, then answers what is in flight and returns."""

    def __init__(self, identity: Identity, metrics: Metrics, host: str, http_port: int, grpc_port: int) -> None:
        super().__init__(
            http_port=http_port, grpc_port=grpc_port, enable_latency_logging=False, grace_period=GRACE_SECONDS
        )
        self._identity = identity
        self._metrics = metrics
        self._host = host
        self.dataplane = StrictDataPlane(self.registered_models, identity.version)
        self.model_repository_extension = FixedRepository(self.registered_models)
        _quieten()

    def start(
        self, models: list[PredictorModel], before: Callable[[], Coroutine[Any, Any, None]] | None = None
    ) -> None:
        """Serve the one model until a signal, once `before` was waited for.

        Raises ConflictError when a port is taken, and what `before` raises.
        """
        (model,) = models
        self.register_model(model)
        http = self._http_server(model)
        with asyncio.Runner(loop_factory=http.config.get_loop_factory()) as runner:
            if before:
                runner.run(before())
            runner.run(self._serve_until_signal(http))

    def _http_server(self, model: PredictorModel) -> "_HttpServer":
        rest = RESTServer(
            FASTAPI_APP_IMPORT_STRING,
            self.dataplane,
            self.model_repository_extension,
            self.http_port,
            grace_period=self.grace_period,
            event_loop=self.event_loop,
            timeout_keep_alive=self.timeout_keep_alive,
        )
        rest.config.host = self._host
        rest.create_application()
        app.add_exception_handler(RequestValidationError, bad_body)
        app.add_exception_handler(InvalidInput, bad_input)
        app.router.redirect_slashes = False
        identity = self._identity
        app.add_middleware(
            RestEdge, model=identity.model, version=identity.version, metrics=self._metrics, push=model.push
        )
        return _HttpServer(rest.config)

    async def _serve_until_signal(self, http: "_HttpServer") -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        servicer = MeasuredServicer(
            self.dataplane, self.model_repository_extension, self._identity.model, self._metrics
        )
        listener = _listen(self._host, self.http_port)
        grpc = await start_grpc(servicer, self._host, self.grpc_port)
        logger.info("%s, HTTP port %d, gRPC port %d", self._identity, self.http_port, self.grpc_port)
        await asyncio.gather(http.serve([listener]), self._stop_on(stopping, http, grpc))

    async def _stop_on(self, stopping: asyncio.Event, http: "_HttpServer", grpc: aio.Server) -> None:
        await stopping.wait()
        logger.info("stopping: answering what is in flight")
        http.should_exit = True
        await grpc.stop(self.grace_period)


class _HttpServer(uvicorn.Server):
    """Uvicorn that leaves signals to PredictorServer, so that both ports close at the same moment."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    """An open HTTP port. Uvicorn itself would end the process without naming the way out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConflictError(f"HTTP port {port} on {host} can't be opened: {error.strerror}") from None


def _quieten() -> None:
    """No line a request: neither access log nor timings, nor a traceback for what the caller did wrong."""
    logging.getLogger("uvicorn.access").handlers.clear()
    logging.getLogger("kserve.trace").setLevel(logging.WARNING)
    logger.addFilter(_without_expected)
    # KServe's own use of FastAPI, told once a process.
    warnings.filterwarnings("ignore", category=FastAPIDeprecationWarning)


def _without_expected(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ServerNotReady):
        record.exc_info = None
        record.msg, record.args = "unavailable: %s", (error,)
    return not isinstance(error, InvalidInput | ModelNotFound)
