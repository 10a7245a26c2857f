"""Features of a request's rows, from a real online store."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from predictors.load import LoadedModel
from predictors.metrics import Metrics
from predictors.online.enrich import Fetched, OnlineFeatures
from predictors.online.events import EventSink
from predictors.requests.schema import RequestSchema
from predictors.scoring.tabular import TabularKind
from serin.artifact import Manifest
from serin.errors import UnavailableError
from serin.online.opening import open_store
from serin.online.plan import OnlinePlan
from serin.online.store import OnlineStore
from tests.event_log import REFRESHED, fill, sent, transaction
from tests.factories import TABLES, make_artifact, windows_plan
from tests.plane import LABELS, NAMES, Plane, data_plane
from tests.predictor_process import set_up_store, workspace

PLAN = windows_plan()
NOW = REFRESHED + timedelta(days=1)
BEFORE = [
    transaction(1, -0.5, TX_AMOUNT=20.0),
    transaction(2, -0.25),
    transaction(3, -10.0, TX_FRAUD=1),
    transaction(4, -9.0, CUSTOMER_ID=2),
    transaction(5, -30.0),
]
COUNT, SPENT, RATE = "customer_count_1d", "customer_amount_7d", "terminal_fraud_rate_7d"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return workspace(tmp_path / "root")


@pytest.fixture
def store(root: Path) -> Iterator[OnlineStore]:
    opened = open_store(root / "feature_repo" / "feature_store.yaml")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_artifact(tmp_path_factory.mktemp("model"), online=PLAN)


def with_plan(manifest: Manifest, plan: OnlinePlan) -> Manifest:
    return manifest.model_copy(update={"online": plan})


def fetched(store: OnlineStore, manifest: Manifest, *rows: dict[str, Any]) -> Fetched:
    features = OnlineFeatures(store, manifest)
    checked = RequestSchema(manifest).from_v1({"instances": [sent(row, "TX_FRAUD") for row in rows]}, NOW)
    return features.features(checked, asyncio.run(features.read(checked)))


def of(found: Fetched) -> dict[str, list[Any]]:
    return {name: list(found.values[name]) for name in (COUNT, SPENT, RATE)}


def test_windows_are_of_the_log_and_the_requests_own_event(store: OnlineStore, sealed: Manifest) -> None:
    fill(store, PLAN, BEFORE)
    found = fetched(store, sealed, transaction(9, 0.1), transaction(9, 0.6), transaction(9, 0.1, CUSTOMER_ID=2))
    assert of(found) == {COUNT: [3.0, 2.0, 1.0], SPENT: [40.0, 40.0, 10.0], RATE: [0.5, 0.5, 0.5]}
    assert found.misses == [0, 0, 0]
    np.testing.assert_allclose(found.age_seconds, [8640, 51840, 8640])
    assert found.ages == {"CUSTOMER_ID_view": 51840, "TERMINAL_ID_view": 51840}


def test_an_entity_never_seen_has_counts_of_its_own_event_and_misses_nothing(
    store: OnlineStore, sealed: Manifest
) -> None:
    fill(store, PLAN, BEFORE)
    found = fetched(store, sealed, transaction(9, 0.1, CUSTOMER_ID=77, TERMINAL_ID=78))
    assert of(found) == {COUNT: [1.0], SPENT: [10.0], RATE: [None]}
    assert found.misses == [0]


def test_the_event_that_was_pushed_already_does_not_count_twice(store: OnlineStore, sealed: Manifest) -> None:
    fill(store, PLAN, BEFORE)
    own = transaction(9, 0.1)
    first = fetched(store, sealed, own)
    sink(store, sealed).take_rows(RequestSchema(sealed).from_v1({"instances": [sent(own, "TX_FRAUD")]}, NOW), NOW)
    assert of(fetched(store, sealed, own)) == of(first)
    assert fetched(store, sealed, transaction(10, 0.1)).values[COUNT] == [4.0]


def sink(store: OnlineStore, manifest: Manifest) -> EventSink:
    made = EventSink.of(store, manifest, Metrics(*LABELS.values(), CollectorRegistry()))
    assert made
    return made


def test_a_window_that_reaches_before_the_log_begins_is_missing_and_counted(
    store: OnlineStore, sealed: Manifest
) -> None:
    fill(store, PLAN, BEFORE)
    found = fetched(store, sealed, transaction(9, -2.0), transaction(9, -14.5))
    assert of(found) == {COUNT: [1.0, None], SPENT: [10.0, None], RATE: [None, None]}
    assert found.misses == [1, 3]


def test_a_log_that_nobody_filled_knows_nothing(store: OnlineStore, sealed: Manifest) -> None:
    set_up_log(store)
    found = fetched(store, sealed, transaction(9, 0.1))
    assert of(found) == {COUNT: [None], SPENT: [None], RATE: [None]}
    assert (found.misses, found.age_seconds) == ([3], [None])
    assert asyncio.run(OnlineFeatures(store, sealed).never_filled()) == ("CUSTOMER_ID", "TERMINAL_ID")


def set_up_log(store: OnlineStore) -> None:
    """A store that is there and has another use case's log."""
    other = PLAN.logs["CUSTOMER_ID"].model_copy(update={"use_case": "other"})
    fill(store, OnlinePlan(logs={"CUSTOMER_ID": other}), [])


def test_a_log_without_a_column_knows_the_other_features(store: OnlineStore, sealed: Manifest) -> None:
    narrow = PLAN.logs["CUSTOMER_ID"].events.model_copy(update={"numbers": ()})
    log = PLAN.logs["CUSTOMER_ID"].model_copy(update={"events": narrow})
    fill(store, PLAN.model_copy(update={"logs": {"CUSTOMER_ID": log, "TERMINAL_ID": PLAN.logs["TERMINAL_ID"]}}), BEFORE)
    found = fetched(store, sealed, transaction(9, 0.1))
    assert of(found) == {COUNT: [3.0], SPENT: [None], RATE: [0.5]}
    assert found.misses == [1]


def test_a_log_is_believed_as_long_as_the_ttl_after_the_refresh_or_the_last_push(
    store: OnlineStore, sealed: Manifest
) -> None:
    fill(store, PLAN, BEFORE)
    at, later = transaction(9, 2.0), transaction(9, 2.001)
    found = fetched(store, sealed, at, later)
    assert of(found) == {COUNT: [1.0, None], SPENT: [40.0, None], RATE: [0.5, None]}
    assert (found.misses, found.stale) == ([0, 3], {"CUSTOMER_ID_view": 2, "TERMINAL_ID_view": 1})
    sink(store, sealed).take(body(events=[transaction(10, 0.5)]), NOW)
    assert fetched(store, sealed, later).values[SPENT] == [50.0]


def test_what_is_too_old_is_an_error_where_the_use_case_says_so(store: OnlineStore, sealed: Manifest) -> None:
    strict = with_plan(sealed, windows_plan(stale="error"))
    fill(store, PLAN, BEFORE)
    assert fetched(store, strict, transaction(9, 2.0)).refusal == ""
    assert fetched(store, strict, transaction(9, 2.0), transaction(9, 3.5)).refusal == (
        "row 1: the values of view CUSTOMER_ID_view are 3.5 days old at 2018-06-04 12:00; allowed: 2.0 days; "
        "`serin refresh` brings the online store up to date"
    )


def test_rows_of_one_request_are_events_for_each_other_where_requests_are_events(
    store: OnlineStore, sealed: Manifest
) -> None:
    fill(store, PLAN, BEFORE)
    rows = [transaction(9, 0.1), transaction(10, 0.2), transaction(11, 0.1)]
    assert fetched(store, sealed, *rows).values[COUNT] == [3.0, 3.0, 3.0]
    events = with_plan(sealed, windows_plan(requests_are_events=True))
    assert fetched(store, events, *rows).values[COUNT] == [3.0, 5.0, 4.0]


def test_a_late_label_moves_delayed_windows_and_an_early_one_nothing_before_its_delay(
    store: OnlineStore, sealed: Manifest
) -> None:
    fill(store, PLAN, BEFORE)
    moments = [transaction(50, days) for days in (0.5, 6.5, 6.9)]
    # Terminal 8 saw transaction 3 leave the window by then, and 1 and 2 come into it.
    assert fetched(store, sealed, moments[0]).values[RATE] == [0.5]
    fresh = with_plan(
        sealed, PLAN.model_copy(update={"windows": tuple(w.model_copy(update={"ttl": None}) for w in PLAN.windows)})
    )
    assert fetched(store, fresh, *moments).values[RATE] == [0.5, 0.0, 0.0]
    labels = [{"TRANSACTION_ID": number, "TERMINAL_ID": 8, "TX_FRAUD": 1} for number in (1, 4)]
    assert sink(store, sealed).take(body(labels=labels), NOW).new == 2
    # 4, nine days old, is late; 1 is half a day old and counts in the window from day 6.5 on.
    assert fetched(store, fresh, *moments).values[RATE] == [1.0, 1.0, 0.5]


def test_a_push_without_a_label_takes_none_away(store: OnlineStore, sealed: Manifest) -> None:
    fill(store, PLAN, BEFORE)
    for label in (1, None):
        sink(store, sealed).take(
            body(events=[transaction(4, -9.0, TX_FRAUD=label), transaction(3, -10.0, TX_FRAUD=None)]), NOW
        )
        assert fetched(store, sealed, transaction(50, 0.5)).values[RATE] == [1.0]


def hopping_plan() -> OnlinePlan:
    """`windows_plan` with hops of a day, merged but for the last day."""
    plan = windows_plan()
    log = plan.logs["CUSTOMER_ID"]
    day = 86_400 * 10**6
    hops = {day: (("count", ""), ("sum", "TX_AMOUNT"))}
    events = log.events.model_copy(update={"raw": 0, "hops": hops})
    windows = [
        window.model_copy(
            update={"definition": window.definition.model_copy(update={"hop": timedelta(days=1)})}
            if window.key == "CUSTOMER_ID"
            else {}
        )
        for window in plan.windows
    ]
    logs = plan.logs | {"CUSTOMER_ID": log.model_copy(update={"events": events})}
    return plan.model_copy(update={"windows": tuple(windows), "logs": logs})


def test_pushes_of_merged_hops_are_counted_and_change_nothing(store: OnlineStore, sealed: Manifest) -> None:
    plan = hopping_plan()
    manifest = with_plan(sealed, plan)
    before = [transaction(number, -3 - number / 1000) for number in range(100, 300)]
    fill(store, plan, [*before, transaction(1, -0.5, TX_AMOUNT=20.0)])
    registry = CollectorRegistry()
    sink = EventSink.of(store, manifest, Metrics("card-fraud", "12", "card-fraud-v12", registry))
    assert sink is not None
    asking = transaction(999, 0.1)
    asked = fetched(store, manifest, asking)
    assert (asked.values[SPENT], asked.late) == ([2030.0], {"CUSTOMER_ID_view": 0, "TERMINAL_ID_view": 0})
    corrected = transaction(150, -3.15, TX_AMOUNT=77.0)
    sink.take(body(events=[corrected, transaction(301, -2.5), transaction(2, -0.4)]), NOW)
    again = fetched(store, manifest, asking)
    assert (again.values[SPENT], again.late) == ([2040.0], {"CUSTOMER_ID_view": 2, "TERMINAL_ID_view": 0})
    # Only what was asked for with a day's events one by one is known: the day before that is merged.
    old = fetched(store, manifest, transaction(999, -1.5))
    assert (old.values[COUNT], old.values[SPENT]) == ([None], [None])


def test_a_row_that_is_an_event_of_a_merged_hop_is_counted_as_late(store: OnlineStore, sealed: Manifest) -> None:
    manifest = with_plan(sealed, hopping_plan().model_copy(update={"requests_are_events": True}))
    fill(store, hopping_plan(), [transaction(number, -3 - number / 1000) for number in range(100, 300)])
    assert fetched(store, manifest, transaction(999, 0.1)).late["CUSTOMER_ID_view"] == 0
    assert fetched(store, manifest, transaction(999, -1.5)).late["CUSTOMER_ID_view"] == 1


def body(**parts: list[dict[str, Any]]) -> bytes:
    import orjson

    return orjson.dumps({name: [sent(row) for row in rows] for name, rows in parts.items()})


def test_tables_are_read_up_to_their_ttl(root: Path, store: OnlineStore, sealed: Manifest) -> None:
    set_up_store(root)
    aged = TABLES.model_copy(update={"tables": tuple(t.model_copy(update={"ttl": 86400.0}) for t in TABLES.tables)})
    manifest = with_plan(sealed, aged)
    at = transaction(9, 0.0)
    found = fetched(store, manifest, at, transaction(9, 0.1), transaction(9, 0.0, CUSTOMER_ID=99))
    assert (found.values[COUNT], found.values[RATE]) == ([2.0, None, None], [0.9, None, 0.9])
    # What no view has is missing.
    assert (found.values[SPENT], found.misses) == ([None] * 3, [1, 3, 2])
    assert found.stale == {"customer_view": 1, "terminal_view": 1}


@contextmanager
def scorer(store: OnlineStore, manifest: Manifest, folder: Path, registry: CollectorRegistry) -> Iterator[Plane]:
    """A model that gives a hundredth of the first input, 0 where that is missing."""
    features = OnlineFeatures(store, manifest)
    metrics = Metrics(*NAMES, registry, categories=["CHANNEL"], views=features.views)
    model = LoadedModel(manifest, lambda matrix: np.nan_to_num(matrix[:, 0].astype(np.float64)) / 100)
    events = EventSink.of(store, manifest, metrics) if manifest.online.requests_are_events else None
    with data_plane(TabularKind(model, features, metrics, events), metrics, folder / "log") as plane:
        yield plane


def test_the_log_holds_the_events_key_derived_features_and_nulls(
    store: OnlineStore, sealed: Manifest, tmp_path: Path
) -> None:
    manifest = with_plan(sealed, windows_plan(requests_are_events=True))
    fill(store, PLAN, BEFORE)
    registry = CollectorRegistry()
    with scorer(store, manifest, tmp_path, registry) as plane:
        plane.one(sent(transaction(9, 0.1), "TX_FRAUD"))
        plane.one(sent(transaction(9, 0.2, TERMINAL_ID=77), "TX_FRAUD", "TRANSACTION_ID"))
        first, second = plane.logged("event_timestamp")
    assert (first["TRANSACTION_ID"], second["TRANSACTION_ID"]) == (9, None)
    assert (first["amount_share"], second["amount_share"]) == (10 / 40, 10 / 50)
    assert (first[COUNT], second[COUNT], second[RATE]) == (3.0, 4.0, None)
    ok = registry.get_sample_value("model_events_pushed_total", {**LABELS, "status": "ok"})
    assert ok == 1
    assert registry.get_sample_value("model_view_age_seconds", {**LABELS, "view": "TERMINAL_ID_view"}) == 8640


class _Away:
    """A store of which every call fails."""

    async def read(self, *_: Any) -> Any:
        raise UnavailableError("the online store of test does not answer")


def test_a_store_that_is_away_is_an_error_or_all_is_missing(sealed: Manifest, tmp_path: Path) -> None:
    away: Any = _Away()
    with scorer(away, sealed, tmp_path, CollectorRegistry()) as plane:
        with pytest.raises(UnavailableError, match="does not answer"):
            plane.one(sent(transaction(9, 0.1), "TX_FRAUD"))
        with pytest.raises(UnavailableError, match="does not answer"):
            asyncio.run(plane.plane.start())
    lenient = with_plan(sealed, windows_plan(unavailable="missing"))
    registry = CollectorRegistry()
    with scorer(away, lenient, tmp_path, registry) as plane:
        asyncio.run(plane.plane.start())
        plane.one(sent(transaction(9, 0.1), "TX_FRAUD"))
        (row,) = plane.logged()
    assert (row[COUNT], row["missing_features"], row["feature_age_seconds"], row["score"]) == (None, 3, None, 0.1)
    assert registry.get_sample_value("model_online_store_errors_total", {**LABELS, "operation": "read"}) == 1


def test_a_log_that_nobody_filled_is_an_error_where_a_value_that_is_too_old_is(
    store: OnlineStore, sealed: Manifest
) -> None:
    set_up_log(store)
    strict = with_plan(sealed, PLAN.model_copy(update={"stale": "error"}))
    expected = "no events of CUSTOMER_ID are online; `serin refresh` brings all that are stored there"
    assert fetched(store, strict, transaction(9, 0.1)).refusal == expected
    assert fetched(store, sealed, transaction(9, 0.1)).refusal == ""
