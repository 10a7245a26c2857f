"""Requests that are in flight together are answered and logged as each would be alone."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from predictors.load import load
from predictors.metrics import Metrics
from predictors.online.enrich import OnlineFeatures
from predictors.online.events import EventSink
from predictors.scoring.kind import Answered
from predictors.scoring.tabular import TabularKind
from serin.online.opening import open_store
from serin.online.plan import OnlinePlan
from tests.event_log import fill, sent, transaction
from tests.factories import make_artifact, windows_plan
from tests.plane import NAMES, Plane, data_plane
from tests.predictor_process import workspace

TOGETHER = 40  # requests in flight at once
REQUESTS = 600


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    make_artifact(folder, online=windows_plan())
    return folder


@contextmanager
def plane_of(sealed: Path, folder: Path, plan: OnlinePlan) -> Iterator[Plane]:
    """A plane of the model with a store of its own that holds a month of three customers at two terminals."""
    loaded = load(sealed)
    loaded = replace(loaded, manifest=loaded.manifest.model_copy(update={"online": plan}))
    store = open_store(workspace(folder / "root") / "feature_repo" / "feature_store.yaml")
    rng = random.Random(3)
    fill(store, plan, [event(number, rng.uniform(-13, 0), rng) for number in range(150)])
    features = OnlineFeatures(store, loaded.manifest)
    metrics = Metrics(*NAMES, CollectorRegistry(), categories=["CHANNEL"], views=features.views)
    events = EventSink.of(store, loaded.manifest, metrics) if plan.requests_are_events else None
    kind = TabularKind(loaded, features, metrics, events)
    try:
        with data_plane(kind, metrics, folder / "log", max_concurrency=10_000) as plane:
            yield plane
    finally:
        store.close()


def event(number: int, days: float, rng: random.Random) -> dict[str, Any]:
    return transaction(
        number, days, CUSTOMER_ID=rng.randint(1, 3), TERMINAL_ID=rng.randint(7, 8), TX_AMOUNT=rng.uniform(1, 90),
        TX_FRAUD=int(rng.random() < 0.2),
    )  # fmt: skip


def bodies(rng: random.Random) -> list[dict[str, Any]]:
    """Requests of all shapes: keyed and raw, one row and several, with and without an id, of entities that are unknown
    and times that the log does not reach, that ask for more, and that are refused."""
    return [body(rng, number) for number in range(REQUESTS)]


def body(rng: random.Random, number: int) -> dict[str, Any]:
    rows = [keyed(rng, 10_000 + 10 * number + place) for place in range(rng.choice([1, 1, 1, 2, 5]))]
    chance = rng.random()
    if chance < 0.1:
        rows = [{name: value for name, value in row.items() if name != "TRANSACTION_ID"} for row in rows]
    elif chance < 0.2:
        rows[-1]["TX_AMOUNT"] = "much"
    if chance > 0.9:
        return {"instances": rows, "parameters": {"partial": True}}
    if chance > 0.8:
        return {"instances": [{**row, "CHANNEL": "pigeon"} for row in rows], "parameters": {"explain_unknown": True}}
    return {"instances": rows}


def keyed(rng: random.Random, number: int) -> dict[str, Any]:
    row = event(number, rng.choice([rng.uniform(-13, 1), rng.uniform(0, 1), rng.uniform(0, 3)]), rng)
    if rng.random() < 0.1:
        row |= {"CUSTOMER_ID": 404, "TERMINAL_ID": 405}
    if rng.random() < 0.05:
        row["TX_AMOUNT"] = "many"
    return sent(row, "TX_FRAUD")


def told(answers: list[Answered | BaseException]) -> list[Any]:
    return [
        (answer.outputs, list(answer.rows.numbers), answer.rows.refused, list(answer.unknown), missing(answer))
        if isinstance(answer, Answered)
        else (type(answer).__name__, str(answer))
        for answer in answers
    ]


def missing(answer: Answered) -> list[int]:
    """Whoever asks beside has an answer say of each row that it lacks nothing."""
    return list(answer.missing) if any(answer.missing) else []


def answers_of(plane: Plane, asked: list[dict[str, Any]], together: int) -> tuple[list[Any], list[dict[str, Any]]]:
    """What requests are told, and what is logged of them, so many of them in flight at once."""

    async def ask() -> list[Answered | BaseException]:
        found: list[Answered | BaseException] = []
        for start in range(0, len(asked), together):
            some = enumerate(asked[start : start + together], start)
            requests = (plane.request(each, f"r-{place:05}") for place, each in some)
            found += await asyncio.gather(*requests, return_exceptions=True)
        return found

    answers = asyncio.run(ask())
    logged = [{name: value for name, value in row.items() if name != "logged_at"} for row in plane.logged()]
    return told(answers), logged


@pytest.mark.parametrize("stale", ["missing", "error"])
def test_requests_in_flight_together_are_answered_and_logged_as_each_alone(
    sealed: Path, tmp_path: Path, stale: Any
) -> None:
    asked, plan = bodies(random.Random(1)), windows_plan(stale=stale)
    with plane_of(sealed, tmp_path / "together", plan) as plane:
        merged = answers_of(plane, asked, TOGETHER)
    with plane_of(sealed, tmp_path / "alone", plan) as plane:
        alone = answers_of(plane, asked, 1)
    kinds = Counter(answer[0] if isinstance(answer[0], str) else "ok" for answer in alone[0])
    assert min(kinds.values()) > 20, kinds
    assert len(kinds) == (2 if stale == "missing" else 3)
    lacking = sum(1 for answer in alone[0] if len(answer) == 5 and answer[4])
    assert lacking > 20
    assert merged[0] == alone[0]
    assert repr(merged[1]) == repr(alone[1])  # NaN is none in a log, and would not equal itself
    assert len(alone[1]) > REQUESTS / 3


def test_requests_that_are_events_see_each_other_in_a_batch_as_one_by_one(sealed: Path, tmp_path: Path) -> None:
    rng, plan = random.Random(2), windows_plan(requests_are_events=True)
    # In the order of their times, two at one time. Some have no id: those are no events, and come last of their time.
    asked = [
        {"instances": [sent(event(5000 + number, 0.1 + number // 2 / 100, rng), "TX_FRAUD")]} for number in range(30)
    ]
    for each in asked[1::6]:
        del each["instances"][0]["TRANSACTION_ID"]
    with plane_of(sealed, tmp_path / "together", plan) as plane:
        merged = answers_of(plane, asked, len(asked))
    with plane_of(sealed, tmp_path / "alone", plan) as plane:
        alone = answers_of(plane, asked, 1)
    for row in (*merged[1], *alone[1]):
        # Alone, the log has been pushed to since.
        del row["feature_age_seconds"]
    assert merged[0] == alone[0]
    assert merged[1] == alone[1]
    counts = [row["customer_count_1d"] for row in alone[1]]
    assert max(counts) > 8
