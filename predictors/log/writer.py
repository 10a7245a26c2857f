"""The prediction log: every scored row, with the features used, in Parquet by date of the event.

<folder>/date=YYYY-MM-DD/<deployment>-<run>-<number>.parquet

On its way there a row waits in memory (a fraction of a second), then in a spool file on the local disk (seconds, or for
as long as the store is away). What is in the spool survives the process.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from predictors.identity import Identity
from predictors.log import frames
from predictors.log.columns import Columns, record_batch, size, spooled
from predictors.log.drops import Drops, Trouble
from predictors.log.limits import Limits
from predictors.log.spool import Spool
from predictors.log.upload import Uploader
from serin.errors import SerinError

_WAKE_ROWS = 10_000
_FRAME_ROWS = 20_000
_FREED = 250
_SLOW = "the local disk is too slow"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Frame:
    """What goes to the spool in one write: its rows, and when the oldest of them came (seconds, monotonic)."""

    data: bytes
    rows: int
    since: float


class PredictionLog:
    """Takes rows from the event loop; two threads of its own bring them to the local disk and from there to the store.

    `append` never waits for either. A SIGKILL loses at most the rows of the last second; all others are in the spool,
    from where the next predictor that uses the folder stores them, each once. A crash of the machine may take what its
    kernel had not written yet (no fsync): about half a minute. While the spool can't be written, or is full because the
    store is away, rows wait in memory, and once `Limits.rows` of them do, new ones are dropped. So are rows that the
    schema can't hold, with the others of their `append`. What is dropped is told to `on_drop` and in the process' log.
    """

    def __init__(
        self,
        folder: str,
        spool: Path,
        identity: Identity,
        columns: pa.Schema,
        on_drop: Callable[[int], None],
        on_upload_failure: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
    ) -> None:
        """`folder` is the log's place in the store, a path or an s3:// URI; `spool` a local folder, which predictors
        with the same `folder` may share; `columns` what `columns.schema` gives."""
        self.folder = folder
        self._limits = limits or Limits()
        self._schema = spooled(columns, identity)
        self._spool = Spool(spool, self._schema, self._limits.spool_bytes)
        self._drops = Drops(on_drop)
        self._trouble = Trouble()
        self._uploader = Uploader(self._spool, folder, self._drops, on_upload_failure, self._limits.retry_seconds)
        self._batches: deque[Columns] = deque()
        self._frames: deque[_Frame] = deque()
        self._rows = 0
        self._since: float | None = None
        self._cause = _SLOW
        self._lock = threading.Lock()
        self._spooling = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Start writing, and storing what processes that are gone have left. Raises UnavailableError for a spool that
        can't be written."""
        self._spool.hold()
        self._thread.start()
        self._uploader.start()

    def append(self, columns: Columns) -> None:
        """Take n rows by column: for each column of the schema but the constants (model, version, deployment) n values
        as a list, or as an array in which NaN and NaT are null; or one time or text for all n.

        `event_timestamp` is always by row. They must not be changed afterwards.
        """
        rows = size(columns)
        with self._lock:
            fits = self._rows < self._limits.rows
            if fits:
                self._batches.append(columns)
                self._rows += rows
                if self._since is None:
                    self._since = time.monotonic()
        if not fits:
            self._drops.add(rows, f"{self._limits.rows} rows wait already: {self._cause}")
        elif self._rows >= _WAKE_ROWS:
            self._wake.set()

    def lost(self, rows: int, cause: str) -> None:
        """So many rows could not even be appended."""
        self._drops.add(rows, cause)

    def rows_waiting(self) -> int:
        """How many rows are in memory alone."""
        return self._rows

    def spool_bytes(self) -> int:
        """The bytes of the spool that the store does not have yet."""
        return self._spool.size

    def oldest_seconds(self) -> float:
        """The age of the oldest row that the store does not have yet; 0 where it has all."""
        framed = [frame.since for frame in list(self._frames)]
        times = [since for since in (self._since, *framed, self._spool.since) if since is not None]
        return max(0.0, time.monotonic() - min(times)) if times else 0.0

    def flush(self) -> None:
        """Store all that waits.

        Raises UnavailableError when spool or store can't be written; the rows stay for the next time.
        """
        self._to_spool(rotate=True)
        self._uploader.drain()

    def close(self) -> None:
        """Stop the threads and store what is left, for `Limits.close_seconds` at most.

        What can't be stored by then stays in the spool, and is said; what can't even be spooled is lost and counted.
        """
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._try_to_spool(rotate=True)
        self._uploader.finish(self._limits.close_seconds)
        # A store that is back has made room in the spool.
        self._try_to_spool(rotate=True)
        if self._rows:
            self._drops.add(self._rows, self._cause)
        self._drops.tell(now=True)
        if files := self._spool.waiting():
            logger.error(
                "%d files (%d bytes) of the prediction log are not in %s and stay in %s; the next predictor that uses "
                "this spool stores them",
                len(files), self._spool.size, self.folder, self._spool.folder,
            )  # fmt: skip
        self._spool.close()

    def hurry(self) -> None:
        """Have `close` bring rows to the spool, and wait for the store no longer. A signal's handler may call this."""
        self._uploader.hurry()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._limits.seconds)
            self._wake.clear()
            self._try_to_spool()

    def _pause(self) -> None:
        """Let requests be answered between two steps: what is converted in one go, of hundreds of requests, would hold
        the interpreter for as long as fifty of them take."""
        if not self._closing:
            time.sleep(self._limits.pause_seconds)

    def _try_to_spool(self, *, rotate: bool = False) -> None:
        try:
            self._to_spool(rotate=rotate)
        except SerinError as error:
            self._trouble.tell("the prediction log can't be spooled; %d rows wait: %s", self._rows, error)
        except Exception:
            # Without its thread the log would stay silent until the process ends.
            logger.exception("the prediction log failed unexpectedly, trying again")
        self._drops.tell()

    def _to_spool(self, *, rotate: bool) -> None:
        with self._spooling:
            try:
                batches = self._convert()
                self._write()
            except SerinError as error:
                self._cause = str(error)
                raise
            finally:
                if self._rotated(rotate=rotate):
                    self._uploader.wake()
        while batches:
            # To give back the memory of all at once takes milliseconds, too.
            del batches[-_FREED:]
            self._pause()

    def _convert(self) -> list[Columns]:
        """Make frames of what waits, and give it back. Batches leave the buffer only when that worked, so that no
        failure loses them."""
        with self._lock:
            batches, since, now = list(self._batches), self._since, time.monotonic()
        if not batches or since is None:
            return []
        refused: list[tuple[int, Exception]] = []
        converted = record_batch(batches, self._schema, lambda rows, cause: refused.append((rows, cause)), self._pause)
        made = []
        for start in range(0, converted.num_rows, _FRAME_ROWS):
            part = converted.slice(start, _FRAME_ROWS)
            made.append(_Frame(frames.frame(part.serialize(), part.num_rows), part.num_rows, since))
        with self._lock:
            for _ in batches:
                self._batches.popleft()
            self._rows -= sum(rows for rows, _ in refused)
            # What came meanwhile is no older.
            self._since = now if self._batches else None
        self._frames.extend(made)
        for rows, cause in refused:
            self._drops.add(rows, cause)
        return batches

    def _write(self) -> None:
        while self._frames:
            frame = self._frames[0]
            self._spool.append(frame.data, frame.rows, frame.since)
            self._frames.popleft()
            with self._lock:
                self._rows -= frame.rows
        self._cause = _SLOW
        self._trouble.over()

    def _rotated(self, *, rotate: bool) -> bool:
        if rotate:
            return self._spool.rotate()
        due = time.monotonic() - self._limits.file_seconds
        return self._spool.rotate(size=self._limits.file_bytes, before=due)
