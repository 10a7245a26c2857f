"""The ingest step: read a source, check it, keep what is good and set aside what is not.

Everything is idempotent: a second run, or one after a kill, writes only what is not yet there.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa

from components.ingest.rules import check
from serin import partitions, storage
from serin import tables as source_table
from serin.use_case import UseCase
from serin.workspace import Workspace


@dataclass(frozen=True)
class Ingested:
    """What an ingest did. `rows` are the source's good rows, `added` those that no partition held before.

    `notes` say what the reader of the table detected, left out and replaced.
    """

    rows: int
    added: int
    quarantined: int
    quarantine: str | None
    written: tuple[str, ...]
    first: datetime | None
    last: datetime | None
    snapshot: str
    notes: tuple[str, ...] = ()


def ingest(workspace: Workspace, case: UseCase, source: str, as_of: datetime) -> Ingested:
    """Bring the table at `source` (CSV or Parquet, path or s3:// URI) into the workspace's events.

    Rows go to the partition of their event's UTC date and take the place of rows with the same `data.key`
    there; without a key, the source replaces the dates that it covers. A table without event times is a
    snapshot: it replaces the one before and has the date of `as_of`. `written` names the dates written.
    Raises DataError and UnavailableError as `source_table.read` and `logic.check` do; nothing is written then.
    """
    theirs = {mine: name for name, mine in case.data.rename.items()}
    table = source_table.read(source, needed=[theirs.get(name, name) for name in case.data.columns])
    checked = check(table.frame, case, source, table.bad_lines)
    quarantine = _set_aside(workspace, case, source, checked.bad)
    rows = partitions.to_table(checked.good, case.data.columns)
    folder = workspace.events(case.name)
    if case.timestamp:
        written, added = _merge_dates(folder, case, case.timestamp, rows)
        times = checked.good[case.timestamp]
        first, last = times.min().to_pydatetime(), times.max().to_pydatetime()
    else:
        date = as_of.astimezone(UTC).date().isoformat()
        changed, added = partitions.replace(folder, date, rows, case.data.key)
        written = (date,) if changed else ()
        first = last = None
    return Ingested(
        rows=rows.num_rows,
        added=added,
        quarantined=len(checked.bad),
        quarantine=quarantine,
        written=written,
        first=first,
        last=last,
        snapshot=partitions.snapshot(folder),
        notes=table.notes,
    )


def _set_aside(workspace: Workspace, case: UseCase, source: str, bad: pd.DataFrame) -> str | None:
    """Write the bad rows of a source to its quarantine file, unless that is there already."""
    if bad.empty:
        return None
    where = f"{workspace.quarantine(case.name)}/{source_table.digest(source)[:12]}.parquet"
    table = pa.Table.from_pandas(bad, preserve_index=False).replace_schema_metadata(None)
    # The rules may have changed since the file was written.
    if not storage.exists(where) or not storage.read_table(where).equals(table):
        storage.write_table(table, where)
    return where


def _merge_dates(folder: str, case: UseCase, timestamp: str, rows: pa.Table) -> tuple[tuple[str, ...], int]:
    written, added = [], 0
    for date, part in partitions.by_date(rows, timestamp):
        changed, gained = partitions.merge(folder, date, part, case.data.key)
        written += [date] if changed else []
        added += gained
    return tuple(written), added
