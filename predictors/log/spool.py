"""Files on the local disk that hold what was logged until the store has it.

    <folder>/<run>-<number>.spool      frames (see `frames`); <run> is one process, <number> counts its files
    <folder>/<run>.lock                held (flock) for as long as that process lives
    <folder>/<run>-<number>.damaged    a file without a sound schema, set aside

A write reaches the operating system before it counts, so it survives a SIGKILL of the process. It is not flushed to the
disk (no fsync): with the machine itself the last half minute or so may go, and the checksums tell what is left of it.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from predictors.log import frames
from predictors.log.locks import is_at, is_held, locked
from serin.errors import UnavailableError

_SUFFIX = ".spool"


@dataclass(frozen=True)
class SpoolFile:
    """A file that nobody writes to any more.

    `since` is when its first row was written (seconds, monotonic), or its last one if another process wrote it; `rows`
    is None then.
    """

    path: Path
    size: int
    since: float
    rows: int | None


@dataclass
class _Open:
    """The file that is written to; `since` is None as long as it has no row."""

    path: Path
    descriptor: int
    size: int
    rows: int
    since: float


class Spool:
    """The files of one process, and those that it took over from processes that are gone.

    One thread may write (`append`, `rotate`), and another empty it (`waiting`, `adopt`, `done`, `set_aside`).
    """

    def __init__(self, folder: Path, columns: pa.Schema, max_bytes: int) -> None:
        """Files begin with the schema `columns`; all of them together have at most `max_bytes`."""
        self._folder = folder
        self._header = frames.frame(columns.serialize(), 0)
        self._max_bytes = max_bytes
        self._run = uuid4().hex[:16]
        self._number = 0
        self._open: _Open | None = None
        self._waiting: list[SpoolFile] = []
        self._locks: dict[str, int] = {}
        self._guard = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self._folder

    @property
    def size(self) -> int:
        """Bytes of all files that are not done."""
        with self._guard:
            return sum(file.size for file in self._waiting) + (self._open.size if self._open else 0)

    @property
    def since(self) -> float | None:
        """When the oldest row was written (seconds, monotonic); None where none is left."""
        with self._guard:
            times = [file.since for file in self._waiting] + ([self._open.since] if self._open else [])
        return min(times, default=None)

    def hold(self) -> None:
        """Make the folder and let other processes know that this one lives. Raises UnavailableError."""
        with _named(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            held = self._locks.get(self._run)
            if held is not None and is_at(held, self._lock_path(self._run)):
                return
            while (descriptor := locked(self._lock_path(self._run))) is None:
                pass
            self._locks[self._run] = descriptor
            if held is not None:
                os.close(held)

    def append(self, frame: bytes, rows: int, now: float) -> None:
        """Write a frame of `rows` rows in full.

        Raises UnavailableError where the disk does not take it or `max_bytes` would be passed: nothing was written.
        """
        header = 0 if self._open else len(self._header)
        if self.size + header + len(frame) > self._max_bytes:
            raise UnavailableError(f"{self._folder} holds {self.size} bytes; allowed: {self._max_bytes}")
        with _named(self._folder):
            file = self._open or self._create(now)
            try:
                _write(file.descriptor, frame, file.size)
            except OSError:
                if not file.rows:
                    self._discard(file)
                elif os.fstat(file.descriptor).st_size != file.size:
                    # Behind half a frame no other would be found.
                    self.rotate()
                raise
            with self._guard:
                file.size += len(frame)
                file.rows += rows
                self._open = file

    def rotate(self, *, size: int = 0, before: float | None = None) -> bool:
        """Close the file that is written to, if it has `size` bytes, or rows from `before`; says whether it did."""
        file = self._open
        if file is None or not (file.size >= size or (before is not None and file.since <= before)):
            return False
        os.close(file.descriptor)
        with self._guard:
            self._waiting.append(SpoolFile(file.path, file.size, file.since, file.rows))
            self._open = None
        return True

    def waiting(self) -> list[SpoolFile]:
        """The files that can go to the store, oldest first."""
        with self._guard:
            return sorted(self._waiting, key=lambda file: (file.since, file.path))

    def adopt(self) -> list[SpoolFile]:
        """Take over the files of processes that are gone; gives those that are new. Raises UnavailableError."""
        found: list[SpoolFile] = []
        if not self._folder.exists():
            return found
        with _named(self._folder):
            names = [path.name for path in self._folder.iterdir() if path.suffix in (_SUFFIX, ".lock")]
            for run in sorted({_run_of(name) for name in names} - self._locks.keys()):
                if (descriptor := locked(self._lock_path(run))) is None:
                    continue
                files = [_left(path) for path in sorted(self._folder.glob(f"{run}-*{_SUFFIX}"))]
                self._locks[run] = descriptor
                with self._guard:
                    self._waiting.extend(files)
                found.extend(files)
                self._release(run)
        return found

    def done(self, file: SpoolFile) -> None:
        """Remove a file that the store has. Raises UnavailableError: it will be stored again, onto itself."""
        with _named(file.path):
            file.path.unlink(missing_ok=True)
        self._gone(file)

    def set_aside(self, file: SpoolFile) -> Path:
        """Rename a file that can't be read, so that it is looked at no more, and say how. Raises UnavailableError."""
        aside = file.path.with_suffix(".damaged")
        with _named(file.path):
            if file.path.exists():
                file.path.rename(aside)
        self._gone(file)
        return aside

    def close(self) -> None:
        """Let go of all files; the next process that starts here takes over those that are left."""
        self.rotate()
        for run in list(self._locks):
            self._release(run, closing=True)

    def _create(self, now: float) -> _Open:
        # The folder, and the lock in it, may have been removed meanwhile.
        self.hold()
        path = self._folder / f"{self._run}-{self._number:06}{_SUFFIX}"
        self._number += 1
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o644)
        file = _Open(path, descriptor, 0, 0, now)
        try:
            _write(descriptor, self._header, 0)
        except OSError:
            self._discard(file)
            raise
        file.size = len(self._header)
        return file

    def _discard(self, file: _Open) -> None:
        os.close(file.descriptor)
        file.path.unlink(missing_ok=True)

    def _gone(self, file: SpoolFile) -> None:
        with self._guard:
            self._waiting.remove(file)
        self._release(_run_of(file.path.name))

    def _release(self, run: str, *, closing: bool = False) -> None:
        """Give up the lock of a run, whose file goes too once nothing of the run is left."""
        with self._guard:
            left = any(_run_of(file.path.name) == run for file in self._waiting)
        if (left or run == self._run) and not closing:
            return
        if not left:
            with suppress(OSError):
                self._lock_path(run).unlink(missing_ok=True)
        descriptor = self._locks.pop(run, None)
        if descriptor is not None:
            os.close(descriptor)

    def _lock_path(self, run: str) -> Path:
        return self._folder / f"{run}.lock"


def left_over(folder: Path) -> list[Path]:
    """The files of a spool that belong to no process that lives, and those that were set aside."""
    found = [path for path in sorted(folder.glob(f"*{_SUFFIX}")) if not is_held(folder / f"{_run_of(path.name)}.lock")]
    return found + sorted(folder.glob("*.damaged"))


def _write(descriptor: int, data: bytes, size: int) -> None:
    """Append to a file of `size` bytes; what was written of it goes where the rest can't be."""
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _left(path: Path) -> SpoolFile:
    found = path.stat()
    age = max(0.0, time.time() - found.st_mtime)
    return SpoolFile(path, found.st_size, time.monotonic() - age, None)


def _run_of(name: str) -> str:
    return name.partition(".")[0].partition("-")[0]


@contextmanager
def _named(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"{where} can't be written: {os.strerror(error.errno or 0)}") from None
