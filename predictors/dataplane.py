"""Where REST and gRPC meet: every prediction is admitted, scored, counted and traced here."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

from predictors.identity import Identity
from predictors.log.writer import PredictionLog
from predictors.metrics import Metrics, Status
from predictors.requests.rows import Rows
from predictors.scoring.kind import Answered, Kind
from serin.errors import RequestError, UnavailableError

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
        self._identity, self._kind, self._log, self._metrics = identity, kind, log, metrics
        self._max_concurrency = max_concurrency
        self._pool = ThreadPoolExecutor(max_threads, thread_name_prefix="score")
        self._closing = False
        self._in_flight: set[asyncio.Task[Any] | None] = set()

    async def start(self) -> None:
        """Warm up: a prediction with every engine, a read from the online store, the measured limits.

        Raises UnavailableError where `Kind.ready` does.
        """
        await self._kind.ready()

    async def predict(
        self,
        decode: Callable[[], Rows],
        encode: Callable[[Answered], _T],
        *,
        request_id: str,
        size: int,  # noqa: ARG002
        started: float,
        headers: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> _T:
        """Decode, answer and encode one request, and count it by outcome with the time since `started`
        (time.perf_counter).

        Small bodies (`size` in bytes) are decoded on the event loop, large ones in a thread. `headers` may carry a
        trace (W3C traceparent). Raises RequestError, UnavailableError and OverloadedError.
        """
        status: Status = "error"
        task = asyncio.current_task()
        self._in_flight.add(task)
        try:
            if self._closing:
                raise UnavailableError("the server is stopping")
            rows = await self._in_a_thread(decode)
            found = await self._kind.read(rows)
            now = datetime.now(UTC)
            answered = await self._in_a_thread(self._kind.answer, rows, found, now)
            self._log.append(self._logged(answered, request_id, now))
            await self._in_a_thread(self._kind.answered, answered, now)
            result = encode(answered)
            status = "ok"
            return result
        except RequestError:
            status = "invalid"
            raise
        finally:
            self._in_flight.discard(task)
            self.count(status, started)

    async def explain(
        self,
        decode: Callable[[], Rows],
        *,
        request_id: str,  # noqa: ARG002
        size: int,  # noqa: ARG002
        headers: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """An explanation a row. Raises as `predict`."""
        rows = await self._in_a_thread(decode)
        found = await self._kind.read(rows)
        explained = await self._in_a_thread(self._kind.explain, rows, found)
        return [dict(explanation) for explanation in explained]

    def count(self, status: Status, started: float) -> None:
        """Count a request that never came as far as `predict`, such as one whose body is too large."""
        self._metrics.answered(status, time.perf_counter() - started)

    async def close(self) -> None:
        """Wait for what is in flight; refuse what comes then."""
        self._closing = True
        while self._in_flight:
            await asyncio.sleep(0.01)
        self._pool.shutdown()

    async def _in_a_thread(self, function: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def _logged(self, answered: Answered, request_id: str, now: datetime) -> dict[str, Any]:
        rows, count = answered.rows, answered.rows.count
        return {
            "logged_at": [now] * count,
            "event_timestamp": rows.times,
            "request_id": [request_id] * count,
            "row": rows.numbers,
            "model": [self._identity.model] * count,
            "model_version": [self._identity.version] * count,
            "deployment": [self._identity.deployment] * count,
            **answered.logged,
        }
