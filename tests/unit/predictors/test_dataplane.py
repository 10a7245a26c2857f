"""Requests in flight at once: what becomes of them together, and of each."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prometheus_client import CollectorRegistry

from predictors.dataplane import EXPLAINED, SMALL
from predictors.metrics import Metrics
from predictors.requests.rows import Options, Rows
from predictors.requests.schema import RequestSchema
from predictors.scoring.batches import READS
from predictors.scoring.kind import Answered, Kind, Output
from serin.artifact import RequestColumn
from serin.errors import OverloadedError, RequestError, UnavailableError
from tests.plane import LABELS, NAMES, Plane, data_plane


class Doubles(Kind):
    """Twice each number; 99 is refused, and -1 is a fault of its own."""

    outputs: ClassVar = (Output("double", "INT64"),)

    def __init__(self, *, seconds: float = 0.0, reading: float | None = None, sampled: bool = True) -> None:
        """Answering takes `seconds`, and reading `reading` where there is something to read."""
        self._schema = RequestSchema.of_columns([RequestColumn(name="n", type="integer")])
        self.seconds, self.reading, self.sampled = seconds, reading, sampled
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()
        self.reads_under_way = self.most_reads = self.read_calls = 0
        self.store_is_away = False
        self.failures: list[str] = []
        self.after: Callable[[], None] | None = None

    @property
    def schema(self) -> RequestSchema:
        return self._schema

    @property
    def logged(self) -> Mapping[str, Any]:
        return {"n": "integer"}

    def sample(self) -> Rows | None:
        if not self.sampled:
            return None
        return Rows.of_columns({"n": [0, 1, 2, 3]}, [datetime.now(UTC)] * 4, True, Options())

    def reads(self, rows: Rows) -> bool:
        return self.reading is not None

    async def read(self, rows: Rows) -> Any:
        self.read_calls += 1
        self.reads_under_way += 1
        self.most_reads = max(self.most_reads, self.reads_under_way)
        await asyncio.sleep(self.reading or 0)
        self.reads_under_way -= 1
        if self.store_is_away:
            raise UnavailableError("the store is away")
        return [number for (number,) in rows.records]

    def answer(self, rows: Rows, found: Any, now: datetime) -> Answered:
        numbers = [number for (number,) in rows.records]
        assert found in (None, numbers)
        self.batches.append(numbers)
        self.threads.add(threading.current_thread().name)
        if self.seconds:
            time.sleep(self.seconds)
        if -1 in numbers:
            raise RuntimeError("a fault")
        rows.without({rows.numbers[at]: "99 is refused" for at, number in enumerate(numbers) if number == 99})
        return Answered(rows, {"double": [2 * number for number in numbers]}, {"n": numbers})

    def answered(self, answered: Answered, now: datetime) -> Callable[[], None] | None:
        return self.after

    def failed(self, error: Exception) -> None:
        self.failures.append(str(error))


@contextmanager
def plane_of(kind: Kind, folder: Path, registry: CollectorRegistry | None = None, **options: Any) -> Iterator[Plane]:
    metrics = Metrics(*NAMES, registry or CollectorRegistry())
    with data_plane(kind, metrics, folder / "log", **options) as plane:
        yield plane


def started(plane: Plane, kind: Doubles) -> None:
    """Start it, and forget the batches that were its measurement."""
    asyncio.run(plane.plane.start())
    kind.batches.clear()
    kind.threads.clear()


def of(*numbers: int, **parameters: bool) -> dict[str, Any]:
    return {"instances": [{"n": number} for number in numbers], "parameters": parameters}


def doubles(answers: list[Answered | BaseException]) -> list[Any]:
    return [answer.outputs["double"] if isinstance(answer, Answered) else str(answer) for answer in answers]


def counted(registry: CollectorRegistry) -> dict[str, float | None]:
    return {
        status: registry.get_sample_value("model_predictions_total", {**LABELS, "status": status})
        for status in ("ok", "invalid", "overloaded", "error")
    }


def test_requests_of_one_turn_are_one_batch_on_the_loop_and_each_has_its_own_answer(tmp_path: Path) -> None:
    kind, registry = Doubles(), CollectorRegistry()
    with plane_of(kind, tmp_path, registry) as plane:
        started(plane, kind)
        answers = plane.ask(of(1, 2), of(3), of(4, 5, 6))
        logged = plane.logged()
    assert doubles(answers) == [[2, 4], [6], [8, 10, 12]]
    assert kind.batches == [[1, 2, 3, 4, 5, 6]]
    assert kind.threads == {"MainThread"}
    assert [(row["request_id"], row["row"], row["n"]) for row in logged] == [
        ("r-1", 0, 1), ("r-1", 1, 2), ("r-2", 0, 3), ("r-3", 0, 4), ("r-3", 1, 5), ("r-3", 2, 6),
    ]  # fmt: skip
    assert counted(registry) == {"ok": 3, "invalid": 0, "overloaded": 0, "error": 0}
    assert registry.get_sample_value("model_batch_rows_sum", LABELS) == 6
    assert registry.get_sample_value("model_requests_in_flight", LABELS) == 0


def test_answers_rows_are_those_of_their_own_request(tmp_path: Path) -> None:
    kind = Doubles()
    with plane_of(kind, tmp_path) as plane:
        started(plane, kind)
        answers = plane.ask(of(1, 2), of(3))
    assert [answer.rows.records for answer in answers if isinstance(answer, Answered)] == [[(1,), (2,)], [(3,)]]


def test_error_of_one_request_is_its_own(tmp_path: Path) -> None:
    kind, registry = Doubles(), CollectorRegistry()
    with plane_of(kind, tmp_path, registry) as plane:
        started(plane, kind)
        answers = plane.ask(of(1), of(2, 99), of(-1), of(3))
        logged = plane.logged()
    assert doubles(answers) == [[2], "1 of 2 rows are refused:\n  row 1: 99 is refused", "a fault", [6]]
    assert isinstance(answers[1], RequestError)
    assert kind.batches == [[1, 2, 99, -1, 3], [1], [2, 99], [-1], [3]]
    assert [row["n"] for row in logged] == [1, 3]
    assert len(kind.failures) == 2
    assert counted(registry) == {"ok": 2, "invalid": 1, "overloaded": 0, "error": 1}


def test_error_of_one_request_is_its_own_in_a_thread_and_after_a_read(tmp_path: Path) -> None:
    kind = Doubles(seconds=0.002, reading=0.001)
    with plane_of(kind, tmp_path) as plane:
        answers = plane.ask(of(1), of(-1), of(3))
    assert doubles(answers) == [[2], "a fault", [6]]
    assert (kind.batches[0], sorted(kind.batches[1:])) == ([1, -1, 3], [[-1], [1], [3]])
    assert kind.read_calls == 4


def test_requests_with_options_are_answered_alone(tmp_path: Path) -> None:
    kind = Doubles()
    with plane_of(kind, tmp_path) as plane:
        started(plane, kind)
        answers = plane.ask(of(1), of(2, partial=True), of(3), of(4, explain_unknown=True))
    assert doubles(answers) == [[2], [4], [6], [8]]
    assert sorted(kind.batches) == [[1, 3], [2], [4]]


def test_slow_model_answers_in_threads_and_takes_together_what_comes_meanwhile(tmp_path: Path) -> None:
    kind = Doubles(seconds=0.1)
    with plane_of(kind, tmp_path, max_threads=1) as plane:

        async def one_after_the_other() -> list[Answered]:
            first = asyncio.ensure_future(plane.request(of(0), "r-0"))
            await asyncio.sleep(0.005)
            rest = []
            for number in range(1, 6):
                rest.append(asyncio.ensure_future(plane.request(of(number), f"r-{number}")))
                await asyncio.sleep(0)
            return await asyncio.gather(first, *rest)

        answers = asyncio.run(one_after_the_other())
    assert doubles([*answers]) == [[0], [2], [4], [6], [8], [10]]
    assert kind.batches == [[0], [1, 2, 3, 4, 5]]
    assert all(name.startswith("score") for name in kind.threads)


def test_few_reads_are_under_way_at_once_and_the_rest_is_one_batch(tmp_path: Path) -> None:
    kind = Doubles(reading=0.01)
    with plane_of(kind, tmp_path) as plane:
        started(plane, kind)

        async def spread() -> list[Answered]:
            asked = []
            for number in range(20):
                asked.append(asyncio.ensure_future(plane.request(of(number), f"r-{number}")))
                await asyncio.sleep(0.0001)
            return await asyncio.gather(*asked)

        answers = asyncio.run(spread())
    assert doubles([*answers]) == [[2 * number] for number in range(20)]
    assert kind.most_reads == READS
    assert len(kind.batches) < 20


def test_requests_of_another_shape_do_not_wait_until_the_others_stop(tmp_path: Path) -> None:
    kind = Doubles(seconds=0.005)
    with plane_of(kind, tmp_path, max_threads=1) as plane:
        started(plane, kind)

        async def crowded() -> int:
            over = asyncio.Event()

            async def without_end(number: int) -> None:
                # Two in turn, so that there is always one that waits.
                while not over.is_set():
                    await asyncio.gather(*(plane.request(of(number + more), "r") for more in (0, 10)))

            crowd = [asyncio.ensure_future(without_end(number)) for number in range(4)]
            await asyncio.sleep(0.02)
            before = len(kind.batches)
            await asyncio.wait_for(plane.request(of(50, partial=True), "r-alone"), 5)
            over.set()
            await asyncio.gather(*crowd)
            return kind.batches.index([50]) - before

        assert asyncio.run(crowded()) <= 3


def test_store_that_is_away_is_asked_once_for_a_batch(tmp_path: Path) -> None:
    kind, registry = Doubles(reading=0.0), CollectorRegistry()
    kind.store_is_away = True
    with plane_of(kind, tmp_path, registry) as plane:
        answers = plane.ask(of(1), of(2), of(3))
    assert doubles(answers) == ["the store is away"] * 3
    assert all(isinstance(answer, UnavailableError) for answer in answers)
    assert (kind.read_calls, counted(registry)["error"]) == (1, 3)


def test_cancelled_request_takes_no_other_with_it(tmp_path: Path) -> None:
    kind, registry = Doubles(seconds=0.1), CollectorRegistry()
    with plane_of(kind, tmp_path, registry, max_threads=1) as plane:

        async def some_go_away() -> list[Any]:
            tasks = [
                asyncio.ensure_future(plane.request(of(1), "r-1")),
                asyncio.ensure_future(plane.request(of(2), "r-2")),
            ]
            await asyncio.sleep(0.005)
            tasks += [asyncio.ensure_future(plane.request(of(number), f"r-{number}")) for number in (3, 4)]
            await asyncio.sleep(0)
            # One whose batch is being scored, and one that waits.
            tasks[0].cancel()
            tasks[2].cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

        first, second, third, fourth = asyncio.run(some_go_away())
        assert [row["n"] for row in plane.logged()] == [1, 2, 4]
    assert [type(error) for error in (first, third)] == [asyncio.CancelledError] * 2
    assert doubles([second, fourth]) == [[4], [8]]
    assert kind.batches == [[1, 2], [4]]
    assert registry.get_sample_value("model_requests_in_flight", LABELS) == 0
    assert plane.plane._admission.rows == 0


def test_more_requests_than_allowed_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    kind, registry = Doubles(), CollectorRegistry()
    with plane_of(kind, tmp_path, registry, max_concurrency=2) as plane:
        started(plane, kind)
        answers = plane.ask(of(1), of(2), {"no": "rows"}, of(4))
        assert doubles(plane.ask(of(5))) == [[10]]
    assert doubles(answers[:2]) == [[2], [4]]
    for refused in answers[2:]:
        assert isinstance(refused, OverloadedError)
        assert str(refused).endswith("2 requests are in flight; allowed: 2")
        assert refused.retry_after == 1
    assert counted(registry) == {"ok": 3, "invalid": 0, "overloaded": 2, "error": 0}


def test_large_bodies_are_decoded_and_answered_in_a_thread(tmp_path: Path) -> None:
    kind, seen = Doubles(), []
    with plane_of(kind, tmp_path) as plane:
        started(plane, kind)

        def decode() -> Rows:
            seen.append(threading.current_thread().name)
            return kind.schema.from_v1(of(1), datetime.now(UTC))

        def encode(answered: Answered) -> Any:
            seen.append(threading.current_thread().name)
            return answered.outputs["double"]

        async def ask(size: int) -> Any:
            return await plane.plane.predict(decode, encode, request_id="r", size=size, started=0.0)

        assert asyncio.run(ask(SMALL)) == [2]
        assert seen == ["MainThread"] * 2
        seen.clear()
        assert asyncio.run(ask(SMALL + 1)) == [2]
        assert [name.startswith("score") for name in seen] == [True] * 2


def test_what_follows_from_answers_is_done_before_they_leave_and_is_no_error_of_theirs(tmp_path: Path) -> None:
    kind, done = Doubles(), []
    with plane_of(kind, tmp_path) as plane:
        kind.after = lambda: done.append(threading.current_thread().name)
        assert doubles(plane.ask(of(1))) == [[2]]
        assert [name.startswith("score") for name in done] == [True]

        def fails() -> None:
            raise RuntimeError("it fails")

        kind.after = fails
        assert doubles(plane.ask(of(1))) == [[2]]


@pytest.mark.parametrize("logged", [None, {1: [1]}, {"n": [1] * 9}, {}])
def test_rows_that_a_kind_can_not_have_logged_are_answered_and_counted_as_dropped(
    logged: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Wrong(Doubles):
        def answer(self, rows: Rows, found: Any, now: datetime) -> Answered:
            return replace(super().answer(rows, found, now), logged=logged)

    registry = CollectorRegistry()
    with plane_of(Wrong(), tmp_path, registry) as plane:
        assert doubles(plane.ask(of(1))) == [[2]]
        assert doubles(plane.ask(of(2, 3), of(4))) == [[4, 6], [8]]
        plane.flush()
    assert registry.get_sample_value("model_prediction_log_rows_dropped_total", LABELS) == 4
    assert caplog.text.count("rows of the prediction log are lost") == 1
    assert "Traceback" not in caplog.text


def test_rows_that_a_kind_can_not_count_are_answered_and_logged(tmp_path: Path) -> None:
    class Wrong(Doubles):
        def answered(self, answered: Answered, now: datetime) -> Callable[[], None] | None:
            raise RuntimeError("it can't count")

    with plane_of(Wrong(), tmp_path) as plane:
        assert doubles(plane.ask(of(1), of(2))) == [[2], [4]]
        assert [row["n"] for row in plane.logged()] == [1, 2]


def test_kind_that_gives_too_few_values_is_at_fault(tmp_path: Path) -> None:
    class Short(Doubles):
        def answer(self, rows: Rows, found: Any, now: datetime) -> Answered:
            return Answered(rows, {"double": [1]})

    with plane_of(Short(), tmp_path) as plane:
        assert doubles(plane.ask(of(1), of(2, 3))) == [[1], "Short gave another number of double than of rows: 2"]


def test_model_without_a_sample_is_served_in_threads_until_it_turns_out_to_be_quick(tmp_path: Path) -> None:
    kind = Doubles(sampled=False)
    with plane_of(kind, tmp_path) as plane:
        started(plane, kind)
        plane.ask(of(1))
        assert kind.threads != {"MainThread"}
        # When depends on the machine, and on what else it does.
        deadline = time.monotonic() + 30
        while "MainThread" not in kind.threads and time.monotonic() < deadline:
            plane.ask(of(1))
        assert "MainThread" in kind.threads


def test_nothing_of_the_warm_up_is_logged_or_counted(tmp_path: Path) -> None:
    kind, registry = Doubles(), CollectorRegistry()
    with plane_of(kind, tmp_path, registry) as plane:
        asyncio.run(plane.plane.start())
        assert kind.batches
        assert registry.get_sample_value("model_batch_rows_count", LABELS) == 0
        assert counted(registry)["ok"] == 0
        assert plane.plane._log.rows_waiting() == 0


def test_close_waits_for_what_is_in_flight_and_refuses_what_comes(tmp_path: Path) -> None:
    kind = Doubles(seconds=0.02)
    with plane_of(kind, tmp_path) as plane:

        async def closing() -> list[Any]:
            asked = asyncio.ensure_future(plane.request(of(1), "r-1"))
            await asyncio.sleep(0.005)
            close = asyncio.ensure_future(plane.plane.close())
            await asyncio.sleep(0)
            late = asyncio.ensure_future(plane.request(of(2), "r-2"))
            await asyncio.wait([asked, close, late])
            return await asyncio.gather(asked, late, return_exceptions=True)

        answers = asyncio.run(closing())
    assert doubles(answers) == [[2], "the server is stopping"]
    assert isinstance(answers[1], UnavailableError)


def test_close_gives_up_on_what_takes_too_long(tmp_path: Path) -> None:
    kind = Doubles(seconds=1.0)
    with plane_of(kind, tmp_path) as plane:

        async def closing() -> tuple[bool, float]:
            asked = asyncio.ensure_future(plane.request(of(1), "r-1"))
            await asyncio.sleep(0.1)
            began = time.monotonic()
            answered = await plane.plane.close(0.05)
            took = time.monotonic() - began
            await asyncio.wait([asked])
            return answered, took

        answered, took = asyncio.run(closing())
    assert not answered
    assert took < 0.8


def test_explanation_is_made_in_a_thread_of_its_own_and_counts_as_no_prediction(tmp_path: Path) -> None:
    class Explains(Doubles):
        def explain(self, rows: Rows, found: Any) -> Any:
            return [{"n": number, "found": found, "in": threading.current_thread().name} for (number,) in rows.records]

    kind, registry = Explains(reading=0.0), CollectorRegistry()
    with plane_of(kind, tmp_path, registry) as plane:

        async def ask() -> Any:
            return await plane.plane.explain(
                lambda: kind.schema.from_v1(of(1, 2), datetime.now(UTC)), request_id="r", size=10
            )

        first, second = asyncio.run(ask())
    assert (first["n"], second["n"], first["found"]) == (1, 2, [1, 2])
    assert first["in"].startswith("explain")
    assert sum(value or 0 for value in counted(registry).values()) == 0


def test_explanations_of_another_number_than_rows_are_a_fault(tmp_path: Path) -> None:
    class Explains(Doubles):
        def explain(self, rows: Rows, found: Any) -> Any:
            return [{}]

    kind = Explains()
    with plane_of(kind, tmp_path) as plane, pytest.raises(ValueError, match="Explains gave another number of expl"):
        asyncio.run(
            plane.plane.explain(lambda: kind.schema.from_v1(of(1, 2), datetime.now(UTC)), request_id="r", size=10)
        )


def test_more_explanations_than_may_wait_are_refused_and_predictions_are_not(tmp_path: Path) -> None:
    go_on = threading.Event()

    class Explains(Doubles):
        def explain(self, rows: Rows, found: Any) -> Any:
            go_on.wait(10)
            return [{}]

    kind, registry = Explains(), CollectorRegistry()
    with plane_of(kind, tmp_path, registry) as plane:

        async def ask() -> list[Any]:
            def decode() -> Rows:
                return kind.schema.from_v1(of(1), datetime.now(UTC))

            asked = [plane.plane.explain(decode, request_id="r", size=10) for _ in range(EXPLAINED + 2)]
            waiting = [asyncio.ensure_future(each) for each in asked]
            await asyncio.sleep(0)
            answer = await plane.request(of(1), "r-1")
            go_on.set()
            return [answer, *await asyncio.gather(*waiting, return_exceptions=True)]

        answer, *explained = asyncio.run(ask())
        assert doubles([answer]) == [[2]]
        assert explained[:EXPLAINED] == [[{}]] * EXPLAINED
        for refused in explained[EXPLAINED:]:
            assert isinstance(refused, OverloadedError)
            assert str(refused) == "8 requests wait for explanations; allowed: 8"
    labels = {**LABELS, "status": "overloaded"}
    assert registry.get_sample_value("model_explanations_total", labels) == 2
    assert registry.get_sample_value("model_requests_in_flight", LABELS) == 0
