"""The model's inputs of logged rows, computed anew from the stored events: what training would have had."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serin.artifact import Manifest
from serin.derived import derived
from serin.errors import UnavailableError
from serin.online.plan import WindowPlan
from serin.schema import calendar
from serin.use_case import WindowView
from serin.windows.query import Columns, window_features


@dataclass(frozen=True)
class Rows:
    """Rows to compute the inputs of, in this order: stored events by their places, then rows that are no stored event.

    `asked` has the columns of the events as far as they are known, and count for nobody but themselves.
    """

    places: NDArray[np.int64]
    asked: pa.Table


def check_plan(manifest: Manifest, version: int) -> None:
    """Raises UnavailableError for a version whose manifest does not say how its features are made."""
    if missing := manifest.unplanned:
        raise UnavailableError(
            f"{manifest.model_name} v{version} does not say how {', '.join(missing[:5])} are made, as it was trained "
            f"by an earlier Serin; `serin train {manifest.use_case}` makes one that does"
        )


def needed_columns(manifest: Manifest, key: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The columns of the stored events that the inputs are made of; `known` are those of the use case's table."""
    named = [*key, *(column.name for column in manifest.entities), *(column.name for column in manifest.request)]
    named += [
        feature.column for view in manifest.online.windows for feature in view.definition.features if feature.column
    ]
    named += [name for table in manifest.online.tables for name in (table.key, *table.features)]
    named += [name for feature in manifest.derived for name in (*(feature.ratio or ()), *(feature.elapsed or ()))]
    made = {name for view in manifest.online.windows for name in _names(view.definition)} | set(manifest.calendar)
    wanted = dict.fromkeys([*([manifest.timestamp] if manifest.timestamp else []), *named])
    return tuple(name for name in wanted if name in known and name not in made)


def own_columns(manifest: Manifest) -> set[str]:
    """The columns of a row's own that its inputs are made of: an unknown one makes them unknown, too.

    A window takes an own value where the event counts in its own windows, or is compared with the others.
    """
    own = {column.name for column in manifest.request} & set(manifest.inputs.names)
    for view in manifest.online.windows:
        taking = (feature for feature in view.definition.features if view.definition.takes_own(feature))
        own |= {feature.column for feature in taking if feature.column}
    own |= {name for feature in manifest.derived for name in feature.elapsed or ()}
    numbers = {column.name for column in manifest.request}
    own |= {name for feature in manifest.derived for name in feature.ratio or () if name in numbers}
    return own - {manifest.timestamp}


def reach(manifest: Manifest) -> timedelta:
    """How far before a row the events lie that its windows look at."""
    return max((view.definition.reach for view in manifest.online.windows), default=timedelta(0))


def inputs_of(manifest: Manifest, events: pa.Table, rows: Rows, key: Sequence[str]) -> pd.DataFrame:
    """The model's inputs of the rows, one column an input, as training has them: NaN or None where missing.

    `events` has the columns of `needed_columns`, of all events that the rows' windows reach.
    """
    own = pa.concat_tables([events.take(pa.array(rows.places)), _like(rows.asked, events)])
    values: dict[str, Any] = {name: own[name] for name in own.column_names}
    for view in manifest.online.windows:
        found = _windows(view, manifest.timestamp or "", events, rows, own, key)
        values |= {name: found[name] for name in found.column_names}
    if manifest.calendar:
        times = _times(own[manifest.timestamp or ""])
        values |= {name: calendar(name, times) for name in manifest.calendar}
    for feature in manifest.derived:
        given = {name: _plain(values[name]) for name in (*(feature.ratio or ()), *(feature.elapsed or ()))}
        values[feature.name] = derived(feature, given)
    return pd.DataFrame({name: _plain(values[name]) for name in manifest.inputs.names})


def _windows(
    plan: WindowPlan, timestamp: str, events: pa.Table, rows: Rows, own: pa.Table, key: Sequence[str]
) -> pa.Table:
    columns = Columns(entity=plan.key, timestamp=timestamp, key=tuple(key))
    there = events.filter(pc.is_in(events[plan.key], value_set=pc.unique(own[plan.key].combine_chunks())))
    if key:
        return window_features(there, plan.definition, columns, own)
    # Without a key a row of `own` would not be known for the event that it is.
    found = window_features(events, plan.definition, columns).take(pa.array(rows.places))
    return pa.concat_tables([found, window_features(there, plan.definition, columns, _like(rows.asked, events))])


def _names(view: WindowView) -> list[str]:
    return [feature.name for feature in view.features]


def _like(rows: pa.Table, events: pa.Table) -> pa.Table:
    """Rows with the columns and types of `events`; what they lack is null."""
    columns: Mapping[str, Any] = {
        field.name: rows[field.name].cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(len(rows), field.type)
        for field in events.schema
    }
    return pa.table(columns, schema=events.schema)


def _times(column: Any) -> NDArray[np.datetime64]:
    times: NDArray[np.datetime64] = pc.cast(column, pa.timestamp("us")).to_numpy()
    return times


def _plain(values: Any) -> NDArray[Any]:
    """Numbers as float64, NaN where missing; times as datetime64; texts as objects."""
    if isinstance(values, np.ndarray):
        return values
    if pa.types.is_timestamp(values.type):
        return _times(values)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        texts: NDArray[Any] = np.array(values.to_pylist(), dtype=object)
        return texts
    numbers: NDArray[Any] = pc.cast(values, pa.float64()).to_numpy()
    return numbers
