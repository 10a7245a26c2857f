"""The features step: feature views from events, the training set, the online store."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from components.features.training_set import ViewTable, training_set
from components.features.windows import window_features
from serin import partitions
from serin.platform import Platform
from serin.progress import say
from serin.storage import write_table
from serin.use_case import TableView, UseCase, WindowView

EVENT_TIMESTAMP = "event_timestamp"


@dataclass(frozen=True)
class Refreshed:
    """The events before a time and the feature views as known then, each with what the join must know of it."""

    events: pa.Table
    views: tuple[ViewTable, ...]


def refresh(platform: Platform, case: UseCase, as_of: datetime) -> Refreshed:
    """Compute all feature views as known at `as_of`, declare them to Feast, publish them; see `_publish`."""
    refreshed = _compute(platform, case, as_of)
    _publish(platform, case, refreshed, as_of)
    return refreshed


def make_training_set(platform: Platform, case: UseCase, as_of: datetime) -> pd.DataFrame:
    """Compute the features, join them to the labelled events (see `training_set`), and publish them.

    Where no training set can be made, nothing is published.
    """
    refreshed = _compute(platform, case, as_of)
    frame = training_set(refreshed.events, refreshed.views, case, as_of)
    _publish(platform, case, refreshed, as_of)
    return frame


def _compute(platform: Platform, case: UseCase, as_of: datetime) -> Refreshed:
    before = ds.field(case.timestamp) < pa.scalar(as_of) if case.timestamp else None
    # What ingest named as damaged is passed over here in the same way.
    events = partitions.read(platform.workspace.events(case.name), where=before, timestamp=case.timestamp).table
    tables = {name: _view_rows(events, case, view, as_of) for name, view in case.views.items()}
    with _one_at_a_time(platform):
        platform.features.apply()
        sources = platform.features.sources(case)
    views = tuple(
        ViewTable(s.name, tables[s.name], s.join_keys[0], s.timestamp_field, s.ttl, s.features) for s in sources
    )
    return Refreshed(events, views)


def _publish(platform: Platform, case: UseCase, refreshed: Refreshed, as_of: datetime) -> None:
    """Replace each view's file as a whole and copy each entity's latest row to the online store.

    A replay of the past publishes nothing: what is served keeps the later features that it has.
    """
    with _one_at_a_time(platform):
        published = platform.features.published(case.views)
        if published is not None and as_of < published:
            say(f"the online store keeps its features as of {published:%Y-%m-%d %H:%M}, which are later")
            return
        for view in refreshed.views:
            write_table(view.table, platform.workspace.feature_source(case.name, view.name))
            platform.features.materialise(view.name, _latest(view.table), as_of)


def _one_at_a_time(platform: Platform) -> AbstractContextManager[None]:
    """Feast's registry is one file, and an older refresh must not end after a later one."""
    return platform.lease.hold("features", wait=True)


def _latest(table: pa.Table) -> pa.Table:
    """The rows of the last refresh time: every entity that was ever seen has one."""
    times = table[EVENT_TIMESTAMP]
    return table.filter(pc.equal(times, pc.max(times)))


def _view_rows(events: pa.Table, case: UseCase, view: WindowView | TableView, as_of: datetime) -> pa.Table:
    if isinstance(view, TableView):
        key = case.entities[view.entity]
        times = pa.array([as_of] * len(events), pa.timestamp("us", tz="UTC"))
        return events.select([key, *view.columns]).append_column(EVENT_TIMESTAMP, times)
    return window_features(events, view, case.entities[view.entity], case.timestamp or "", as_of)
