"""The features step: feature views from events, the training set, the online store."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from components.features.served import gone, lacking, served_view, service_name, still_needed
from components.features.training_set import ViewTable, training_set
from components.features.windows import EVENT_TIMESTAMP, window_features
from serin import partitions
from serin.platform import Platform
from serin.ports import ServedView
from serin.progress import say
from serin.storage import exists, read_file, write_table
from serin.use_case import TableView, UseCase


@dataclass(frozen=True)
class Refreshed:
    """The events before a time and the feature views as known then, each with what the join must know of it.

    `served` are the same views as a model version is served with them, and `service` what such a version names.
    """

    events: pa.Table
    views: tuple[ViewTable, ...]
    served: tuple[ServedView, ...]
    service: str


@dataclass(frozen=True)
class Published:
    """Feature views by name, and the latest time as of which the online store has them; None where it never had."""

    views: tuple[str, ...]
    at: datetime | None

    def text(self, asked: datetime) -> str:
        """What became of a refresh as of the time `asked`."""
        views = ", ".join(self.views) or "no view"
        if self.at == asked:
            return f"{views}: as of {asked:%Y-%m-%d %H:%M}"
        return f"{views}: not published as of {asked:%Y-%m-%d %H:%M}; what is served is later"


@dataclass(frozen=True)
class TrainingSet:
    """The training set (see `components.features.training_set`) and the feature service that its features come from."""

    frame: pd.DataFrame
    service: str


def refresh(platform: Platform, case: UseCase, as_of: datetime) -> Refreshed:
    """Compute all feature views as known at `as_of`, declare them to Feast, publish them; see `_publish`."""
    refreshed = _compute(platform, case, as_of)
    _publish(platform, case, refreshed, as_of)
    return refreshed


def published(platform: Platform, views: Sequence[ServedView]) -> Published:
    """What the online store has of views that were refreshed."""
    times = [at for view in views if (at := platform.features.published(view))]
    return Published(tuple(view.view for view in views), max(times, default=None))


def make_training_set(platform: Platform, case: UseCase, as_of: datetime) -> TrainingSet:
    """Compute the features, join them to the labelled events (see `training_set`), and publish them.

    Where no training set can be made, nothing is published.
    """
    refreshed = _compute(platform, case, as_of)
    frame = training_set(refreshed.events, refreshed.views, case, as_of)
    _publish(platform, case, refreshed, as_of)
    return TrainingSet(frame, refreshed.service)


def _compute(platform: Platform, case: UseCase, as_of: datetime) -> Refreshed:
    before = ds.field(case.timestamp) < pa.scalar(as_of) if case.timestamp else None
    # What ingest named as damaged is passed over here in the same way.
    events = partitions.read(platform.workspace.events(case.name), where=before, timestamp=case.timestamp).table
    with _one_at_a_time(platform):
        platform.features.apply(case)
        sources = platform.features.sources(case)
    served = tuple(served_view(case, source) for source in sources)
    views = tuple(
        ViewTable(s.name, _rows(events, view, as_of), s.join_keys[0], s.timestamp_field, s.ttl, s.features)
        for s, view in zip(sources, served, strict=True)
    )
    return Refreshed(events, views, served, service_name(case, served))


def _publish(platform: Platform, case: UseCase, refreshed: Refreshed, as_of: datetime) -> None:
    """Replace each view's file as a whole and copy each entity's latest row to the online store.

    So it is done for the views of the versions that are served, too, where they were trained with others.
    """
    current = {view.name: table for view, table in zip(refreshed.served, refreshed.views, strict=True)}
    with _one_at_a_time(platform):
        services = still_needed(platform, case, refreshed.service) | {refreshed.service: refreshed.served}
        for service, views in services.items():
            platform.features.keep(case.name, service, views)
        for view in {view.name: view for views in services.values() for view in views}.values():
            if not _is_later(platform, view, as_of):
                continue
            if table := current.get(view.name):
                _materialise(platform, view, table.table, as_of)
                write_table(table.table, platform.workspace.feature_file(case.name, view.view))
            elif missing := lacking(refreshed.events, view):
                say(f"{view.name}, which a served version needs, stays as it is: the data lack {', '.join(missing)}")
            else:
                _materialise(platform, view, _rows(refreshed.events, view, as_of), as_of)


def _is_later(platform: Platform, view: ServedView, as_of: datetime) -> bool:
    """A replay of the past publishes nothing: what is served keeps the later features that it has."""
    published = platform.features.published(view)
    if published is None or as_of >= published:
        return True
    say(f"the online store keeps {view.view} as of {published:%Y-%m-%d %H:%M}, which is later")
    return False


def _materialise(platform: Platform, view: ServedView, table: pa.Table, as_of: datetime) -> None:
    """Bring the online store to the latest rows; who is no longer among them is no longer known there.

    The rows are kept in a file once that is done: a run that is killed before finds again who is gone.
    """
    latest = _latest(table)
    location = platform.workspace.feature_file(view.use_case, view.name)
    rows = latest
    if latest.num_rows and exists(location):
        taken_back = gone(read_file(location), latest, view.key)
        if taken_back.num_rows:
            say(f"{view.view}: {taken_back.num_rows:,} of {view.key} are gone from the data, and unknown from now on")
        rows = pa.concat_tables([latest, taken_back])
    platform.features.materialise(view, rows, as_of)
    write_table(latest, location)


def _one_at_a_time(platform: Platform) -> AbstractContextManager[None]:
    """Feast's registry is one file, and an older refresh must not end after a later one."""
    return platform.lease.hold("features", wait=True)


def _latest(table: pa.Table) -> pa.Table:
    """The rows of the last refresh time: every entity that is in the data has one."""
    times = table[EVENT_TIMESTAMP]
    return table.filter(pc.equal(times, pc.max(times)))


def _rows(events: pa.Table, view: ServedView, as_of: datetime) -> pa.Table:
    if isinstance(view.definition, TableView):
        times = pa.array([as_of] * len(events), pa.timestamp("us", tz="UTC"))
        return events.select([view.key, *view.features]).append_column(EVENT_TIMESTAMP, times)
    return window_features(events, view.definition, view.key, view.timestamp or "", as_of)
