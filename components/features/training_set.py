"""The training set: labelled events, each with the features known at its time.

Window features come with the events, a row each. Of all other views an event has the row that was the latest: that
point-in-time join is DuckDB's ASOF join over the views' tables in memory, as they were just computed: adr/0006
has the figures and why it is not Feast's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from serin.derived import derived
from serin.errors import DataError
from serin.learning.split import (
    EVENT_TIME,
    FOLD,
    SPLIT,
    folds,
    known_rows,
    periods,
    split_by_entity,
    split_by_time,
)
from serin.progress import say
from serin.schema import calendar
from serin.times import format_duration
from serin.use_case import UseCase
from serin.use_case.periods import Periods

# Of an event: which row of the events it is.
_PLACE = "serin_place"


@dataclass(frozen=True)
class ViewTable:
    """A feature view's rows and how events find theirs."""

    name: str
    table: pa.Table
    join_key: str
    timestamp_field: str
    ttl: timedelta | None
    features: Sequence[str]


@dataclass(frozen=True)
class EventFeatures:
    """A window view's features, one row an event in the order of the events, each as known at the event's own time."""

    name: str
    table: pa.Table

    @property
    def features(self) -> Sequence[str]:
        """The features' names."""
        names: list[str] = self.table.column_names
        return names


def training_set(
    events: pa.Table, views: Sequence[ViewTable | EventFeatures], case: UseCase, as_of: datetime
) -> pd.DataFrame:
    """One row a labelled event: entities, key, event time, features, label, and its part and fold of the split.

    Beside these are the columns that a request carries and a derived feature is made of.

    A label is visible from its event time plus `label.delay`; events whose label is not visible at `as_of`
    are left out, and so are rows in the gap between validation and test (see `split_by_time`). Tells how many rows,
    positives and days are in each part.
    Raises DataError where a part of the split, or what is fitted or assessed of a fold, has no rows or only one class.
    """
    frame = _known(events, case, as_of)
    lengths = None
    if case.timestamp:
        lengths = periods(frame[EVENT_TIME], frame[case.label.column].to_numpy(), case, as_of)
        parts = split_by_time(frame[EVENT_TIME], case, as_of, lengths)
    else:
        _check_part(frame, f"{case.name} as of {as_of:%Y-%m-%d %H:%M}: the table", case, "Give it more labelled rows.")
        parts = split_by_entity(frame, case)
    whole = pd.concat([frame, parts], axis=1)
    frame = whole[whole[SPLIT] != ""].reset_index(drop=True)
    told = _check_parts(frame, case, as_of, _advice(whole, case, lengths))
    for text in (*(lengths.notes if lengths else ()), *told):
        say(text)
    if in_gap := len(whole) - len(frame):
        say(f"{in_gap:,} rows are in no part: their labels came during the test, or their events after it")
    return _with_features(frame, views, case)


def _with_features(frame: pd.DataFrame, views: Sequence[ViewTable | EventFeatures], case: UseCase) -> pd.DataFrame:
    places = pa.array(frame[_PLACE])
    rows = _without_group(frame.drop(columns=[_PLACE]), views, case)
    joined = point_in_time_join(rows, [view for view in views if isinstance(view, ViewTable)])
    own = [view.table.take(places).to_pandas() for view in views if isinstance(view, EventFeatures)]
    joined = pd.concat([joined, *own], axis=1)
    for name in case.features.calendar:
        joined[name] = calendar(name, joined[EVENT_TIME].dt.tz_localize(None).to_numpy())
    for feature in case.features.derived:
        operands = {name: _plain(joined[name]) for name in feature.ratio or feature.elapsed or ()}
        joined[feature.name] = derived(feature, operands)
    return joined


def _plain(column: pd.Series) -> NDArray[np.generic]:
    """The values as NumPy has them; times in UTC, without saying so."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return column.to_numpy()


def _without_group(frame: pd.DataFrame, views: Sequence[ViewTable | EventFeatures], case: UseCase) -> pd.DataFrame:
    """The rows without the column of their group, where a view gives it too, as a feature: the split is made by now."""
    group = case.training.group
    return frame.drop(columns=[group]) if any(group in view.features for view in views) else frame


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
    """The value, null where its row is older than the ttl; so does `predictors.online.enrich` online."""
    if ttl is None:
        return value
    microseconds = ttl // timedelta(microseconds=1)
    return f"case when asked.at - {alias}.at <= interval '{microseconds} microseconds' then {value} end"


def _known(events: pa.Table, case: UseCase, as_of: datetime) -> pd.DataFrame:
    needed = [*case.data.key, *case.entities.values(), *case.features.request, *_operands(case), case.label.column]
    needed += [column for column in (case.timestamp, case.training.group) if column]
    frame: pd.DataFrame = events.select(list(dict.fromkeys(needed))).to_pandas()
    frame[_PLACE] = np.arange(len(frame))
    if case.timestamp:
        frame[EVENT_TIME] = frame[case.timestamp]
        frame = frame[frame[EVENT_TIME] + case.label.delay <= pd.Timestamp(as_of)]
    else:
        frame[EVENT_TIME] = pd.Timestamp(as_of)
    return frame[frame[case.label.column].notna()].reset_index(drop=True)


def _operands(case: UseCase) -> list[str]:
    """The columns of the events that derived features are made of; the others come from views."""
    named = [name for feature in case.features.derived for name in feature.ratio or feature.elapsed or ()]
    of_views = {name for view in case.features.tables.values() for name in view.columns}
    return [name for name in named if name in case.data.columns and name not in of_views]


def _check_parts(frame: pd.DataFrame, case: UseCase, as_of: datetime, advice: str) -> list[str]:
    """What is in each part, a line each. Raises DataError for one without both classes."""
    where = f"{case.name} as of {as_of:%Y-%m-%d %H:%M}"
    told = [_check_part(frame[frame[SPLIT] == "test"], f"{where}: the test part", case, advice)]
    _check_part(frame[frame[SPLIT] == "known"], f"{where}: the known part", case, advice)
    told.append(_check_part(frame.iloc[known_rows(frame, case)], f"{where}: what the model is fitted on", case, advice))
    for number in range(1, case.training.folds + 1):
        told.append(_check_part(frame[frame[FOLD] == number], f"{where}: validation fold {number}", case, advice))
    for fold in folds(frame, case):
        _check_part(frame.iloc[fold.fit], f"{where}: what is fitted for validation fold {fold.number}", case, advice)
    return [text.removeprefix(f"{where}: ") for text in told]


def _check_part(rows: pd.DataFrame, name: str, case: UseCase, advice: str) -> str:
    label = rows[case.label.column].astype(float)
    if label.nunique() != 2:
        found = f"{len(rows):,} rows, all of class {label.iloc[0]:g}" if len(rows) else "no rows"
        raise DataError(f"{name} has {found}; it needs both classes. {advice}")
    text = f"{name} has {len(rows):,} rows, {int(label.sum()):,} of them positive"
    if not case.timestamp:
        return text
    days = (rows[EVENT_TIME].max() - rows[EVENT_TIME].min()) / timedelta(days=1)
    return f"{text}, over {days:.1f} days from {rows[EVENT_TIME].min():%Y-%m-%d}"


def _advice(frame: pd.DataFrame, case: UseCase, lengths: Periods | None) -> str:
    if lengths is None or frame.empty:
        return "Give it more labelled rows."
    count = case.training.folds
    need = lengths.test + count * lengths.validation + 3 * case.label.delay
    history = f", training.history {format_duration(case.training.history)}" if case.training.history else ""
    return (
        f"Labels are known for events from {frame[EVENT_TIME].min():%Y-%m-%d} to "
        f"{frame[EVENT_TIME].max():%Y-%m-%d}; the split needs more than {format_duration(need)} before --as-of "
        f"(training.test {format_duration(lengths.test)}, training.folds {count} of training.validation "
        f"{format_duration(lengths.validation)}, label.delay {format_duration(case.label.delay)} three times{history})"
        ". Fewer folds, or a longer period for each, have more positives."
    )
