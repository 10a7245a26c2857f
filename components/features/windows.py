"""Window features: what was known of an entity at each refresh time.

A feature at refresh time t aggregates the entity's events in [t - delay - window, t - delay). The same
values go to the training set (joined as of the event) and to the online store (the latest row), so what is
served is what was trained. See adr/0007.
"""

from collections.abc import Mapping, Sequence, Sized
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from serin.errors import DataError
from serin.times import format_duration
from serin.use_case import WindowFeature, WindowView

EVENT_TIMESTAMP = "event_timestamp"
MAX_ROWS = 100_000_000


def window_features(
    events: pa.Table, view: WindowView, entity_column: str, timestamp: str, as_of: datetime
) -> pa.Table:
    """The rows of a feature view: one for each entity and refresh time up to `as_of` since it was first seen.

    `events` has the entity column, the timestamp and the aggregated columns; events at or after `as_of` are
    not looked at. Returns the entity column, `event_timestamp` (the refresh time, UTC) and one double column a
    feature; a count is 0 and every other aggregation null where the window holds no event.
    Raises DataError where that would be more than 100 million rows.
    """
    columns = sorted({feature.column for feature in view.features if feature.column})
    # The SQL knows columns by their place, so no name of the user's can meet one of its own.
    table = events.select([entity_column, timestamp, *columns])
    table = table.rename_columns(["entity", "time", *_places("c", columns)])
    # One connection a call, all in memory.
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("events", table)
        _check_size(connection, view, as_of)
        found = connection.sql(_sql(view, columns), params={"as_of": as_of}).to_arrow_table()
    return found.rename_columns([entity_column, EVENT_TIMESTAMP, *(feature.name for feature in view.features)])


def _places(letter: str, names: Sized) -> list[str]:
    return [f"{letter}{place}" for place in range(len(names))]


def _check_size(connection: duckdb.DuckDBPyConnection, view: WindowView, as_of: datetime) -> None:
    """One event time far off stretches every entity's rows; better an error than a machine without memory."""
    sql = "select count(distinct entity), min(time) from events where time < $as_of"
    ((entities, first),) = connection.sql(sql, params={"as_of": as_of}).fetchall()
    if first is None or (rows := entities * ((as_of - first) // view.refresh)) <= MAX_ROWS:
        return
    raise DataError(
        f"features of {view.entity}: {entities:,} entities from {first:%Y-%m-%d} to {as_of:%Y-%m-%d} every "
        f"{format_duration(view.refresh)} would be {rows:,} rows, allowed are {MAX_ROWS:,}; is an event time wrong, "
        "or is `refresh` too short?"
    )


def _sql(view: WindowView, columns: Sequence[str]) -> str:
    refresh = _interval(view.refresh)
    place = dict(zip(columns, _places("c", columns), strict=True))
    buckets = "".join(
        f", sum({c})::double as sum_{c}, count({c}) as count_{c}"
        f", min({c})::double as min_{c}, max({c})::double as max_{c}"
        for c in place.values()
    )
    names = _places("f", view.features)
    features = ", ".join(
        f"{_expression(feature, view, place)} as {name}" for feature, name in zip(view.features, names, strict=True)
    )
    return f"""
        with bucket as (
            select entity, time_bucket({refresh}, time, timestamptz 'epoch') as refreshed,
                   count(*) as rows_in{buckets}
            from events where time < $as_of group by all
        ),
        seen as (select entity, min(refreshed) as first_seen from bucket group by entity),
        -- every refresh time from the first event's bucket on, so that a window also moves on quiet days
        grid as (
            select entity, unnest(generate_series(
                first_seen, time_bucket({refresh}, $as_of::timestamptz, timestamptz 'epoch'), {refresh})) as refreshed
            from seen
        ),
        feature as (
            select entity, refreshed, {features}
            from grid left join bucket using (entity, refreshed)
        )
        select feature.entity, feature.refreshed, {", ".join(names)}
        from feature join seen using (entity)
        where feature.refreshed > seen.first_seen
        order by feature.refreshed, feature.entity
    """  # noqa: S608


def _expression(feature: WindowFeature, view: WindowView, place: Mapping[str, str]) -> str:
    """The aggregation over the buckets that lie in [t - delay - window, t - delay)."""
    frame = (
        f"over (partition by entity order by refreshed range between {_interval(feature.delay + feature.window)} "
        f"preceding and {_interval(feature.delay + view.refresh)} preceding)"
    )
    if feature.column is None:
        return f"coalesce(sum(rows_in) {frame}, 0)::double"
    column = place[feature.column]
    if feature.aggregation == "mean":
        return f"sum(sum_{column}) {frame} / nullif(sum(count_{column}) {frame}, 0)"
    return f"{feature.aggregation}({feature.aggregation}_{column}) {frame}"


def _interval(duration: timedelta) -> str:
    return f"interval '{int(duration.total_seconds())} seconds'"
