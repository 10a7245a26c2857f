"""KServe's ModelServer with our edge in front of it. All that is changed of KServe is here, each with its reason."""

import logging
import warnings
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import FastAPIDeprecationWarning, RequestValidationError
from kserve.constants.constants import FASTAPI_APP_IMPORT_STRING
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady, ServerNotReady
from kserve.model_repository import ModelRepository
from kserve.model_server import ModelServer, app
from kserve.protocol.dataplane import DataPlane as KServeDataPlane
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from starlette.exceptions import HTTPException

from predictors.edge.behind import bad_body, bad_input, bad_route
from predictors.edge.direct import DirectConnection, Handler
from predictors.edge.errors import answer, told
from predictors.edge.model import PredictorModel
from predictors.faults import FaultLog
from predictors.identity import Identity

# For what is in flight when the server is told to stop.
GRACE_SECONDS = 20

App = Callable[..., Any]
logger = logging.getLogger("kserve")


class OneModelDataPlane(KServeDataPlane):
    """KServe's data plane for one model version, for what our edge leaves to KServe: health and metadata."""

    def __init__(self, models: ModelRepository, model: PredictorModel, version: str) -> None:
        super().__init__(models)
        self._model, self._version = model, version

    async def ready(self) -> bool:
        """Whether requests are to come. KServe's own is ready as soon as it listens, and while it stops."""
        return bool(self._model.ready)

    async def model_metadata(self, model_name: str) -> dict[str, Any]:
        """KServe's metadata of the model, with its version, which KServe does not know."""
        return {**await super().model_metadata(model_name), "versions": [self._version]}


class FixedRepository(ModelRepositoryExtension):
    """A model repository that no caller can change: KServe's would unload the model for anybody who asks."""

    async def load(self, model_name: str) -> None:  # noqa: ARG002
        """Refuse."""
        raise InvalidInput("this server serves the model version that it was started with; it loads no other")

    async def unload(self, model_name: str) -> None:  # noqa: ARG002
        """Refuse."""
        raise InvalidInput("this server serves the model version that it was started with; it can't be unloaded")


class KServeParts(ModelServer):
    """What is taken of KServe's ModelServer for one model: its application and its gRPC servicer.

    Its `start` is not used. It binds all addresses, answers before a warm-up, and ends without telling the callers.
    """

    def __init__(self, identity: Identity, model: PredictorModel, faults: FaultLog) -> None:
        super().__init__(enable_latency_logging=False, grace_period=GRACE_SECONDS)
        self.register_model(model)
        self.dataplane = OneModelDataPlane(self.registered_models, model, identity.version)
        self.model_repository_extension = FixedRepository(self.registered_models)
        self._faults = faults
        _quieten()

    def servicer(self) -> InferenceServicer:
        """KServe's gRPC service."""
        return InferenceServicer(self.dataplane, self.model_repository_extension)

    def application(self) -> FastAPI:
        """KServe's FastAPI application: health, metadata, repository, metrics and the page of the API."""
        rest = RESTServer(FASTAPI_APP_IMPORT_STRING, self.dataplane, self.model_repository_extension, self.http_port)
        rest.create_application()
        app.add_exception_handler(RequestValidationError, bad_body)
        app.add_exception_handler(InvalidInput, bad_input)
        app.add_exception_handler(HTTPException, bad_route)
        # KServe's handler shows the caller the text of any error.
        app.add_exception_handler(Exception, self._failed)
        # It would redirect to where the client's Host header says.
        app.router.redirect_slashes = False
        application: FastAPI = app
        return application

    def uvicorn(self, edge: App, handlers: Mapping[bytes, Handler]) -> uvicorn.Config:
        """KServe's way to run uvicorn (`RESTServer`), with our edge as the application and without a line a request;
        `handlers` as DirectConnection has them."""
        return uvicorn.Config(
            edge,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=GRACE_SECONDS,
            timeout_keep_alive=self.timeout_keep_alive,
            loop=self.event_loop,
            http=partial(DirectConnection, handlers=handlers),  # type: ignore[arg-type]
        )

    async def _failed(self, request: Request, error: Exception) -> Response:
        request_id = request.headers.get("x-request-id", "")
        if told(error).ours:
            self._faults.fault(error, request_id)
        status, body, headers = answer(error, request_id)
        response = Response(body, status)
        response.raw_headers = headers
        return response


def _quieten() -> None:
    """No traceback for what the caller did wrong, for a probe that finds the server not ready, nor for a request that
    is given up because the server has to end."""
    logging.getLogger("kserve.trace").setLevel(logging.WARNING)
    logger.addFilter(_without_expected)
    logging.getLogger("uvicorn.error").addFilter(_without_expected)
    # KServe's own use of FastAPI, told once a process.
    warnings.filterwarnings("ignore", category=FastAPIDeprecationWarning)


def _without_expected(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, InvalidInput | ModelNotFound | ServerNotReady | ModelNotReady | CancelledError)
