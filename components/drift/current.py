"""The rows of the prediction log that a drift check looks at."""

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from components.drift.decision import SCORE
from serin import storage
from serin.errors import DataError

_TIME = "event_timestamp"
_TYPE = pa.timestamp("us", tz="UTC")


def read_current(
    log: str, *, version: str, as_of: datetime, window: timedelta, inputs: tuple[str, ...]
) -> pd.DataFrame:
    """What the model `version` was given and answered in [as_of - window, as_of), by event time.

    `log` is the folder or URI of the prediction log, with folders `date=YYYY-MM-DD` of the event's day in UTC;
    only those of the window are read. Returns one row a scored row: event_timestamp (UTC), `inputs`, score; no
    rows where the log holds none. Raises DataError for rows of the version without one of these columns.
    """
    start, end = (as_of - window).astimezone(UTC), as_of.astimezone(UTC)
    columns = [_TIME, *inputs, SCORE]
    tables = [
        _of_version(location, version, columns) for location in _of_days(storage.files(log), start.date(), end.date())
    ]
    if not tables:
        return pd.DataFrame({name: [] for name in columns})
    table = pa.concat_tables(tables, promote_options="permissive")
    times = pc.cast(table[_TIME], _TYPE)
    inside = pc.and_(pc.greater_equal(times, pa.scalar(start, _TYPE)), pc.less(times, pa.scalar(end, _TYPE)))
    rows: pd.DataFrame = table.filter(inside).to_pandas()
    return rows


def _of_version(location: str, version: str, columns: list[str]) -> pa.Table:
    # Another version has other inputs, so a file may lack columns and still be in order.
    table = storage.read_table(location, where=ds.field("model_version") == version)
    missing = [name for name in columns if name not in table.column_names]
    if missing and table.num_rows:
        raise DataError(f"{location}: rows of model version {version} lack {', '.join(missing)}")
    return table.select([name for name in columns if name in table.column_names])


def _of_days(locations: list[str], first: date, last: date) -> list[str]:
    """Of the files in folders `date=YYYY-MM-DD`, those of the days first to last."""
    found = []
    for location in locations:
        day = next((part[5:] for part in location.split("/") if part.startswith("date=")), None)
        if day and first.isoformat() <= day <= last.isoformat():
            found.append(location)
    return found
