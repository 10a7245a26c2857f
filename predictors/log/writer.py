"""The prediction log: every scored row, with the features used, in Parquet by date of the event.

<folder>/date=YYYY-MM-DD/<deployment>-<unique>.parquet
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any
from uuid import uuid4

import pyarrow as pa

from serin import partitions
from serin.artifact import Manifest
from serin.columns import TYPES
from serin.errors import ArtifactError, SerinError
from serin.prediction_log import COLUMNS
from serin.storage import write_table

Columns = Mapping[str, Sequence[Any]]

CAPACITY = 100_000
INTERVAL = 1.0
_WAKE_ROWS = 10_000
# A place in a request, or a number of columns: the only numbers that no user declares.
_ARROW: dict[str, pa.DataType] = {"index": pa.int32(), **{name: type_.arrow for name, type_ in TYPES.items()}}
_UNCONVERTIBLE = (ValueError, TypeError, LookupError, OverflowError, pa.ArrowException)
logger = logging.getLogger(__name__)


def schema(manifest: Manifest) -> pa.Schema:
    """The log's columns: what is fixed, the keys of entities and of the event, and each model input under its own name.

    Raises ArtifactError for an input or key whose name is one of the fixed ones.
    """
    types: dict[str, str] = {
        column.name: "text" if column.kind == "category" else "number" for column in manifest.inputs.columns
    }
    types |= {column.name: column.type for column in (*manifest.entities, *manifest.event_key)}
    taken = sorted(COLUMNS.keys() & types.keys())
    if taken:
        raise ArtifactError(f"columns {', '.join(taken)} have names that the prediction log keeps for itself")
    return pa.schema([(name, _ARROW[type_]) for name, type_ in (COLUMNS | types).items()])


class PredictionLog:
    """A bounded buffer that a thread of its own empties into Parquet files.

    `append` never waits for a disk. What was written survives a kill -9 of the process; at most the last second
    (`interval`) is lost. While the storage can't be written, rows wait in the buffer; once `capacity` rows wait,
    new ones are dropped and told to `on_drop`. So are rows that the schema can't hold, with
    the others of their `append`.
    """

    def __init__(
        self,
        folder: str,
        deployment: str,
        columns: pa.Schema,
        on_drop: Callable[[int], None],
        *,
        capacity: int = CAPACITY,
        interval: float = INTERVAL,
    ) -> None:
        self._folder = folder
        self._deployment = deployment
        self._schema = columns
        self._on_drop = on_drop
        self._capacity = capacity
        self._interval = interval
        self._batches: deque[Columns] = deque()
        self._unwritten: deque[tuple[str, pa.Table]] = deque()
        self._rows = 0
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Start writing every `interval` seconds."""
        self._thread.start()

    def append(self, columns: Columns) -> None:
        """Take rows by column, one sequence of n values for each column of the schema."""
        rows = self._size(columns)
        with self._lock:
            fits = self._rows + rows <= self._capacity
            if fits:
                self._batches.append(columns)
                self._rows += rows
        if not fits:
            self._on_drop(rows)
        elif self._rows >= _WAKE_ROWS:
            self._wake.set()

    def flush(self) -> None:
        """Write all that waits.

        Raises UnavailableError when the storage can't be written; the rows stay for the next time.
        """
        with self._flushing:
            self._convert()
            while self._unwritten:
                location, table = self._unwritten[0]
                write_table(table, location)
                self._unwritten.popleft()
                with self._lock:
                    self._rows -= table.num_rows

    def close(self) -> None:
        """Stop the thread and write what is left; rows that can't be written now are dropped and counted."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._try_flush()
        if self._rows:
            self._on_drop(self._rows)
            logger.error("%d rows of the prediction log are lost: %s can't be written", self._rows, self._folder)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._interval)
            self._wake.clear()
            self._try_flush()

    def _try_flush(self) -> None:
        try:
            self.flush()
        except SerinError as error:
            logger.error("the prediction log can't be written to %s, trying again: %s", self._folder, error)
        except Exception:
            # Without its thread the log would stay silent until the process ends.
            logger.exception("the prediction log failed unexpectedly, trying again")

    def _convert(self) -> None:
        """Make tables of what waits. Batches leave the buffer only when that worked, so that no failure loses them."""
        with self._lock:
            batches = list(self._batches)
        if not batches:
            return
        try:
            table = self._table(batches)
        except _UNCONVERTIBLE:
            table = self._table([batch for batch in batches if self._converts(batch)])
        tables = self._by_date(table)
        dropped = sum(map(self._size, batches)) - table.num_rows
        with self._lock:
            for _ in batches:
                self._batches.popleft()
            self._rows -= dropped
        self._unwritten.extend(tables)
        if dropped:
            self._on_drop(dropped)

    def _converts(self, batch: Columns) -> bool:
        try:
            self._table([batch])
        except _UNCONVERTIBLE as error:
            logger.error("%d rows of the prediction log are lost: %s", self._size(batch), error)
            return False
        return True

    def _size(self, batch: Columns) -> int:
        return len(batch[self._schema.names[0]])

    def _table(self, batches: Sequence[Columns]) -> pa.Table:
        return pa.table(
            [
                pa.array(list(chain.from_iterable(batch[field.name] for batch in batches)), field.type)
                for field in self._schema
            ],
            schema=self._schema,
        )

    def _by_date(self, table: pa.Table) -> list[tuple[str, pa.Table]]:
        # The place is fixed here, so a write whose outcome is unknown is repeated onto itself.
        return [
            (partitions.location(self._folder, date, f"{self._deployment}-{uuid4().hex}.parquet"), rows)
            for date, rows in partitions.by_date(table, "event_timestamp")
        ]
