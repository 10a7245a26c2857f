"""A week replayed through the predictor's own scoring, its log held against the stored events by the skew check."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from prometheus_client import CollectorRegistry

from components.features.skew_check import check_skew
from predictors.load import LoadedModel
from predictors.metrics import Metrics
from predictors.online.enrich import OnlineFeatures
from predictors.online.events import EventSink
from predictors.scoring.tabular import TabularKind
from serin import partitions
from serin.artifact import EventColumns, RequestColumn
from serin.columns import Column
from serin.online.opening import open_store
from serin.online.store import LogMeta
from serin.storage import read_file, write_table
from serin.times import micros
from serin.windows.packing import pack
from tests.plane import data_plane
from tests.predictor_process import workspace
from tests.skew_world import CASE, START, Registry, events_of_cards, manifest_of, of_period, platform_of

REACH = timedelta(days=16)
NAMES = ("cards", "3", "cards-v3")


@pytest.fixture(scope="module")
def events():
    return events_of_cards()


@pytest.fixture
def store(tmp_path):
    opened = open_store(workspace(tmp_path / "root") / "feature_repo" / "feature_store.yaml")
    yield opened
    opened.close()


def planned(**settings):
    """The manifest of the cards' model, with what the predictor needs of events."""
    columns = tuple(
        RequestColumn(name=name, **column.model_dump(include=set(Column.model_fields)))
        for name, column in CASE.data.columns.items()
    )
    manifest = manifest_of(events=EventColumns(columns=columns, key=("TX",), label="FRAUD"))
    return manifest.model_copy(update={"online": manifest.online.model_copy(update=settings)})


def refreshed(store, manifest, events):
    """Bring the log to START, as a refresh does."""
    log = manifest.online.logs["CARD"]
    known = events.filter(pc.less(events["AT"], START))
    meta = LogMeta(start=micros(START - REACH), end=micros(START), schema=log.events.model_dump_json())
    store.publish(log, pack(known, "CARD", log.events), meta)


def served(platform, store, manifest, rows):
    """Score rows in the order of time, a request each; as many as are scored are in the prediction log after it."""
    metrics = Metrics(*NAMES, CollectorRegistry(), categories=["KIND"], views=["activity"])
    model = LoadedModel(manifest, lambda matrix: np.full(len(matrix), 0.5))
    sink = EventSink.of(store, manifest, metrics) if manifest.online.requests_are_events else None
    kind = TabularKind(model, OnlineFeatures(store, manifest), metrics, sink)
    sent = rows.drop_columns(["FRAUD"]).set_column(1, "AT", [[at.isoformat() for at in rows["AT"].to_pylist()]])

    with data_plane(kind, metrics, Path(platform.workspace.predictions("cards")), NAMES) as plane:

        async def replay():
            for row in sent.to_pylist():
                await plane.request({"instances": [row]}, "r")

        asyncio.run(replay())
        plane.logged()


def checked(tmp_path, events, store, manifest):
    platform = replace(platform_of(tmp_path, events), registry=Registry(manifest))
    refreshed(store, manifest, events)
    served(platform, store, manifest, of_period(events))
    return platform, check_skew(platform, CASE)


def test_week_with_its_requests_as_events_is_served_as_trained(tmp_path, events, store):
    _, found = checked(tmp_path, events, store, planned(requests_are_events=True))
    assert found.counts.by_key == len(of_period(events)) > 100
    assert (found.verdict, found.comparison.share_equal) == ("equal", 1.0)


def test_week_whose_events_nobody_pushed_is_skewed_in_what_counts_them(tmp_path, events, store):
    _, found = checked(tmp_path, events, store, planned())
    assert found.verdict == "skewed"
    differing = {column.name: column for column in found.comparison.columns if column.differing}
    # Labels of the windows are older than the week, and were online with the refresh.
    assert set(differing) == {"count_7d", "mean_7d", "to_mean"}
    assert differing["count_7d"].mean_difference < 0


def test_event_that_was_corrected_after_it_was_scored_is_found(tmp_path, events, store):
    platform, _ = checked(tmp_path, events, store, planned(requests_are_events=True))
    where = partitions.location(platform.workspace.events("cards"), "2026-01-22")
    day = read_file(where)
    amounts = day["AMOUNT"].to_numpy().copy()
    amounts[0] += 100
    write_table(day.set_column(day.column_names.index("AMOUNT"), "AMOUNT", [amounts]), where)
    found = check_skew(platform, CASE)
    differing = {column.name: column.differing for column in found.comparison.columns if column.differing}
    assert set(differing) == {"AMOUNT", "mean_7d", "to_mean"}
    assert differing["AMOUNT"] == 1
