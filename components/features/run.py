"""The features step: feature views from events, the training set, the online store.

A refresh brings the online store up to the events. What training takes besides, each event's own features, is computed
by training alone, which also writes it to the files behind the views, for Feast's historical reads.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from components.features.engine import Engine, entity_features, event_features
from components.features.log import publish_logs
from components.features.plan import online_plan
from components.features.served import gone, lacking, served_view, service_name, still_needed
from components.features.spark import window_engine
from components.features.training_set import EventFeatures, ViewTable, training_set
from serin import environment, partitions
from serin.online.plan import OnlinePlan
from serin.online.rows import EVENT_TIMESTAMP
from serin.platform import Platform
from serin.ports import ServedView, ViewSource
from serin.progress import say
from serin.storage import exists, read_file, write_table
from serin.use_case import UseCase, WindowView


@dataclass(frozen=True)
class Refreshed:
    """The events before a time, and the feature views: as Feast's definitions have them (`sources`), and in the same
    order as a model version is served with them (`served`); `service` is what such a version names."""

    events: pa.Table
    sources: tuple[ViewSource, ...]
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
    """The training set (see `components.features.training_set`), the feature service that its features come from, and
    what a model that is trained on it reads online."""

    frame: pd.DataFrame
    service: str
    online: OnlinePlan


def refresh(platform: Platform, case: UseCase, as_of: datetime) -> Refreshed:
    """Declare the feature views to Feast, and bring the online store to `as_of`; see `_publish`."""
    refreshed = _declared(platform, case, as_of)
    _publish(platform, case, refreshed, as_of, {})
    return refreshed


def view_features(
    platform: Platform, case: UseCase, refreshed: Refreshed, as_of: datetime
) -> tuple[ViewTable | EventFeatures, ...]:
    """What the training set takes of each view: window views at each event's own time, others as known at `as_of`."""
    engine = _engine(platform, case)
    return tuple(
        _view(case, refreshed.events, source, view, as_of, engine)
        for source, view in zip(refreshed.sources, refreshed.served, strict=True)
    )


def published(platform: Platform, views: Sequence[ServedView]) -> Published:
    """What the online store has of views that were refreshed."""
    times = [at for view in views if (at := platform.features.published(view))]
    return Published(tuple(view.view for view in views), max(times, default=None))


def make_training_set(platform: Platform, case: UseCase, as_of: datetime) -> TrainingSet:
    """Compute the features, join them to the labelled events (see `training_set`), and publish them.

    Where no training set can be made, nothing is published. The file behind each view is replaced as a whole.
    """
    refreshed = _declared(platform, case, as_of)
    views = view_features(platform, case, refreshed, as_of)
    frame = training_set(refreshed.events, views, case, as_of)
    files = {
        view.name: _behind(refreshed.events, view, found) for view, found in zip(refreshed.served, views, strict=True)
    }
    _publish(platform, case, refreshed, as_of, files)
    plan = online_plan(case, refreshed.served, platform.features.project)
    return TrainingSet(frame, refreshed.service, plan)


def _declared(platform: Platform, case: UseCase, as_of: datetime) -> Refreshed:
    events = _events(platform, case, as_of)
    with _one_at_a_time(platform):
        platform.features.apply(case)
        sources = platform.features.sources(case)
    served = tuple(served_view(case, source) for source in sources)
    return Refreshed(events, sources, served, service_name(case, served))


def _events(platform: Platform, case: UseCase, before: datetime) -> pa.Table:
    """The events before a time. What ingest named as damaged is passed over here in the same way."""
    where = ds.field(case.timestamp) < pa.scalar(before) if case.timestamp else None
    return _as_declared(
        partitions.read(platform.workspace.events(case.name), where=where, timestamp=case.timestamp).table, case
    )


def _as_declared(events: pa.Table, case: UseCase) -> pa.Table:
    """Whole numbers as such: ingest stores those that may be missing as floats."""
    for place, name in enumerate(events.column_names):
        column = events[name]
        if (told := case.data.columns.get(name)) and told.type == "integer" and pa.types.is_floating(column.type):
            known = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
            events = events.set_column(place, name, known.cast(pa.int64()))
    return events


def _engine(platform: Platform, case: UseCase) -> Engine:
    return window_engine(case, environment.spark(), platform.workspace.storage)


def _view(
    case: UseCase, events: pa.Table, source: ViewSource, view: ServedView, as_of: datetime, engine: Engine
) -> ViewTable | EventFeatures:
    if isinstance(view.definition, WindowView):
        return EventFeatures(source.name, event_features(case, events, view, engine=engine))
    table = _entity_rows(case, events, view, as_of, engine)
    return ViewTable(source.name, table, source.join_keys[0], source.timestamp_field, source.ttl, source.features)


def _publish(
    platform: Platform, case: UseCase, refreshed: Refreshed, as_of: datetime, files: Mapping[str, pa.Table]
) -> None:
    """Bring the online store to `as_of`: the event logs, then each view's row of every entity, and write `files`, by
    the names of served views, behind those views that it brought there.

    So it is done for the views of the versions that are served, too, where they were trained with others.
    """
    with _one_at_a_time(platform):
        # Of the services that were kept before, those views are given that can still be read: they are not kept anew.
        platform.features.keep(case.name, refreshed.service, refreshed.served)
        services = still_needed(platform, case, refreshed.service) | {refreshed.service: refreshed.served}
        needed = {view.name: view for views in services.values() for view in views}
        computed = [view for view in needed.values() if _can_be_computed(refreshed.events, view)]
        windows = [view for view in needed.values() if _has_a_log(case, view, computed) and _is_of_the_log(case, view)]

        def events(before: datetime) -> pa.Table:
            return refreshed.events if before == as_of else _events(platform, case, before)

        publish_logs(platform.features.online, platform.features.project, case, windows, as_of, events)
        for view in computed:
            if not _is_later(platform, view, as_of):
                continue
            rows = _entity_rows(case, refreshed.events, view, as_of, _engine(platform, case))
            _materialise(platform, view, rows, as_of)
            if view.name in files:
                write_table(files[view.name], platform.workspace.feature_file(case.name, view.view))


def _can_be_computed(events: pa.Table, view: ServedView) -> bool:
    if missing := lacking(events, view):
        say(f"{view.name}, which a served version needs, stays as it is: the data lack {', '.join(missing)}")
    return not missing


def _has_a_log(case: UseCase, view: ServedView, computed: Sequence[ServedView]) -> bool:
    """Whether the event log is kept for a view: also for one that takes a column that the use case no longer has, whose
    other features are known."""
    column = case.data.columns.get(view.key)
    if not isinstance(view.definition, WindowView) or column is None or column.type != view.types[view.key]:
        return False
    dropped = [f.column for f in view.definition.features if f.column and f.column not in case.data.columns]
    return view in computed or bool(dropped)


def _is_of_the_log(case: UseCase, view: ServedView) -> bool:
    """Whether a view's windows are read from the event log, whose events have one time each."""
    if not isinstance(view.definition, WindowView):
        return False
    if view.timestamp != case.timestamp:
        say(f"{view.name} goes by {view.timestamp}, and the events go by {case.timestamp} now: they leave it out")
    return view.timestamp == case.timestamp


def _is_later(platform: Platform, view: ServedView, as_of: datetime) -> bool:
    """A replay of the past publishes nothing: what is served keeps the later features that it has."""
    published = platform.features.published(view)
    if published is None or as_of >= published:
        return True
    say(f"the online store keeps {view.view} as of {published:%Y-%m-%d %H:%M}, which is later")
    return False


def _materialise(platform: Platform, view: ServedView, latest: pa.Table, as_of: datetime) -> None:
    """Bring the online store to the latest rows; who is no longer among them is no longer known there.

    The rows are kept in a file once that is done: a run that is killed before finds again who is gone.
    """
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


def _entity_rows(case: UseCase, events: pa.Table, view: ServedView, as_of: datetime, engine: Engine) -> pa.Table:
    """One row an entity as of a time: its key, `event_timestamp` and the features."""
    if isinstance(view.definition, WindowView):
        return entity_features(case, events, view, as_of, engine=engine)
    times = pa.array([as_of] * len(events), pa.timestamp("us", tz="UTC"))
    return events.select([view.key, *view.features]).append_column(EVENT_TIMESTAMP, times)


def _behind(events: pa.Table, view: ServedView, computed: ViewTable | EventFeatures) -> pa.Table:
    """The rows that Feast's own point-in-time join finds: of a window view one an event, with what was known then."""
    if isinstance(computed, ViewTable):
        return computed.table
    columns = {view.key: events[view.key], EVENT_TIMESTAMP: events[view.timestamp or ""]}
    rows = pa.table(columns | {name: computed.table[name] for name in computed.features})
    return rows.filter(pc.is_valid(rows[view.key]))
