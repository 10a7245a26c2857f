"""Reading the prediction log, whose fixed columns `serin.prediction_log` lists.

Its files lie below `date=YYYY-MM-DD/`, the day of the event in UTC; one that is damaged is passed over.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from serin import partitions, storage
from serin.errors import DataError
from serin.partitions import Damaged, Rows

_TIME, _LOGGED, _VERSION = "event_timestamp", "logged_at", "model_version"
_UTC = pa.timestamp("us", tz="UTC")


def read(
    folder: str, *, version: str, start: datetime, end: datetime, columns: Sequence[str], optional: Sequence[str] = ()
) -> Rows:
    """What the model `version` was given and answered in [start, end), by event time.

    Only the dates (UTC) from `start` to `end` are read, and of each file the columns that are needed. One row a scored
    row: event_timestamp (UTC), then `columns`, then `optional` ones, null where a file lacks them; no rows where the
    log holds none.
    Raises DataError for rows of the version without one of these columns; UnavailableError where the log can't be
    reached.
    """
    wanted = list(dict.fromkeys([_TIME, *columns]))
    both = list(dict.fromkeys([*wanted, *optional]))
    tables, damaged = [], []
    first, last = (moment.astimezone(UTC).date().isoformat() for moment in (start, end))
    for where in partitions.files(folder, first, last):
        try:
            table = _of_version(where, version, both)
        except DataError as error:
            damaged.append(Damaged(where, str(error)))
            continue
        if missing := [name for name in wanted if name not in table.column_names] if table.num_rows else []:
            raise DataError(f"{where}: rows of model version {version} lack {', '.join(missing)}")
        tables.append(table)
    if not tables:
        return Rows(pa.table({name: pa.array([]) for name in both}), tuple(damaged))
    table = storage.joined(tables, folder)
    for name in (name for name in both if name not in table.column_names):
        table = table.append_column(name, pa.nulls(len(table)))
    times = pc.cast(table[_TIME], _UTC)
    inside = pc.and_(pc.greater_equal(times, pa.scalar(start, _UTC)), pc.less(times, pa.scalar(end, _UTC)))
    return Rows(table.select(both).filter(inside), tuple(damaged))


def end(folder: str) -> datetime | None:
    """Just after the latest event that had happened when it was logged; None where nothing was logged.

    One request with a date in the future would otherwise move a window there for good. Where all events are in the
    future (a simulation), the latest of them.
    """
    latest = None
    for date in reversed(partitions.dates(folder)):
        try:
            rows = partitions.read(folder, [_TIME, _LOGGED], first=date, last=date).table
        except DataError:
            continue
        latest = latest or pc.max(rows[_TIME]).as_py()
        happened = rows.filter(pc.field(_TIME) <= pc.field(_LOGGED))
        if happened.num_rows:
            return _after(pc.max(happened[_TIME]).as_py())
    return _after(latest) if latest else None


def _of_version(where: str, version: str, wanted: Sequence[str]) -> pa.Table:
    """Rows of one version with those of the columns that the file has: another version has other inputs.

    Raises DataError for a damaged file.
    """
    table = storage.read_file(where, [*wanted, _VERSION])
    if lacking := [name for name in (_TIME, _VERSION) if name not in table.column_names]:
        raise DataError(f"{where} is no file of the prediction log: it lacks {', '.join(lacking)}")
    rows = table.filter(pc.field(_VERSION) == version)
    return rows.select([name for name in wanted if name in rows.column_names])


def _after(moment: datetime) -> datetime:
    return moment + timedelta(microseconds=1)
