"""The requests in flight, answered together.

What was decoded in one turn of the event loop and the next, and what comes while a batch is read or scored elsewhere,
is one batch: nobody waits for others to come. A batch of few rows of a quick model is scored on the loop, another in a
thread.
"""

import asyncio
import contextvars
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from predictors.requests.rows import Rows
from predictors.scoring.admission import Cost
from predictors.scoring.kind import Answered, Kind
from predictors.scoring.plain import answering
from predictors.tracing import Tracer

READS = 2  # batches that wait for the online store at once; what comes meanwhile is one batch, once one of them is back

Key = tuple[Any, ...]
After = Callable[[], None]
_NO_SPAN = nullcontext()
logger = logging.getLogger("kserve")


@dataclass(eq=False, slots=True)
class Waiting:
    """A request's rows, and where their answer goes; one that is `alone` is in no batch with others."""

    rows: Rows
    count: int
    request_id: str
    future: "asyncio.Future[Answered]"
    alone: bool = False


@dataclass(eq=False, slots=True)
class Batch:
    """Requests that are answered together, their rows as one, and when they were answered."""

    parts: Sequence[Waiting]
    rows: Rows = field(init=False)
    now: datetime = field(init=False)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.rows = Rows.merged([part.rows for part in self.parts])

    def request_ids(self) -> str | list[str]:
        """The id of each row's request, or that of the only request."""
        if len(self.parts) == 1:
            return self.parts[0].request_id
        return [part.request_id for part in self.parts for _ in range(part.count)]

    def settle(self, answered: Answered) -> None:
        """Give each request its part of the answer."""
        if len(self.parts) == 1:
            _give(self.parts[0].future, answered)
            return
        start = 0
        for part in self.parts:
            end = start + part.count
            _give(part.future, answered.part(part.rows, start, end))
            start = end

    def fail(self, error: BaseException) -> None:
        """Give each request the error."""
        for part in self.parts:
            if not isinstance(error, Exception):
                part.future.cancel()
            elif not part.future.done():
                part.future.set_exception(error)


class Batches:
    """Answers requests with a kind of model. All is called on the event loop, but for `Kind.answer` where it says so.

    A request that is cancelled before its batch begins is left out of it. Later its rows are scored, logged and counted
    with the others', as if it had been answered: they were asked for.
    """

    def __init__(
        self,
        kind: Kind,
        pool: Executor,
        threads: int,
        cost: Cost,
        answered: Callable[[Batch, Answered], After | None],
        tracer: Tracer | None = None,
    ) -> None:
        """`answered` logs and counts a batch before its requests are answered, and may give what they still have to
        wait for, in a thread."""
        self._kind, self._pool, self._threads, self._cost = kind, pool, threads, cost
        self._answering = answering(kind)
        self._answered, self._tracer = answered, tracer
        self._queues: dict[Key, deque[Waiting]] = {}
        self._due = False
        self._reading = self._scoring = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, rows: Rows, request_id: str) -> "asyncio.Future[Answered]":
        """The answer to a request, once its batch has one."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answered] = loop.create_future()
        self._enqueue(Waiting(rows, rows.count, request_id, future), loop)
        return future

    def _enqueue(self, waiting: Waiting, loop: asyncio.AbstractEventLoop) -> None:
        rows, options = waiting.rows, waiting.rows.options
        single = waiting.alone or rows.refused or options.partial or options.explain_unknown
        key: Key = (id(waiting),) if single else (rows.names, rows.raw)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
        queue.append(waiting)
        if not self._due:
            self._due = True
            # In the next turn but one: what arrived meanwhile is looked at in between, and batches are twice as large.
            loop.call_soon(loop.call_soon, self._start)

    def _start(self) -> None:
        """Begin as many batches as may be under way, one of each queue in turn: none waits for another to be empty."""
        self._due = False
        begun = True
        while begun:
            begun = False
            for key in list(self._queues):
                queue = self._queues[key]
                if self._may_begin(queue):
                    begun = True
                    del self._queues[key]
                    parts = self._taken(queue)
                    if queue:
                        self._queues[key] = queue
                    if parts:
                        self._begin(Batch(parts))

    def _may_begin(self, queue: deque[Waiting]) -> bool:
        """Whether the next batch of a queue has a place on the loop, in a thread or at the store."""
        first = queue[0]
        if self._kind.reads(first.rows):
            return self._reading < READS and self._scoring < self._threads
        if self._scoring < self._threads:
            return True
        return first.count <= self._cost.quick_rows and (len(queue) == 1 or self._merged_is_quick())

    def _merged_is_quick(self) -> bool:
        return self._cost.merged_rows <= self._cost.quick_rows

    def _taken(self, queue: deque[Waiting]) -> list[Waiting]:
        """Requests of a queue for one batch; those that were cancelled are left out."""
        limit = self._cost.merged_rows
        parts: list[Waiting] = []
        count = 0
        while queue:
            waiting = queue[0]
            rows = waiting.count
            if parts and count + rows > limit:
                break
            queue.popleft()
            if not waiting.future.done():
                parts.append(waiting)
                count += rows
        return parts

    def _begin(self, batch: Batch) -> None:
        if self._kind.reads(batch.rows):
            self._reading += 1
            self._keep(self._read(batch))
        else:
            self._answer(batch, None)

    async def _read(self, batch: Batch) -> None:
        try:
            with self._span("read", batch):
                found = await self._kind.read(batch.rows)
        except BaseException as error:
            # For all of them: what one could not read the others can't either, and asking again for each would be the
            # worst that a store in trouble can be given.
            batch.fail(error)
            if not isinstance(error, Exception):
                raise
        else:
            self._answer(batch, found)
        finally:
            self._reading -= 1
            self._go_on()

    def _answer(self, batch: Batch, found: Any) -> None:
        if batch.rows.count > self._cost.quick_rows:
            self._scoring += 1
            self._keep(self._score_in_a_thread(batch, found))
            return
        try:
            answered = self._score(batch, found)
        except Exception as error:  # noqa: BLE001
            # Whatever it is, those who wait have to be told.
            self._failed(batch, error)
        else:
            self._finish(batch, answered)

    async def _score_in_a_thread(self, batch: Batch, found: Any) -> None:
        try:
            loop = asyncio.get_running_loop()
            # Traces are told by context variables, which no thread has of itself.
            context = contextvars.copy_context()
            answered = await loop.run_in_executor(self._pool, context.run, self._score, batch, found)
        except BaseException as error:
            if not isinstance(error, Exception):
                batch.fail(error)
                raise
            self._failed(batch, error)
        else:
            self._finish(batch, answered)
        finally:
            self._scoring -= 1
            self._go_on()

    def _score(self, batch: Batch, found: Any) -> Answered:
        """Answer a batch; it may run in a thread."""
        batch.now = datetime.now(UTC)
        start = time.perf_counter()
        with self._span("score", batch):
            answered = self._answering(batch.rows, found, batch.now)
        batch.seconds = time.perf_counter() - start
        count = answered.rows.count
        if odd := [name for name, values in answered.outputs.items() if len(values) != count]:
            raise ValueError(
                f"{type(self._kind).__name__} gave another number of {', '.join(odd)} than of rows: {count}"
            )
        return answered

    def _span(self, name: str, batch: Batch) -> AbstractContextManager[None]:
        """A batch is told in the trace of its first request."""
        if not self._tracer:
            return _NO_SPAN
        return self._tracer.span(name, rows=batch.rows.count, requests=len(batch.parts))

    def _failed(self, batch: Batch, error: Exception) -> None:
        """Answer each request by itself, so that each gets its own error, or its answer."""
        if len(batch.parts) == 1:
            self._kind.failed(error)
            batch.fail(error)
            return
        loop = asyncio.get_running_loop()
        for part in batch.parts:
            if not part.future.done():
                part.alone = True
                self._enqueue(part, loop)

    def _finish(self, batch: Batch, answered: Answered) -> None:
        self._cost.took(batch.rows.count, batch.seconds)
        after = None
        try:
            after = self._answered(batch, answered)
        except Exception:
            logger.exception("what was answered can't be counted")
        if after:
            self._keep(self._settle_after(batch, answered, after))
        else:
            self._settle(batch, answered)

    async def _settle_after(self, batch: Batch, answered: Answered, after: After) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, after)
        except Exception:
            logger.exception("what follows from answers failed; the answers stand")
        finally:
            self._settle(batch, answered)

    def _settle(self, batch: Batch, answered: Answered) -> None:
        try:
            batch.settle(answered)
        except Exception as error:  # noqa: BLE001
            # A kind that does not keep its word: whoever has no answer yet is told.
            batch.fail(error)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Have a task that nothing else refers to live on until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _go_on(self) -> None:
        if self._queues and not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._start)


def _give(future: "asyncio.Future[Answered]", answered: Answered) -> None:
    if not future.done():
        future.set_result(answered)
