"""Where REST and gRPC meet: every prediction is admitted, scored, counted and traced here."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from predictors.edge.body import Held
from predictors.edge.errors import told
from predictors.identity import Identity
from predictors.log.writer import PredictionLog
from predictors.metrics import Metrics, Status
from predictors.requests.rows import Rows
from predictors.scoring.admission import Admission, Cost
from predictors.scoring.batches import After, Batch, Batches
from predictors.scoring.kind import Answered, Kind
from predictors.scoring.plain import answering
from predictors.tracing import Tracer
from serin.errors import OverloadedError, UnavailableError

CLOSE_SECONDS = 5.0  # for what is in flight when the ports, which have waited for it, are closed
SMALL = 32 * 1024  # bytes of a body that is decoded, and answered, on the event loop
EXPLAINED = 8  # requests that wait for explanations: one may take seconds, and others are not to wait for minutes
_WARM_UP_SECONDS = 0.2
_TRIES = 5

_T = TypeVar("_T")
_NO_SPAN = nullcontext()
logger = logging.getLogger("kserve")


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
        tracer: Tracer | None = None,
    ) -> None:
        """`max_concurrency` is how many requests may be in flight before others are refused; None measures it."""
        self._kind, self._log, self._metrics, self._tracer = kind, log, metrics, tracer
        self._identity, self._max_concurrency = identity, max_concurrency
        self._answering = answering(kind)
        self._pool = ThreadPoolExecutor(max_threads, thread_name_prefix="score")
        # Explanations take their time, one after the other: they must not take the threads of predictions.
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._cost = Cost()
        self._admission = Admission(self._cost, max_concurrency or self._cost.concurrency)
        self._batches = Batches(kind, self._pool, max_threads, self._cost, self._answered, tracer)
        self._idle: asyncio.Event | None = None
        self._to_explain = 0
        self.held = Held()  # large bodies and messages that are yet to be answered, of all protocols
        metrics.in_flight(lambda: self._admission.in_flight)

    async def start(self) -> None:
        """Warm up: a prediction with every engine, a read from the online store, the measured limits.

        Raises UnavailableError where `Kind.ready` does, ArtifactError where the kind answers otherwise than it
        declared.
        """
        await self._kind.ready()
        if sample := self._kind.sample():
            await self._in_a_thread(self._measure, sample)
        self._admission.most = self._max_concurrency or self._cost.concurrency
        # What is there by now stays: looking through it for garbage again and again would hold up requests.
        gc.collect()
        gc.freeze()
        logger.info(
            "%s: a batch %s %.2f ms and %.1f us a row; those of up to %d rows are scored on the event loop; "
            "at most %d requests are in flight",
            self._identity,
            "takes about" if self._cost.is_measured else "is taken to need, until there are some,",
            self._cost.base * 1e3, self._cost.row * 1e6, self._cost.quick_rows, self._admission.most,
        )  # fmt: skip

    def check(self) -> None:
        """Raise at once what a request that comes now would be refused with, before anything of it is looked at.

        Raises OverloadedError and, while the server stops, UnavailableError.
        """
        self._check_open()
        self._admission.check()

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
        # What it is where a caller goes away before the answer is there: that it took too long is no fault of theirs.
        status: Status = "error"
        try:
            self._enter()
            waiting, small = 0, size <= SMALL
            try:
                with self._tracer.span("predict", headers, request_id=request_id) if self._tracer else _NO_SPAN:
                    rows = decode() if small else await self._in_a_thread(decode)
                    waiting = self._admission.wait(rows.count)
                    answered = await self._batches.answer(rows, request_id)
                    result = encode(answered) if small else await self._in_a_thread(encode, answered)
            finally:
                self._leave(waiting)
            status = "ok"
            return result
        except Exception as error:
            status = told(error).counted
            raise
        finally:
            self._metrics.answered(status, time.perf_counter() - started)

    async def explain(
        self, decode: Callable[[], Rows], *, request_id: str, size: int, headers: Mapping[str, str] | None = None
    ) -> Sequence[dict[str, Any]]:
        """An explanation a row of the request, `error` alone of one that a partial answer leaves out; the request is
        counted by outcome. Raises as `predict`, and OverloadedError where EXPLAINED requests wait for theirs."""
        status: Status = "error"
        try:
            self._enter()
            self._to_explain += 1
            try:
                if self._to_explain > EXPLAINED:
                    raise OverloadedError(f"{EXPLAINED} requests wait for explanations; allowed: {EXPLAINED}", 1)
                with self._tracer.span("explain", headers, request_id=request_id) if self._tracer else _NO_SPAN:
                    explained = await self._explained(decode, size)
            finally:
                self._to_explain -= 1
                self._leave()
            status = "ok"
            return explained
        except Exception as error:
            status = told(error).counted
            raise
        finally:
            self._metrics.explained(status)

    async def _explained(self, decode: Callable[[], Rows], size: int) -> Sequence[dict[str, Any]]:
        rows = decode() if size <= SMALL else await self._in_a_thread(decode)
        found = await self._kind.read(rows) if self._kind.reads(rows) else None
        loop = asyncio.get_running_loop()
        explained = await loop.run_in_executor(self._explaining, self._kind.explain, rows, found)
        if len(explained) != rows.count:
            name, count = type(self._kind).__name__, len(explained)
            raise ValueError(f"{name} gave another number of explanations, {count}, than of rows: {rows.count}")
        return rows.in_order([dict(each) for each in explained])

    def count(self, status: Status, started: float) -> None:
        """Count a request that never came as far as `predict`, such as one whose body is too large."""
        self._metrics.answered(status, time.perf_counter() - started)

    def count_explained(self, status: Status) -> None:
        """Count a request that never came as far as `explain`."""
        self._metrics.explained(status)

    async def close(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Wait for what is in flight, for at most so many seconds; refuse what comes then.

        Returns whether all of it was answered. A thread can't be ended: one that hangs outlives this.
        """
        self._idle = asyncio.Event()
        answered = True
        if self._admission.in_flight:
            try:
                await asyncio.wait_for(self._idle.wait(), seconds)
            except TimeoutError:
                answered = False
        self._explaining.shutdown(wait=answered, cancel_futures=True)
        self._pool.shutdown(wait=answered, cancel_futures=True)
        return answered

    def _enter(self) -> None:
        if self._idle:
            self._check_open()
        self._admission.enter()

    def _check_open(self) -> None:
        if self._idle:
            raise UnavailableError("the server is stopping")

    def _leave(self, waiting: int = 0) -> None:
        self._admission.leave(waiting)
        if self._idle and not self._admission.in_flight:
            self._idle.set()

    def _answered(self, batch: Batch, answered: Answered) -> After | None:
        """Log and count a batch."""
        rows = answered.rows
        self._metrics.batch(rows.count)
        try:
            self._log.append(
                {
                    "logged_at": batch.now,
                    "event_timestamp": rows.times,
                    "request_id": batch.request_ids(),
                    "row": rows.numbers,
                    **answered.logged,
                }
            )
        except Exception as error:  # noqa: BLE001
            # A kind that does not keep its word: its answers stand, and what the log lacks of them is counted.
            self._log.lost(rows.count, f"what {type(self._kind).__name__} logs is {type(error).__name__}: {error}")
        return self._kind.answered(answered, batch.now)

    async def _in_a_thread(self, function: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def _measure(self, sample: Rows) -> None:
        """Time one row of the sample, and as many as can be afforded. Nothing of it is logged or counted."""
        one = self._quickest(sample, 1)
        rows = min(sample.count, max(2, int(_WARM_UP_SECONDS / _TRIES / one)))
        many = self._quickest(sample, rows) if rows > 1 else one
        self._cost.measure(rows, one, many)

    def _quickest(self, sample: Rows, count: int) -> float:
        """The quickest of a few times, as what else the machine does only adds; a slow model is timed less often."""
        started = time.perf_counter()
        best = self._timed(sample, count)
        for _ in range(_TRIES - 1):
            if time.perf_counter() - started > _WARM_UP_SECONDS:
                break
            best = min(best, self._timed(sample, count))
        return best

    def _timed(self, sample: Rows, count: int) -> float:
        rows = replace(
            sample, records=sample.records[:count], times=sample.times[:count], numbers=sample.numbers[:count]
        )
        start = time.perf_counter()
        self._answering(rows, None, datetime.now(UTC))
        return time.perf_counter() - start
