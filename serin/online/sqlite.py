"""The online store in a SQLite file, beside the tables that Feast keeps there for its views.

Rows of a view lie in Feast's own table of the view, a line a feature. Event logs have tables of their own: what each
log holds, the tails (a log is published by writing its next generation of tails and pointing at it) and what was
pushed. The file is in WAL mode: readers and the one writer don't wait for each other, and a read sees one state.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from serin.errors import UnavailableError
from serin.online import codec
from serin.online.config import SqliteConfig
from serin.online.plan import LogPlan, TablePlan
from serin.online.rows import Batch, batches, distinct, encoded, parted
from serin.online.store import EntityEvents, Found, LogMeta, PushedEvent, Row

_EVENT, _LABEL = 0, 1
_BUSY = 60.0  # seconds that a writer waits for another
_READ_BUSY = 5.0
_CACHE = 65_536  # KiB, at most
_JOURNAL = 1 << 24  # bytes
_ROWS = 5_000  # encoded at a time
_TAILS = 1_000  # written in one transaction
_KEYS = 1_000  # asked for in one query

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS serin_logs (
        name TEXT PRIMARY KEY, generation INTEGER, start INTEGER, stop INTEGER, schema TEXT, pushed INTEGER
    )""",
    "CREATE TABLE IF NOT EXISTS serin_generations (id INTEGER PRIMARY KEY AUTOINCREMENT, log TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS serin_tails (
        generation INTEGER NOT NULL, entity BLOB NOT NULL, tail BLOB NOT NULL, PRIMARY KEY (generation, entity)
    )""",
    """CREATE TABLE IF NOT EXISTS serin_pushed (
        log TEXT NOT NULL, entity BLOB NOT NULL, kind INTEGER NOT NULL, id BLOB NOT NULL, row BLOB NOT NULL,
        PRIMARY KEY (log, entity, kind, id)
    ) WITHOUT ROWID""",
)
_FEAST_TABLE = """CREATE TABLE IF NOT EXISTS {table} (
    entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT, vector_value BLOB, event_ts timestamp,
    created_ts timestamp, PRIMARY KEY(entity_key, feature_name)
)"""
_FEAST_INDEX = "CREATE INDEX IF NOT EXISTS {index} ON {table} (entity_key)"
_PUT_VALUE = """INSERT INTO {table} (entity_key, feature_name, value, event_ts) VALUES (?, ?, ?, ?)
    ON CONFLICT (entity_key, feature_name) DO UPDATE
    SET value = excluded.value, value_text = NULL, event_ts = excluded.event_ts, created_ts = NULL"""


class SqliteStore:
    """See serin.online.store.OnlineStore. Any thread may use it, and any number of processes one file."""

    def __init__(self, config: SqliteConfig) -> None:
        """Nothing is opened yet."""
        self._where, self._path = config.where, config.path
        # A read never waits for a write of its own process.
        self._reader, self._writer = _Connection(config, _READ_BUSY), _Connection(config, _BUSY)

    async def read(
        self,
        tables: Sequence[tuple[TablePlan, Sequence[Any]]],
        logs: Sequence[tuple[LogPlan, Sequence[Any]]],
    ) -> Found:
        """All rows and all views, of one state of the file. It takes the event loop: a file answers in milliseconds."""
        with self._reader.transaction("BEGIN") as connection:
            rows = [_rows(connection, table, keys) for table, keys in tables]
            found = [_log(connection, log, keys) for log, keys in logs]
        return Found(rows, [events for events, _ in found], [meta for _, meta in found])

    def write_rows(self, table: TablePlan, rows: pa.Table) -> None:
        """Write one row an entity in one transaction; a row of nulls deletes the entity's."""
        kept, gone = parted(table, rows)
        name = _feast_table(table)
        with self._write() as connection:
            connection.execute(_FEAST_TABLE.format(table=name))
            connection.execute(_FEAST_INDEX.format(index=_quoted(f"{table.project}_{table.view}_ek"), table=name))
            for batch in encoded(table, gone, _ROWS):
                delete = f"DELETE FROM {name} WHERE entity_key = ?"  # noqa: S608
                connection.executemany(delete, ((key,) for key in batch.keys.tolist()))
            for batch in encoded(table, kept, _ROWS):
                connection.executemany(_PUT_VALUE.format(table=name), _lines(batch))

    def publish(self, log: LogPlan, tails: Iterable[tuple[Any, bytes]], meta: LogMeta) -> int:
        """Write a new generation of tails, a part at a time, then point at it; the one before is deleted after."""
        with self._write() as connection:
            generation = connection.execute("INSERT INTO serin_generations (log) VALUES (?)", (log.name,)).lastrowid
        count = 0
        for batch in batches(tails, _TAILS):
            lines = [(generation, codec.entity_value(log.key_type, key), tail) for key, tail in batch]
            with self._write() as connection:
                connection.executemany("INSERT OR REPLACE INTO serin_tails VALUES (?, ?, ?)", lines)
            count += len({entity for _, entity, _ in lines})
        with self._write() as connection:
            (there,) = connection.execute(
                "SELECT count(*) FROM serin_tails WHERE generation = ?", (generation,)
            ).fetchone()
            if there != count:
                raise UnavailableError(
                    f"{self._where}: {there:,} of {count:,} tails of {log.name} are there, so they are not put in "
                    "place: another run published meanwhile"
                )
            connection.execute(
                """INSERT INTO serin_logs (name, generation, start, stop, schema) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (name) DO UPDATE SET generation = excluded.generation, start = excluded.start,
                stop = excluded.stop, schema = excluded.schema""",
                (log.name, generation, meta.start, meta.end, meta.schema),
            )
        self._clear(log, generation)
        return count

    def _clear(self, log: LogPlan, generation: int | None) -> None:
        """Delete the tails of earlier generations, also of publishes that were killed."""
        stale = "SELECT id FROM serin_generations WHERE log = ? AND id < ?"
        some = f"SELECT rowid FROM serin_tails WHERE generation IN ({stale}) LIMIT {_TAILS}"  # noqa: S608
        left = 1
        while left:
            with self._write() as connection:
                delete = f"DELETE FROM serin_tails WHERE rowid IN ({some})"  # noqa: S608
                left = connection.execute(delete, (log.name, generation)).rowcount
        with self._write() as connection:
            connection.execute("DELETE FROM serin_generations WHERE log = ? AND id < ?", (log.name, generation))

    def forget(self, log: LogPlan, known: Mapping[Any, Mapping[bytes, bytes]]) -> int:
        """Delete pushed events that are still as given."""
        return self._forget(log, known, _EVENT)

    def forget_labels(self, log: LogPlan, known: Mapping[Any, Mapping[bytes, bytes]]) -> int:
        """Delete pushed labels that are still as given."""
        return self._forget(log, known, _LABEL)

    def _forget(self, log: LogPlan, known: Mapping[Any, Mapping[bytes, bytes]], kind: int) -> int:
        with self._write() as connection:
            before = connection.total_changes
            connection.executemany(
                "DELETE FROM serin_pushed WHERE log = ? AND entity = ? AND kind = ? AND id = ? AND row = ?",
                (
                    (log.name, codec.entity_value(log.key_type, key), kind, event, row)
                    for key, events in known.items()
                    for event, row in events.items()
                ),
            )
            return connection.total_changes - before

    def pushed(self, log: LogPlan) -> Mapping[Any, EntityEvents]:
        """All that was pushed, by entity."""
        if not self._path.exists():
            return {}
        with self._reader.transaction("BEGIN") as connection:
            if not _has_logs(connection):
                return {}
            query = "SELECT entity, kind, id, row FROM serin_pushed WHERE log = ?"
            found = _by_entity(connection.execute(query, (log.name,)))
        return {
            codec.entity_of(log.key_type, entity): EntityEvents(None, events, labels)
            for entity, (events, labels) in found.items()
        }

    def push(self, log: LogPlan, events: Sequence[PushedEvent]) -> int:
        """Add events in one transaction."""
        return self._push(log, events, _EVENT)

    def push_labels(self, log: LogPlan, labels: Sequence[PushedEvent]) -> int:
        """Say the label of events, in one transaction."""
        return self._push(log, labels, _LABEL)

    def _push(self, log: LogPlan, events: Sequence[PushedEvent], kind: int) -> int:
        if not events:
            return 0
        places = [(log.name, codec.entity_value(log.key_type, each.entity), kind, each.id) for each in events]
        # A file that was taken away is told: events in a new one would be lost once it is back, and until then whoever
        # reads would find a store, and nothing in it.
        with self._write(create=False) as connection:
            before = connection.total_changes
            connection.executemany("INSERT OR IGNORE INTO serin_pushed VALUES (?, ?, ?, ?, x'')", places)
            new = connection.total_changes - before
            connection.executemany(
                "UPDATE serin_pushed SET row = ? WHERE log = ? AND entity = ? AND kind = ? AND id = ?",
                ((each.row, *place) for each, place in zip(events, places, strict=True)),
            )
            if kind == _EVENT:
                connection.execute(
                    """INSERT INTO serin_logs (name, pushed) VALUES (?, ?)
                    ON CONFLICT (name) DO UPDATE
                    SET pushed = max(coalesce(pushed, excluded.pushed), excluded.pushed)""",
                    (log.name, max(each.time for each in events)),
                )
        return new

    def meta(self, log: LogPlan) -> LogMeta | None:
        """What the log holds; None where it was never filled."""
        if not self._path.exists():
            return None
        with self._reader.transaction("BEGIN") as connection:
            return _meta(connection, log)[1] if _has_logs(connection) else None

    def close(self) -> None:
        """Close the file; it is opened again where it is needed."""
        self._reader.close()
        self._writer.close()

    @contextmanager
    def _write(self, create: bool = True) -> Iterator[sqlite3.Connection]:
        with self._writer.transaction("BEGIN IMMEDIATE", create) as connection:
            if not _has_logs(connection):
                for statement in _SCHEMA:
                    connection.execute(statement)
            yield connection


class _Connection:
    """A connection that one thread uses at a time, and that is opened anew where the file was replaced."""

    def __init__(self, config: SqliteConfig, busy: float) -> None:
        self._config, self._busy = config, busy
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, ...] = ()

    @contextmanager
    def transaction(self, begin: str, create: bool = False) -> Iterator[sqlite3.Connection]:
        with self._lock, self._told():
            connection = self._opened(create)
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        connection, self._connection, self._file = self._connection, None, ()
        if connection:
            with suppress(sqlite3.Error):
                connection.close()

    def _opened(self, create: bool) -> sqlite3.Connection:
        path = self._config.path
        if self._connection and self._file == _identity(path):
            return self._connection
        self._let_go()
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.exists():
            raise FileNotFoundError(
                f"there is no file {path}; `serin train` and `serin refresh` make it, in the workspace that they run in"
            )
        connection = sqlite3.connect(path, timeout=self._busy, isolation_level=None, check_same_thread=False)
        self._to_wal(connection)
        # An integer's key has its lowest byte first, so that rows in order fall all over the table.
        connection.execute(f"PRAGMA cache_size={-_CACHE}")
        # What a large transaction wrote ahead does not stay on the disk beside the file.
        connection.execute(f"PRAGMA journal_size_limit={_JOURNAL}")
        self._connection, self._file = connection, _identity(path)
        return connection

    def _to_wal(self, connection: sqlite3.Connection) -> None:
        """The first to come changes the file's mode, for which SQLite waits for nobody."""
        deadline = time.monotonic() + self._busy
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    connection.close()
                    raise
                time.sleep(0.01)
            else:
                return

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(f"{self._config.where} does not answer: {type(error).__name__}: {error}") from None


def _identity(path: Path) -> tuple[int, ...]:
    """What a path leads to, in this process: a connection is of no use in a child."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return os.getpid(), found.st_dev, found.st_ino


def _lines(batch: Batch) -> Iterator[tuple[bytes, str, bytes, int]]:
    """The lines of Feast's table, all of an entity together, in the order of its primary key."""
    names = sorted(batch.values)
    seconds = map(_as_feast, (batch.times // 1_000_000).tolist())
    cells = zip(*(batch.values[name].tolist() for name in names), strict=True)
    for key, second, values in zip(batch.keys.tolist(), seconds, cells, strict=True):
        for name, value in zip(names, values, strict=True):
            yield key, name, value, second


def _rows(connection: sqlite3.Connection, table: TablePlan, keys: Sequence[Any]) -> list[Row | None]:
    """The rows of n entities in a view's table."""
    places = {key: codec.entity_key(table.key, table.key_type, key) for key in distinct(keys)}
    stored: dict[bytes, dict[str, bytes]] = {}
    stamps: dict[bytes, int] = {}
    for some in batches(places.values(), _KEYS):
        query = f"SELECT entity_key, feature_name, value, event_ts FROM {_feast_table(table)} WHERE entity_key IN "  # noqa: S608
        for entity, feature, value, stamp in connection.execute(f"{query} ({_marks(some)})", some):
            stored.setdefault(entity, {})[feature] = value
            stamps[entity] = stamp
    rows = {key: _row(table, stored[place], stamps[place]) for key, place in places.items() if place in stored}
    return [rows.get(key) for key in keys]


def _row(table: TablePlan, stored: Mapping[str, bytes], stamp: int) -> Row | None:
    values = tuple(codec.value_of(stored.get(name)) for name in table.features)
    return Row(values, _from_feast(stamp) * 1_000_000) if values.count(None) < len(values) else None


def _log(
    connection: sqlite3.Connection, log: LogPlan, keys: Sequence[Any]
) -> tuple[list[EntityEvents], LogMeta | None]:
    """What a log has of n entities, and what it holds."""
    if not _has_logs(connection):
        return [EntityEvents(None, {}, {}) for _ in keys], None
    generation, meta = _meta(connection, log)
    places = {key: codec.entity_value(log.key_type, key) for key in distinct(keys)}
    tails: dict[bytes, bytes] = {}
    pushed: dict[bytes, tuple[dict[bytes, bytes], dict[bytes, bytes]]] = {}
    for some in batches(places.values(), _KEYS):
        query = f"SELECT entity, tail FROM serin_tails WHERE generation = ? AND entity IN ({_marks(some)})"  # noqa: S608
        tails.update(connection.execute(query, (generation, *some)))
        query = f"SELECT entity, kind, id, row FROM serin_pushed WHERE log = ? AND entity IN ({_marks(some)})"  # noqa: S608
        pushed |= _by_entity(connection.execute(query, (log.name, *some)))
    found = {key: EntityEvents(tails.get(place), *pushed.get(place, ({}, {}))) for key, place in places.items()}
    return [found.get(key) or EntityEvents(None, {}, {}) for key in keys], meta


def _by_entity(
    lines: Iterable[tuple[bytes, int, bytes, bytes]],
) -> dict[bytes, tuple[dict[bytes, bytes], dict[bytes, bytes]]]:
    """Pushed events and labels of each entity."""
    found: dict[bytes, tuple[dict[bytes, bytes], dict[bytes, bytes]]] = {}
    for entity, kind, event, row in lines:
        found.setdefault(entity, ({}, {}))[kind][event] = row
    return found


def _meta(connection: sqlite3.Connection, log: LogPlan) -> tuple[int | None, LogMeta | None]:
    """The generation of tails that counts, and what it holds."""
    query = "SELECT generation, start, stop, schema, pushed FROM serin_logs WHERE name = ?"
    generation, *facts = connection.execute(query, (log.name,)).fetchone() or (None,)
    return generation, None if generation is None else LogMeta(*facts)


def _has_logs(connection: sqlite3.Connection) -> bool:
    """Whether the file has the tables of event logs; one that Feast alone has filled does not."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'serin_pushed'").fetchone() is not None


def _feast_table(table: TablePlan) -> str:
    return _quoted(f"{table.project}_{table.view}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _marks(items: Sequence[Any]) -> str:
    return ", ".join("?" * len(items))


def _as_feast(seconds: int) -> int:
    """A time (seconds since 1970) as Feast writes it: as if the clock's UTC were the machine's own time zone."""
    return int(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).timestamp())


def _from_feast(stamp: int) -> int:
    return int(datetime.fromtimestamp(stamp).replace(tzinfo=UTC).timestamp())
