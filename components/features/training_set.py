"""The training set: labelled events, each with the features known at its time.

The point-in-time join is DuckDB's ASOF join over the sources that Feast's definitions name: adr/0006 has the
figures and why it is not Feast's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from components.features.windows import quote
from serin.errors import DataError
from serin.learning.split import EVENT_TIME, PARTS, SPLIT, split_by_entity, split_by_time
from serin.schema import calendar
from serin.times import format_duration
from serin.use_case import UseCase


@dataclass(frozen=True)
class ViewTable:
    """A feature view's rows and how events find theirs."""

    name: str
    table: pa.Table
    join_key: str
    timestamp_field: str
    ttl: timedelta | None
    features: Sequence[str]


def training_set(events: pa.Table, views: Sequence[ViewTable], case: UseCase, as_of: datetime) -> pd.DataFrame:
    """One row a labelled event: entities, key, event time, features, label, and its part of the split.

    A label is visible from its event time plus `label.delay`; events whose label is not visible at `as_of`
    are left out. Rows in the gap between validation and test are left out too (see `split_by_time`).
    Raises DataError where a part of the split has no rows or only one class.
    """
    frame = _known(events, case, as_of)
    frame[SPLIT] = split_by_time(frame[EVENT_TIME], case, as_of) if case.timestamp else split_by_entity(frame, case)
    frame = frame[frame[SPLIT] != ""].reset_index(drop=True)
    _check_parts(frame, case, as_of)
    joined = point_in_time_join(frame, views)
    for name in case.features.calendar:
        joined[name] = calendar(name, joined[EVENT_TIME].dt.tz_localize(None).to_numpy())
    return joined


def point_in_time_join(events: pd.DataFrame, views: Sequence[ViewTable]) -> pd.DataFrame:
    """Each event with every view's latest row at or before its time, no older than the view's ttl.

    `events` has `serin_event_time` and the join keys; a feature is null where its view knows nothing of the
    entity at that time. Keeps the number and the order of the events.
    """
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("events", events.assign(serin_row=np.arange(len(events))))
        columns, joins = ["events.*"], []
        for index, view in enumerate(views):
            alias, time = f"view_{index}", quote(view.timestamp_field)
            connection.register(alias, view.table)
            fresh = f"events.{EVENT_TIME} - {alias}.{time} <= interval '{_seconds(view.ttl)} seconds'"
            columns += [
                f"case when {fresh} then {alias}.{quote(f)} end as {quote(f)}" if view.ttl else f"{alias}.{quote(f)}"
                for f in view.features
            ]
            key = quote(view.join_key)
            joins.append(
                f"asof left join {alias} on events.{key} = {alias}.{key} and events.{EVENT_TIME} >= {alias}.{time}"
            )
        # Names are quoted identifiers of a validated use case, never values.
        sql = f"select {', '.join(columns)} from events {' '.join(joins)} order by serin_row"  # noqa: S608
        joined: pd.DataFrame = connection.sql(sql).df()
    return joined.drop(columns="serin_row")


def _known(events: pa.Table, case: UseCase, as_of: datetime) -> pd.DataFrame:
    needed = [*case.data.key, *case.entities.values(), *case.features.request, case.label.column]
    needed += [case.timestamp] if case.timestamp else []
    frame: pd.DataFrame = events.select(list(dict.fromkeys(needed))).to_pandas()
    if case.timestamp:
        frame[EVENT_TIME] = frame[case.timestamp]
        frame = frame[frame[EVENT_TIME] + case.label.delay <= pd.Timestamp(as_of)]
    else:
        frame[EVENT_TIME] = pd.Timestamp(as_of)
    return frame[frame[case.label.column].notna()].reset_index(drop=True)


def _check_parts(frame: pd.DataFrame, case: UseCase, as_of: datetime) -> None:
    labels = frame[case.label.column].astype(float)
    for part in PARTS:
        of_part = labels[frame[SPLIT] == part]
        if of_part.nunique() == 2:
            continue
        found = f"{len(of_part)} rows, all of class {of_part.iloc[0]:g}" if len(of_part) else "no rows"
        raise DataError(
            f"{case.name} as of {as_of:%Y-%m-%d %H:%M}: the {part} part has {found}; it needs both classes. "
            + _advice(frame, case)
        )


def _advice(frame: pd.DataFrame, case: UseCase) -> str:
    if not case.timestamp or frame.empty:
        return "Give it more labelled rows."
    training = case.training
    need = training.test + training.validation + 2 * case.label.delay
    return (
        f"Labels are known for events from {frame[EVENT_TIME].min():%Y-%m-%d} to "
        f"{frame[EVENT_TIME].max():%Y-%m-%d}; the split needs more than {format_duration(need)} before --as-of "
        f"(training.test {format_duration(training.test)}, training.validation "
        f"{format_duration(training.validation)}, label.delay {format_duration(case.label.delay)} twice)."
    )


def _seconds(duration: timedelta | None) -> int:
    return int(duration.total_seconds()) if duration else 0
