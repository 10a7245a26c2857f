"""The training set: labelled events, each with the features known at its time.

The point-in-time join is DuckDB's ASOF join over the views' tables in memory, as they were just computed: adr/0006
has the figures and why it is not Feast's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import pandas as pd
import pyarrow as pa

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
    are left out, and so are rows in the gap between validation and test (see `split_by_time`).
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
    entity at that time, and where what it knows is older than the ttl (exactly the ttl old is not).
    Keeps the number and the order of the events.
    """
    keys = list(dict.fromkeys(view.join_key for view in views))
    places = {key: f"k{place}" for place, key in enumerate(keys)}
    # The SQL knows columns by their place, so no name of the user's can meet one of its own.
    asked = events[keys].set_axis(list(places.values()), axis=1).assign(at=events[EVENT_TIME], place=range(len(events)))
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("asked", asked)
        columns, joins = ["asked.place"], []
        names: list[str] = []
        for number, view in enumerate(views):
            alias = f"v{number}"
            connection.register(alias, _by_place(view))
            columns += [_fresh(f"{alias}.f{place}", alias, view.ttl) for place in range(len(view.features))]
            names += view.features
            joins.append(
                f"asof left join {alias} on asked.{places[view.join_key]} = {alias}.key and asked.at >= {alias}.at"
            )
        sql = f"select {', '.join(columns)} from asked {' '.join(joins)} order by asked.place"  # noqa: S608
        found = connection.sql(sql).df().iloc[:, 1:].set_axis(names, axis=1)
    return pd.concat([events.reset_index(drop=True), found], axis=1)


def _by_place(view: ViewTable) -> pa.Table:
    table = view.table.select([view.join_key, view.timestamp_field, *view.features])
    return table.rename_columns(["key", "at", *(f"f{place}" for place in range(len(view.features)))])


def _fresh(value: str, alias: str, ttl: timedelta | None) -> str:
    """The value, null where its row is older than the ttl; `predictors.enrich` holds online rows to the same rule."""
    if ttl is None:
        return value
    microseconds = ttl // timedelta(microseconds=1)
    return f"case when asked.at - {alias}.at <= interval '{microseconds} microseconds' then {value} end"


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
    need = training.test + training.validation + 3 * case.label.delay
    return (
        f"Labels are known for events from {frame[EVENT_TIME].min():%Y-%m-%d} to "
        f"{frame[EVENT_TIME].max():%Y-%m-%d}; the split needs more than {format_duration(need)} before --as-of "
        f"(training.test {format_duration(training.test)}, training.validation "
        f"{format_duration(training.validation)}, label.delay {format_duration(case.label.delay)} three times)."
    )
