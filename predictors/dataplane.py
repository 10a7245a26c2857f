"""Where REST and gRPC meet: every prediction is admitted, scored, counted and traced here."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from predictors.identity import Identity
from predictors.log.writer import PredictionLog
from predictors.metrics import Metrics, Status
from predictors.requests.rows import Rows
from predictors.scoring.kind import Answered, Kind

_T = TypeVar("_T")


class DataPlane:
    """Serves one kind of model. All methods are called on the event loop."""

    def __init__(
        self,
        identity: Identity,
        kind: Kind,
        log: PredictionLog,
        metrics: Metrics,
        *,
        max_threads: int,
        max_concurrency: int | None,
    ) -> None:
        """`max_concurrency` is how many requests may be in flight before others are refused; None measures it."""
        raise NotImplementedError

    async def start(self) -> None:
        """Warm up: a prediction with every engine, a read from the online store, the measured limits.

        Raises UnavailableError where `Kind.ready` does.
        """
        raise NotImplementedError

    async def predict(
        self,
        decode: Callable[[], Rows],
        encode: Callable[[Answered], _T],
        *,
        request_id: str,
        size: int,
        started: float,
        headers: Mapping[str, str] | None = None,
    ) -> _T:
        """Decode, answer and encode one request, and count it by outcome with the time since `started`
        (time.perf_counter).

        Small bodies (`size` in bytes) are decoded on the event loop, large ones in a thread. `headers` may carry a
        trace (W3C traceparent). Raises RequestError, UnavailableError and OverloadedError.
        """
        raise NotImplementedError

    async def explain(
        self, decode: Callable[[], Rows], *, request_id: str, size: int, headers: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """An explanation a row. Raises as `predict`."""
        raise NotImplementedError

    def count(self, status: Status, started: float) -> None:
        """Count a request that never came as far as `predict`, such as one whose body is too large."""
        raise NotImplementedError

    async def close(self) -> None:
        """Wait for what is in flight; refuse what comes then."""
        raise NotImplementedError
