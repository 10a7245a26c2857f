"""Pushed events and labels, held to the use case's rules."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from predictors.metrics import Metrics
from predictors.online.events import EventSink, Pushed
from predictors.requests.schema import MAX_ROWS
from serin.artifact import Manifest
from serin.errors import RequestError, UnavailableError
from serin.online.opening import open_store
from serin.online.store import OnlineStore
from serin.times import micros
from serin.windows.events import event_id, row_bytes
from tests.event_log import REFRESHED, fill, sent, transaction
from tests.factories import EVENTS, make_manifest, windows_plan
from tests.predictor_process import workspace

PLAN = windows_plan()
NOW = REFRESHED + timedelta(days=1)
LABELS = {"model": "card-fraud", "model_version": "12", "deployment": "card-fraud-v12"}
CUSTOMERS, TERMINALS = PLAN.logs["CUSTOMER_ID"], PLAN.logs["TERMINAL_ID"]


def manifest() -> Manifest:
    return make_manifest((), timestamp="TX_DATETIME", events=EVENTS, online=PLAN)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OnlineStore]:
    opened = open_store(workspace(tmp_path / "root") / "feature_repo" / "feature_store.yaml")
    fill(opened, PLAN, [])
    yield opened
    opened.close()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def sink(store: OnlineStore, registry: CollectorRegistry) -> EventSink:
    made = EventSink.of(store, manifest(), Metrics(*LABELS.values(), registry))
    assert made
    return made


def body(**parts: list[dict[str, Any]]) -> bytes:
    return orjson.dumps({name: [sent(row) for row in rows] for name, rows in parts.items()})


def refusal(sink: EventSink, content: bytes) -> str:
    with pytest.raises(RequestError) as caught:
        sink.take(content, NOW)
    return str(caught.value)


def counted(registry: CollectorRegistry) -> list[float | None]:
    return [
        registry.get_sample_value("model_events_pushed_total", {**LABELS, "status": status})
        for status in ("ok", "invalid", "error")
    ]


def test_an_event_goes_to_the_log_of_each_of_its_entities_and_its_label_apart(
    sink: EventSink, store: OnlineStore, registry: CollectorRegistry
) -> None:
    event = transaction(5, 0.5, TX_FRAUD=1)
    assert sink.take(body(events=[event, transaction(6, 0.6, CUSTOMER_ID=2)]), NOW) == Pushed(2, 2)
    name = event_id(CUSTOMERS.events, event)
    row = row_bytes({key: value for key, value in event.items() if key != "TX_FRAUD"})
    assert store.pushed(CUSTOMERS)[1].pushed == {name: row}
    assert orjson.loads(row)["TX_DATETIME"] == micros(event["TX_DATETIME"])
    assert len(store.pushed(TERMINALS)[8].pushed) == 2
    assert store.pushed(TERMINALS)[8].labels[name] == b"1"
    assert counted(registry) == [2, 0, 0]


def test_the_same_again_changes_nothing_and_is_not_new(sink: EventSink, store: OnlineStore) -> None:
    content = body(events=[transaction(5, 0.5, TX_FRAUD=None)])
    assert [sink.take(content, NOW).new for _ in range(2)] == [1, 0]
    before = dict(store.pushed(TERMINALS))
    sink.take(content, NOW)
    assert store.pushed(TERMINALS) == before


def test_a_corrected_event_takes_the_place_of_the_one_before(sink: EventSink, store: OnlineStore) -> None:
    sink.take(body(events=[transaction(5, 0.5)]), NOW)
    assert sink.take(body(events=[transaction(5, 0.4, TX_AMOUNT=99)]), NOW) == Pushed(1, 0)
    (row,) = store.pushed(CUSTOMERS)[1].pushed.values()
    assert orjson.loads(row)["TX_AMOUNT"] == 99.0


def test_one_bad_row_refuses_the_request_and_nothing_is_pushed(
    sink: EventSink, store: OnlineStore, registry: CollectorRegistry
) -> None:
    rows = [transaction(5, 0.5), transaction(-6, 0.5, TX_AMOUNT="x"), transaction(7, 3.0)]
    rows[0].pop("CHANNEL")
    assert refusal(sink, body(events=rows)).splitlines() == [
        "2 of 3 events are refused:",
        "  event 1: TRANSACTION_ID: below 0 (found -6); TX_AMOUNT: not a finite number (32 bits) (found 'x')",
        "  event 2: TX_DATETIME: more than a day ahead (found '2018-06-04T00:00:00+00:00')",
    ]
    fill(store, PLAN, [])
    assert store.pushed(CUSTOMERS) == {}
    assert counted(registry) == [0, 3, 0]


def test_key_time_and_what_windows_take_have_to_be_there(sink: EventSink) -> None:
    event = sent(transaction(5, 0.5), "TRANSACTION_ID", "TX_AMOUNT", "TX_FRAUD")
    text = refusal(sink, body(events=[{**event, "TX_DATETIME": None}]))
    assert text == "event 0: TRANSACTION_ID: missing; TX_DATETIME: missing; TX_AMOUNT: missing"
    assert refusal(sink, body(events=[{**sent(transaction(5, 0.5)), "COLOUR": 1}])).startswith(
        "event 0: column 'COLOUR' is unknown; allowed: TRANSACTION_ID, TX_DATETIME"
    )


def test_a_label_needs_the_events_key_and_the_entity_whose_windows_take_it(sink: EventSink, store: OnlineStore) -> None:
    label = {"TRANSACTION_ID": 5, "TERMINAL_ID": 8, "TX_FRAUD": 1}
    assert sink.take(body(labels=[label]), NOW) == Pushed(1, 1)
    assert sink.take(body(labels=[{**label, "CUSTOMER_ID": 1}]), NOW) == Pushed(1, 0)
    assert set(store.pushed(CUSTOMERS)) == set()
    assert refusal(sink, body(labels=[{"TRANSACTION_ID": 5}])) == "label 0: TERMINAL_ID: missing; TX_FRAUD: missing"
    assert "not one of 0, 1 (found 2)" in refusal(sink, body(labels=[{**label, "TX_FRAUD": 2}]))
    assert "TX_FRAUD: missing" in refusal(sink, body(labels=[{**label, "TX_FRAUD": None}]))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"[]", "the body is not as expected; allowed: "),
        (b"{}", "the body is not as expected; allowed: "),
        (b'{"rows": []}', "the body is not as expected; allowed: "),
        (b'{"events": 5}', "events: found 5; allowed: "),
        (b'{"events": []}', f"the request has 0 events and labels; allowed: 1 to {MAX_ROWS}"),
        (b'{"events": [5, {}]}', "2 of 2 events are refused:\n  event 0: found 5, allowed: an object of column: value"),
        (orjson.dumps({"labels": [{}] * (MAX_ROWS + 1)}), "the request has 4097 events and labels; allowed: 1 to 4096"),
    ],
)
def test_what_is_no_push_is_told(sink: EventSink, content: bytes, text: str) -> None:
    assert refusal(sink, content).startswith(text)


def test_a_model_whose_events_have_no_key_or_no_windows_takes_none(store: OnlineStore) -> None:
    metrics = Metrics(*LABELS.values(), CollectorRegistry())
    assert EventSink.of(store, make_manifest(()), metrics) is None
    keyless = EVENTS.model_copy(update={"key": ()})
    assert EventSink.of(store, make_manifest((), events=keyless, online=PLAN), metrics) is None


class _OneLog:
    """A store that fails once it has taken the events of one entity."""

    def __init__(self, store: OnlineStore) -> None:
        self._store, self._taken = store, False
        self.meta = store.meta

    def push(self, log: Any, events: Any) -> int:
        if self._taken:
            raise UnavailableError("the online store of test does not answer")
        self._taken = True
        return self._store.push(log, events)

    def push_labels(self, log: Any, labels: Any) -> int:
        return self._store.push_labels(log, labels)


def test_a_store_that_fails_half_way_is_told_and_the_same_again_mends_it(
    store: OnlineStore, registry: CollectorRegistry
) -> None:
    failing: Any = _OneLog(store)
    half = EventSink(failing, manifest(), Metrics(*LABELS.values(), registry))
    content = body(events=[transaction(5, 0.5)])
    with pytest.raises(UnavailableError) as caught:
        half.take(content, NOW)
    assert str(caught.value) == (
        "the online store of test does not answer; the events of CUSTOMER_ID were taken, those of others not; "
        "push them again: the same again changes nothing"
    )
    assert counted(registry) == [0, 0, 1]
    whole = EventSink(store, manifest(), Metrics(*LABELS.values(), CollectorRegistry()))
    assert whole.take(content, NOW) == Pushed(1, 1)
    assert len(store.pushed(CUSTOMERS)[1].pushed) == len(store.pushed(TERMINALS)[8].pushed) == 1


def test_a_version_of_another_key_pushes_nothing(sink: EventSink, store: OnlineStore) -> None:
    schema = CUSTOMERS.events.model_copy(update={"key": {"CHANNEL": "text"}})
    other = CUSTOMERS.model_copy(update={"events": schema})
    fill(store, PLAN.model_copy(update={"logs": {"CUSTOMER_ID": other, "TERMINAL_ID": TERMINALS}}), [])
    with pytest.raises(
        UnavailableError, match="known by CHANNEL now, and were by TRANSACTION_ID when this version was trained"
    ):
        sink.take(body(events=[transaction(5, 0.5)]), NOW)
    assert store.pushed(TERMINALS) == store.pushed(CUSTOMERS) == {}
