"""From the spool to the store: each file becomes Parquet by date of the event, and only then leaves the spool."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable

from pyarrow.fs import FileSystem

from predictors.log import columns, frames
from predictors.log.drops import Drops, Trouble
from predictors.log.spool import Spool, SpoolFile
from serin import partitions
from serin.errors import DataError, SerinError, UnavailableError
from serin.storage import impatient, write_table

_ADOPT_SECONDS = 60.0
_LOOK_SECONDS = 0.1
# Not the last place: what holds the interpreter must not have to wait for whatever else the machine does.
_NICE = 5
logger = logging.getLogger(__name__)


class Uploader:
    """Empties a spool into `folder`, a path or an s3:// URI.

    A file's Parquet names are its own (`<deployment>-<run>-<number>.parquet`), so what was interrupted between the
    store and the spool is repeated onto itself, by whichever process.
    """

    def __init__(
        self, spool: Spool, folder: str, drops: Drops, on_failure: Callable[[], None], retry_seconds: float
    ) -> None:
        """`retry_seconds` pass at most between two attempts while the store is away."""
        self._spool = spool
        self._folder = folder
        self._system: FileSystem | None = None
        self._drops = drops
        self._on_failure = on_failure
        self._retry_seconds = retry_seconds
        self._trouble = Trouble()
        self._draining = threading.Lock()
        self._wake = threading.Event()
        self._end: float | None = None
        self._hurried = False
        self._thread = threading.Thread(target=self._run, name="prediction-log-upload", daemon=True)

    def start(self) -> None:
        """Upload in a thread: what is there, what `wake` announces, and what processes that are gone have left."""
        self._thread.start()

    def wake(self) -> None:
        """There is a new file."""
        self._wake.set()

    def finish(self, seconds: float) -> None:
        """Upload what is left, for at most so many seconds, or until `hurry` is called."""
        self._end = time.monotonic() + seconds
        self._wake.set()
        if not self._thread.is_alive():
            self._attempt()
        while self._thread.is_alive() and time.monotonic() < self._end and not self._hurried:
            self._thread.join(_LOOK_SECONDS)

    def hurry(self) -> None:
        """Have `finish` wait no longer; no lock is taken, so that a signal's handler may call this."""
        self._hurried = True

    def drain(self) -> None:
        """Upload all files, oldest first. Raises UnavailableError at the first that the store does not take."""
        with self._draining:
            for file in self._spool.waiting():
                self._store(file)

    def adopt(self) -> None:
        """Take over what processes that are gone have left in the spool. Raises UnavailableError."""
        if files := self._spool.adopt():
            size = sum(file.size for file in files)
            logger.warning(
                "%d files (%d bytes) of the prediction log were left by a predictor that is gone; they are stored "
                "now",
                len(files), size,
            )  # fmt: skip

    def _run(self) -> None:
        _give_way()
        failures, look = 0, 0.0
        while self._end is None:
            if time.monotonic() >= look:
                self._adopted()
                look = time.monotonic() + _ADOPT_SECONDS
            failures = 0 if self._attempt() else failures + 1
            self._wake.wait(min(self._retry_seconds, 2.0 ** min(failures - 1, 10)) if failures else _ADOPT_SECONDS)
            self._wake.clear()
        while not self._attempt() and time.monotonic() + 0.5 < self._end:
            time.sleep(0.5)

    def _adopted(self) -> None:
        try:
            self.adopt()
        except SerinError as error:
            logger.error("what other predictors left of the prediction log can't be taken over: %s", error)

    def _attempt(self) -> bool:
        """Upload all files; says whether that worked."""
        try:
            self.drain()
        except SerinError as error:
            self._trouble.tell(
                "the prediction log can't be stored; %d bytes wait in %s: %s",
                self._spool.size, self._spool.folder, error,
            )  # fmt: skip
        except Exception:
            # Without its thread nothing would be stored until the process ends.
            logger.exception("storing the prediction log failed unexpectedly, trying again")
        else:
            self._trouble.over()
            return True
        self._on_failure()
        return False

    def _store(self, file: SpoolFile) -> None:
        try:
            found = frames.content(file.path.read_bytes())
        except FileNotFoundError:
            self._spool.done(file)
            self._drops.add(file.rows or 0, f"{file.path} is gone")
            return
        except OSError as error:
            raise UnavailableError(f"{file.path} can't be read: {error.strerror}") from None
        except DataError as error:
            aside = self._spool.set_aside(file)
            self._drops.add(file.rows or 0, f"{file.path} can't be read: {error}; its bytes are kept as {aside}")
            return
        if self._system is None:
            self._system = impatient(self._folder)
        rows = columns.completed(found.rows)
        deployment = (found.rows.schema.metadata or {})[b"deployment"].decode()
        name = f"{deployment}-{file.path.stem}.parquet"
        for date, part in partitions.by_date(rows, "event_timestamp"):
            write_table(part, partitions.location(self._folder, date, name), self._system, quick=True)
        self._spool.done(file)
        if found.lost_bytes:
            cause = f"the last {found.lost_bytes} bytes of {file.path.name} were not written whole"
            self._drops.add(found.lost_rows, cause)


def _give_way() -> None:
    """Let the process' other threads go first where all have one core: a file of a busy hour takes a tenth of a second
    to write, in which each request would wait for the scheduler's next turn. Only Linux has this for a thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
