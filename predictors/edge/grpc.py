"""The gRPC edge: KServe's V2 service on an address of our choice, bounded and counted."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from grpc import aio
from kserve.errors import InvalidInput, ModelNotFound
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from predictors.edge.body import MAX_BODY
from predictors.metrics import Metrics, Status
from serin.errors import ConflictError

MAX_HEADER = 6000  # bytes; clients take 8 KiB of headers unless told otherwise


class MeasuredServicer(InferenceServicer):
    """KServe's servicer that counts the prediction requests for `model` by outcome."""

    def __init__(
        self, data_plane: DataPlane, repository: ModelRepositoryExtension, model: str, metrics: Metrics
    ) -> None:
        super().__init__(data_plane, repository)
        self._model = model
        self._metrics = metrics

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer a prediction request."""
        if request.model_name != self._model:
            return await super().ModelInfer(request, context)
        start = time.perf_counter()
        status: Status = "error"
        try:
            answer = await super().ModelInfer(request, context)
            status = "ok"
        except InvalidInput as error:
            status = "invalid"
            raise InvalidInput(fit_header(str(error))) from None
        except ModelNotFound:
            status = "invalid"
            raise
        finally:
            self._metrics.answered(status, time.perf_counter() - start)
        return answer


def fit_header(text: str) -> str:
    """The text, or as much of its beginning as gRPC can carry: an error travels in a header, percent-encoded."""
    shown = text
    while len(quote(shown, errors="replace")) > MAX_HEADER:
        text = text[: len(text) * 3 // 4]
        shown = text + "…"
    return shown


async def start_grpc(servicer: InferenceServicer, host: str, port: int) -> aio.Server:
    """A started gRPC server. Raises ConflictError when the port is taken."""
    server = aio.server(
        ThreadPoolExecutor(1),
        interceptors=(ExceptionToStatusInterceptor(),),
        options=[
            ("grpc.max_receive_message_length", MAX_BODY),
            ("grpc.max_send_message_length", MAX_BODY),
            # Otherwise two servers share a port, and each answers some of the requests.
            ("grpc.so_reuseport", 0),
        ],
    )
    add_GRPCInferenceServiceServicer_to_server(servicer, server)
    try:
        server.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        raise ConflictError(f"gRPC port {port} on {host} can't be opened; another process may have it") from None
    await server.start()
    return server
