"""Events and labels that are pushed to a running predictor, on SQLite and on a Redis that goes away and comes back."""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyarrow.dataset import field

from serin import partitions
from serin.online.opening import open_store
from serin.online.plan import OnlinePlan
from serin.storage import files
from tests import services
from tests.event_log import fill, sent, transaction
from tests.factories import make_artifact, windows_plan
from tests.predictor_process import Predictor, start, workspace

COUNT, RATE = "customer_count_1d", "terminal_fraud_rate_7d"
BEFORE = [transaction(1, -0.5), transaction(2, -9.0, TX_FRAUD=1), transaction(3, -10.0)]


def running(root: Path, plan: OnlinePlan, settings: str = "") -> Predictor:
    workspace(root)
    yaml = root / "feature_repo" / "feature_store.yaml"
    if settings:
        lines = [line for line in yaml.read_text().splitlines() if not line.startswith("online_store:")]
        yaml.write_text("\n".join([*lines, f"online_store: {settings}", ""]))
    make_artifact(root / "model", online=plan)
    refresh(root, plan)
    return start(root, root / "model")


def refresh(root: Path, plan: OnlinePlan) -> None:
    store = open_store(root / "feature_repo" / "feature_store.yaml")
    fill(store, plan, BEFORE)
    store.close()


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    started = running(tmp_path_factory.mktemp("events") / "root", windows_plan(requests_are_events=True))
    yield started
    assert started.stop() == 0, started.output.read_text()


def push(predictor: Predictor, **parts: list[dict[str, Any]]) -> httpx.Response:
    rows = {name: [sent(row) for row in rows] for name, rows in parts.items()}
    return httpx.post(f"{predictor.http}/v1/events", json=rows, timeout=30)


def ask(predictor: Predictor, *rows: dict[str, Any], name: str) -> httpx.Response:
    return httpx.post(
        f"{predictor.http}/v1/models/card-fraud:predict",
        json={"instances": [sent(row, "TX_FRAUD") for row in rows]},
        headers={"x-request-id": name},
        timeout=30,
    )


def logged(predictor: Predictor, *names: str) -> list[dict[str, Any]]:
    """The rows that were logged of requests, in the order of the requests."""
    log = str(predictor.root / ".serin" / "predictions" / "card_fraud")
    deadline = time.monotonic() + 30
    found: list[dict[str, Any]] = []
    while len(found) < len(names) and time.monotonic() < deadline:
        time.sleep(0.1)
        found = partitions.read(log, where=field("request_id").isin(names)).table.to_pylist() if files(log) else []
    return sorted(found, key=lambda row: names.index(row["request_id"]))


def test_a_push_is_seen_by_the_next_request_and_the_same_again_is_not_new(predictor: Predictor) -> None:
    predictions = predictor.metric("model_predictions_total", status="ok")
    unkeyed = {name: value for name, value in transaction(0, 0.5, CUSTOMER_ID=5).items() if name != "TRANSACTION_ID"}
    ask(predictor, unkeyed, name="before")
    event = transaction(100, 0.4, CUSTOMER_ID=5)
    assert push(predictor, events=[event]).json() == {"accepted": 1, "new": 1}
    assert push(predictor, events=[event]).json() == {"accepted": 1, "new": 0}
    ask(predictor, unkeyed, name="after")
    before, after = logged(predictor, "before", "after")
    assert (before[COUNT], after[COUNT], after["TRANSACTION_ID"]) == (1.0, 2.0, None)
    assert predictor.metric("model_predictions_total", status="ok") == predictions + 2
    assert predictor.metric("model_events_pushed_total", status="ok") >= 2


def test_a_scored_request_with_a_key_is_an_event_for_the_next_one(predictor: Predictor) -> None:
    names = [f"own-{number}" for number in range(3)]
    for number, name in enumerate(names):
        ask(predictor, transaction(200 + number, 0.5, CUSTOMER_ID=6), name=name)
    ask(predictor, transaction(200, 0.5, CUSTOMER_ID=6), name="again")
    found = logged(predictor, *names, "again")
    assert [row[COUNT] for row in found] == [1.0, 2.0, 3.0, 1.0]
    assert [row["TRANSACTION_ID"] for row in found] == [200, 201, 202, 200]


def test_concurrent_pushes_for_one_customer_lose_nothing(predictor: Predictor) -> None:
    events = [transaction(1000 + number, 0.5, CUSTOMER_ID=7) for number in range(120)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda event: push(predictor, events=[event]).json(), events))
    assert answers == [{"accepted": 1, "new": 1}] * len(events)
    ask(predictor, transaction(9999, 0.6, CUSTOMER_ID=7), name="all")
    assert logged(predictor, "all")[0][COUNT] == 121.0


def test_a_late_label_moves_the_delayed_window_and_an_early_one_nothing_before_its_delay(predictor: Predictor) -> None:
    def rate(name: str, days: float) -> float:
        ask(predictor, transaction(0, days, TRANSACTION_ID=None, CUSTOMER_ID=50), name=name)
        return float(logged(predictor, name)[0][RATE])

    assert rate("first", 0.1) == 0.5
    late, early = ({"TRANSACTION_ID": number, "TERMINAL_ID": 8, "TX_FRAUD": 1} for number in (3, 1))
    assert push(predictor, labels=[early]).json() == {"accepted": 1, "new": 1}
    assert rate("early", 0.1) == 0.5
    assert push(predictor, labels=[late]).json() == {"accepted": 1, "new": 1}
    assert rate("late", 0.1) == 1.0


def test_a_push_that_breaks_a_rule_is_refused_as_a_whole(predictor: Predictor) -> None:
    before = predictor.metric("model_events_pushed_total", status="invalid")
    answer = push(predictor, events=[transaction(300, 0.5), transaction(301, 0.5, TX_AMOUNT=-1)])
    assert (answer.status_code, answer.json()["error"].splitlines()) == (
        400,
        ["1 of 2 events are refused:", "  event 1: TX_AMOUNT: below 0 (found -1.0)"],
    )
    assert predictor.metric("model_events_pushed_total", status="invalid") == before + 2
    assert httpx.post(f"{predictor.http}/v1/events", content=b"{").status_code == 400


@pytest.mark.parametrize("unavailable", ["error", "missing"])
def test_a_store_that_goes_away_is_told_and_gives_equal_features_when_it_is_back(
    tmp_path: Path, unavailable: Any
) -> None:
    plan = windows_plan(unavailable=unavailable)
    port = services.free_port()
    settings = f'{{type: redis, connection_string: "127.0.0.1:{port}"}}'
    with contextlib.ExitStack() as first:
        first.enter_context(services.redis(port=port))
        predictor = running(tmp_path / "root", plan, settings)
        try:
            ask(predictor, transaction(10, 0.1), name="before")
            first.close()
            away = ask(predictor, transaction(11, 0.1), name="away")
            pushed = push(predictor, events=[transaction(12, 0.05)])
            with services.redis(port=port):
                refresh(predictor.root, plan)
                assert ask(predictor, transaction(13, 0.1), name="back").status_code == 200
                assert push(predictor, events=[transaction(12, 0.05)]).json() == {"accepted": 1, "new": 1}
                ask(predictor, transaction(14, 0.1), name="pushed")
            names = ("before", "away", "back", "pushed") if unavailable == "missing" else ("before", "back", "pushed")
            found = {row["request_id"]: row for row in logged(predictor, *names)}
            assert [found[name][COUNT] for name in ("before", "back", "pushed")] == [2.0, 2.0, 3.0]
            assert [found[name][RATE] for name in ("before", "back")] == [0.5, 0.5]
            assert pushed.status_code == 503
            assert pushed.json()["error"].endswith("push them again: the same again changes nothing")
            assert predictor.metric("model_online_store_errors_total", operation="read") == 1
            assert predictor.metric("model_online_store_errors_total", operation="push") == 1
            if unavailable == "error":
                assert (away.status_code, "does not answer" in away.json()["error"]) == (503, True)
            else:
                assert (away.status_code, found["away"][COUNT], found["away"]["missing_features"]) == (200, None, 3)
        finally:
            assert predictor.stop() == 0, predictor.output.read_text()
