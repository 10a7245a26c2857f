"""Events and labels that are pushed."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from prometheus_client import CollectorRegistry

from predictors.edge.app import EVENTS
from predictors.edge.body import MAX_BODY
from predictors.metrics import Metrics
from predictors.online.events import EventSink
from serin.online.opening import open_store
from tests.edge import GZIP, LABELS, Edge
from tests.event_log import fill, sent, transaction
from tests.factories import EVENTS as EVENT_COLUMNS
from tests.factories import make_manifest, windows_plan
from tests.predictor_process import workspace


@pytest.fixture
def with_events(tmp_path: Path) -> Iterator[Edge]:
    store = open_store(workspace(tmp_path / "root") / "feature_repo" / "feature_store.yaml")
    plan = windows_plan()
    fill(store, plan, [])
    manifest = make_manifest((), timestamp="TX_DATETIME", events=EVENT_COLUMNS, online=plan)
    made = Edge(tmp_path, EventSink.of(store, manifest, Metrics(*LABELS.values(), CollectorRegistry())))
    yield made
    made.close()
    store.close()


def test_pushed_events_reach_no_model_and_are_no_prediction(with_events: Edge) -> None:
    body = orjson.dumps({"events": [sent(transaction(5, 0.5))]})
    assert with_events.post(EVENTS, b"\xef\xbb\xbf" + body) == 200
    assert json.loads(with_events.answer) == {"accepted": 1, "new": 1}
    assert with_events.post(EVENTS + "/", gzip.compress(body), [GZIP]) == 200
    assert json.loads(with_events.answer) == {"accepted": 1, "new": 0}
    assert (with_events.application.scope, with_events.counted) == (None, {})


def test_events_that_break_a_rule_are_refused(with_events: Edge) -> None:
    event = sent(transaction(5, 0.5))
    assert with_events.post(EVENTS, orjson.dumps({"events": [{**event, "TX_AMOUNT": -1}]})) == 400
    assert with_events.error == "event 0: TX_AMOUNT: below 0 (found -1.0)"


def test_model_without_windows_takes_no_events(edge: Edge) -> None:
    assert edge.post(EVENTS, b'{"events": []}') == 404
    assert edge.error.startswith("card-fraud takes no events: ")


def test_events_are_posted_as_json_of_a_bounded_size(with_events: Edge) -> None:
    assert with_events.post(EVENTS, method="GET") == 405
    assert with_events.error == "GET /v1/events: allowed is POST, with the events and labels to push"
    assert with_events.post(EVENTS, b"{") == 400
    assert with_events.post(EVENTS, [b" " * MAX_BODY, b" "]) == 413
