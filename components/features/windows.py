"""Window features: what was known of an entity at each refresh time.

A feature at refresh time t aggregates the entity's events in [t - delay - window, t - delay). The same
values go to the training set (joined as of the event) and to the online store (the latest row), so what is
served is what was trained. See adr/0007.
"""

from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from serin.errors import DataError
from serin.times import format_duration
from serin.use_case import WindowFeature, WindowView

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
    # One connection a call, all in memory; DuckDB finds the Arrow table by its Python name.
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("events", events)
        _check_size(connection, view, entity_column, timestamp, as_of)
        sql = _sql(view, entity_column, timestamp)
        return connection.sql(sql, params={"as_of": as_of}).to_arrow_table()


def _check_size(
    connection: duckdb.DuckDBPyConnection, view: WindowView, entity_column: str, timestamp: str, as_of: datetime
) -> None:
    """One event time far off stretches every entity's rows; better an error than a machine without memory."""
    entity, time = quote(entity_column), quote(timestamp)
    sql = f"select count(distinct {entity}), min({time}) from events where {time} < $as_of"  # noqa: S608
    ((entities, first),) = connection.sql(sql, params={"as_of": as_of}).fetchall()
    if first is None or (rows := entities * ((as_of - first) // view.refresh)) <= MAX_ROWS:
        return
    raise DataError(
        f"features of {view.entity}: {entities:,} entities from {first:%Y-%m-%d} to {as_of:%Y-%m-%d} every "
        f"{format_duration(view.refresh)} would be {rows:,} rows, allowed are {MAX_ROWS:,}; is an event time wrong, "
        "or is `refresh` too short?"
    )


def _sql(view: WindowView, entity_column: str, timestamp: str) -> str:
    refresh = _interval(view.refresh)
    entity, time = quote(entity_column), quote(timestamp)
    columns = sorted({feature.column for feature in view.features if feature.column})
    buckets = "".join(
        f", sum({quote(c)})::double as {quote('sum ' + c)}, count({quote(c)}) as {quote('count ' + c)}"
        f", min({quote(c)})::double as {quote('min ' + c)}, max({quote(c)})::double as {quote('max ' + c)}"
        for c in columns
    )
    features = ", ".join(f"{_expression(f, view)} as {quote(f.name)}" for f in view.features)
    # Names are quoted identifiers of a validated use case, never values.
    return f"""
        with bucket as (
            select {entity} as entity, time_bucket({refresh}, {time}, timestamptz 'epoch') as bucket,
                   count(*) as rows{buckets}
            from events where {time} < $as_of group by all
        ),
        seen as (select entity, min(bucket) as first from bucket group by entity),
        -- every refresh time from the first event's bucket on, so that a window also moves on quiet days
        grid as (
            select entity, unnest(generate_series(
                first, time_bucket({refresh}, $as_of::timestamptz, timestamptz 'epoch'), {refresh})) as bucket
            from seen
        ),
        feature as (
            select entity, bucket, {features}
            from grid left join bucket using (entity, bucket)
        )
        select feature.entity as {entity}, feature.bucket as event_timestamp,
               {", ".join(quote(f.name) for f in view.features)}
        from feature join seen using (entity)
        where feature.bucket > seen.first
        order by event_timestamp, {entity}
    """  # noqa: S608


def _expression(feature: WindowFeature, view: WindowView) -> str:
    """The aggregation over the buckets that lie in [t - delay - window, t - delay)."""
    frame = (
        f"over (partition by entity order by bucket range between {_interval(feature.delay + feature.window)} "
        f"preceding and {_interval(feature.delay + view.refresh)} preceding)"
    )
    if feature.aggregation == "count":
        return f"coalesce(sum(rows) {frame}, 0)::double"
    if feature.aggregation == "mean":
        total, count = quote(f"sum {feature.column}"), quote(f"count {feature.column}")
        return f"sum({total}) {frame} / nullif(sum({count}) {frame}, 0)"
    return f"{feature.aggregation}({quote(f'{feature.aggregation} {feature.column}')}) {frame}"


def _interval(duration: timedelta) -> str:
    return f"interval '{int(duration.total_seconds())} seconds'"


def quote(name: str) -> str:
    """A column's name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
