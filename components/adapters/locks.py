"""Locks between processes that end with their holder, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serin.errors import ConflictError


@contextmanager
def held(path: Path, purpose: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path`; with `wait` until it is free.

    Raises ConflictError naming the process that holds it, where `wait` is not asked for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ConflictError(f"{purpose}: process {holder} is at it already; let it end or stop it") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def is_held(path: Path) -> bool:
    """Whether some process holds the lock file `path` just now."""
    try:
        with held(path, "looking"):
            return False
    except ConflictError:
        return True
