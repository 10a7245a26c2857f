"""Locks of files (flock): held by one process for as long as it lives, whatever ends it."""

import fcntl
import os
from pathlib import Path


def locked(path: Path) -> int | None:
    """A lock file, held until it is closed; None where another process holds it or has just removed it."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if not is_at(descriptor, path):
        os.close(descriptor)
        return None
    return descriptor


def is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one that is there now: it may have been removed, and made anew."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def is_held(lock: Path) -> bool:
    """Whether a process holds the lock file."""
    if not lock.exists():
        return False
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
