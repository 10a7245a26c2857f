"""The ingest step: read a source, check it, keep what is good and set aside what is not.

Everything is checked before anything is written, and everything is idempotent: a second run, or one after a kill,
writes only what is not yet there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.merge import Merged, conformed, merge_by_key, merge_rows, superseded
from components.ingest.rules import check
from serin import partitions, storage
from serin import tables as source_table
from serin.columns import TYPES, Column
from serin.errors import DataError, UnavailableError
from serin.partitions import Damaged
from serin.use_case import UseCase
from serin.workspace import Workspace


@dataclass(frozen=True)
class Ingested:
    """What an ingest did.

    `rows` are the source's good rows: `new`, `corrected` (their key was stored with other values) and `known` (stored
    as they are). `deleted` are stored rows that went without a successor: of replaced days, or of the snapshot before.
    `written` names the dates written; `replaced` the damaged files that were in their place, as they lie now. `notes`
    say what the reader of the table detected, left out and replaced. `events` are the good rows as they are stored.
    """

    rows: int
    new: int
    corrected: int
    known: int
    deleted: int
    quarantined: int
    quarantine: str | None
    written: tuple[str, ...]
    replaced: tuple[Damaged, ...]
    notes: tuple[str, ...] = ()
    events: pa.Table | None = field(default=None, repr=False, compare=False)


def ingest(
    workspace: Workspace,
    case: UseCase,
    source: str,
    as_of: datetime,
    *,
    replace_days: bool = False,
    keep_labels: bool = False,
) -> Ingested:
    """Bring the table at `source` (CSV or Parquet, path or s3:// URI) into the workspace's events.

    Rows go to the partition of their event's UTC date. One with a stored `data.key` takes that row's place, on whatever
    date it was; without a key, rows that are stored already are left out. With `replace_days`, nothing else stays of
    the days that the source covers. With `keep_labels`, a row without a label has the one that is stored, and a column
    of labels that may be null need not be there. A table without event times is a snapshot: it replaces the one before
    and has the date of `as_of`.
    Raises DataError and UnavailableError as `source_table.read` and `check` do; nothing is written then.
    """
    folder = workspace.events(case.name)
    theirs = {mine: name for name, mine in case.data.rename.items()}
    table = source_table.read(source, needed=[theirs.get(name, name) for name in case.data.columns])
    frame = _with_label(table.frame, case) if keep_labels else table.frame
    checked = check(frame, case, source, _labels(folder, case), table.bad_lines)
    rows = to_table(checked.good, case.data.columns)
    broken = {partitions.date_of(one.location): one for one in partitions.damaged(folder, case.timestamp)}
    if keep_labels:
        rows = _with_stored_labels(rows, folder, case, broken)
    if case.timestamp:
        merged = _merged(folder, case, dict(partitions.by_date(rows, case.timestamp)), rows, broken, replace_days)
        touched = set(merged.contents)
    else:
        date = as_of.astimezone(UTC).date().isoformat()
        merged = _merged_snapshot(folder, case, date, rows, broken)
        touched = set(broken)
    quarantine = set_aside(workspace, case, source, checked.bad)
    replaced = _moved_aside(workspace, case, [one for date, one in sorted(broken.items()) if date in touched])
    return Ingested(
        rows=len(rows),
        new=merged.new,
        corrected=merged.corrected,
        known=merged.known,
        deleted=merged.deleted,
        quarantined=len(checked.bad),
        quarantine=quarantine,
        written=_written(folder, case, merged.contents, rows),
        replaced=replaced,
        notes=table.notes,
        events=rows,
    )


def event_schema(case: UseCase) -> pa.Schema:
    """How the events of a use case are stored."""
    return _schema(case.data.columns)


def to_table(frame: pd.DataFrame, columns: Mapping[str, Column]) -> pa.Table:
    """Checked rows as Arrow, with a schema that depends on the declaration alone; NaN becomes null."""
    return pa.Table.from_pandas(frame, _schema(columns), preserve_index=False).replace_schema_metadata(None)


def _schema(columns: Mapping[str, Column]) -> pa.Schema:
    fields = []
    for name, column in columns.items():
        nullable_integer = column.type == "integer" and column.nullable
        fields.append(pa.field(name, pa.float64() if nullable_integer else TYPES[column.type].arrow))
    return pa.schema(fields)


def _with_label(frame: pd.DataFrame, case: UseCase) -> pd.DataFrame:
    """The frame with a column of labels, all null where it had none and they may be."""
    names = {case.label.column, *(theirs for theirs, mine in case.data.rename.items() if mine == case.label.column)}
    if names & set(frame.columns) or not case.data.columns[case.label.column].nullable:
        return frame
    return frame.assign(**{case.label.column: None})


def _with_stored_labels(rows: pa.Table, folder: str, case: UseCase, broken: Iterable[str]) -> pa.Table:
    """The rows, those without a label with the one that an event of their key has."""
    label, key = case.label.column, list(case.data.key)
    if not key or not rows[label].null_count:
        return rows
    sound = [date for date in partitions.dates(folder) if date not in broken]
    schema = pa.schema([rows.schema.field(name) for name in (*key, label)])
    stored = pa.concat_tables([schema.empty_table(), *_stored(folder, sound, sound, schema).values()])
    known = stored.filter(pc.is_valid(stored[label])).to_pandas().drop_duplicates(key)
    found = rows.select(key).to_pandas().merge(known, on=key, how="left", validate="many_to_one")[label]
    column = pc.coalesce(rows[label], pa.array(found, rows.schema.field(label).type, from_pandas=True))
    return rows.set_column(rows.schema.get_field_index(label), rows.schema.field(label), column)


def _labels(folder: str, case: UseCase) -> set[float]:
    """The labels of the events that stay beside a source; a snapshot stays beside none."""
    if not case.timestamp or not partitions.files(folder):
        return set()
    try:
        column = partitions.read(folder, [case.label.column]).table[case.label.column]
    except DataError:  # nothing there is sound
        return set()
    return {float(value) for value in pc.unique(column).to_pylist() if value is not None}


def _merged(
    folder: str,
    case: UseCase,
    incoming: Mapping[str, pa.Table],
    rows: pa.Table,
    broken: Iterable[str],
    replace_days: bool,
) -> Merged:
    key, sound = case.data.key, [date for date in partitions.dates(folder) if date not in broken]
    if not key:
        return merge_rows(_stored(folder, incoming, sound, rows.schema), incoming, replace_days=replace_days)
    of_key = pa.schema([rows.schema.field(name) for name in key])
    masks, had = superseded(_stored(folder, sound, sound, of_key), rows, key)
    # Dates that only lose a row come last: killed in between, an event is there twice, and not nowhere.
    dates = [*incoming, *sorted(masks.keys() - incoming.keys())]
    return merge_by_key(_stored(folder, dates, sound, rows.schema), incoming, masks, had, replace_days=replace_days)


def _merged_snapshot(folder: str, case: UseCase, date: str, rows: pa.Table, broken: Iterable[str]) -> Merged:
    there = [date for date in partitions.dates(folder) if date not in broken][-1:]
    before = rows.schema.empty_table()
    if there:
        before = conformed(storage.read_file(partitions.location(folder, there[0])), rows.schema)
    stored, incoming, key = {date: before}, {date: rows}, case.data.key
    if not key:
        return merge_rows(stored, incoming, replace_days=True)
    masks, had = superseded({date: before.select(list(key))}, rows, key)
    return merge_by_key(stored, incoming, masks, had, replace_days=True)


def _stored(folder: str, dates: Iterable[str], sound: Sequence[str], schema: pa.Schema) -> dict[str, pa.Table]:
    """The columns of `schema` of each date, by date; no rows where none are stored that are sound."""
    found = {}
    for date in dates:
        where = partitions.location(folder, date)
        table = storage.read_file(where, schema.names) if date in sound else schema.empty_table()
        found[date] = conformed(table, schema, where)
    return found


def _written(folder: str, case: UseCase, contents: Mapping[str, pa.Table], rows: pa.Table) -> tuple[str, ...]:
    """Write what changed. Raises UnavailableError, which says how far it came."""
    key, done = case.data.key, []
    if not case.timestamp:
        (date,) = contents
        return (date,) if partitions.write_only(folder, date, rows, key) else ()
    for number, (date, content) in enumerate(contents.items()):
        try:
            done += [date] if partitions.write(folder, date, content, key) else []
        except UnavailableError as error:
            raise UnavailableError(
                f"{error}; {number} of {len(contents)} days are in order, and the same ingest goes on from there"
            ) from None
    return tuple(done)


def stored_events(workspace: Workspace, case: UseCase, keys: pa.Table) -> dict[str, pa.Table]:
    """The sound stored events of each date that has one of the keys, by date, in the columns that are declared.

    Raises DataError where no event is stored.
    """
    folder, schema = workspace.events(case.name), event_schema(case)
    broken = {partitions.date_of(one.location) for one in partitions.damaged(folder, case.timestamp)}
    sound = [date for date in partitions.dates(folder) if date not in broken]
    if not sound:
        raise DataError(f"no sound events of {case.name} are stored; ingest their table first")
    of_key = pa.schema([schema.field(name) for name in case.data.key])
    masks, _ = superseded(_stored(folder, sound, sound, of_key), keys.select(of_key.names).cast(of_key), case.data.key)
    return _stored(folder, list(masks), sound, schema)


def write_dates(folder: str, case: UseCase, contents: Mapping[str, pa.Table]) -> None:
    """Write the events of some dates anew. Raises UnavailableError, which says how far it came."""
    for number, (date, content) in enumerate(contents.items()):
        try:
            partitions.write(folder, date, content, case.data.key)
        except UnavailableError as error:
            raise UnavailableError(
                f"{error}; {number} of {len(contents)} days are in order, and the same again goes on from there"
            ) from None


def _moved_aside(workspace: Workspace, case: UseCase, broken: Sequence[Damaged]) -> tuple[Damaged, ...]:
    """Move damaged files out of the way of those that are written in their place."""
    moved = []
    for one in broken:
        date = partitions.date_of(one.location)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}.parquet"
        to = partitions.location(f"{workspace.quarantine(case.name)}/damaged", date, name)
        storage.move(one.location, to)
        moved.append(Damaged(to, one.cause))
    return tuple(moved)


def set_aside(workspace: Workspace, case: UseCase, source: str, bad: pd.DataFrame) -> str | None:
    """Write the bad rows of a source to its quarantine file, unless that is there already."""
    if bad.empty:
        return None
    where = f"{workspace.quarantine(case.name)}/{source_table.digest(source)[:12]}.parquet"
    table = pa.Table.from_pandas(bad, preserve_index=False).replace_schema_metadata(None)
    # The rules may have changed since the file was written, and a damaged one is written anew.
    if not storage.exists(where) or not _holds(where, table):
        storage.write_table(table, where)
    return where


def _holds(where: str, table: pa.Table) -> bool:
    try:
        return bool(storage.read_file(where).equals(table))
    except DataError:
        return False
