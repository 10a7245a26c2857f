"""Leases of this machine: lock files that the operating system lets go of when their holder ends."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from serin.adapters.local.processes import identity, is_same, place
from serin.errors import ConflictError
from serin.ports import unheard


class FileLease:
    """One lock file a name below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, name: str, *, wait: bool = False, waits_for: Callable[[str], None] = unheard) -> Iterator[None]:
        """See Lease."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = self.holder(name) or "another process"
                if not wait:
                    raise ConflictError(f"{name}: {holder} is at it already; let it end or stop it") from None
                waits_for(holder)
                fcntl.flock(file, fcntl.LOCK_EX)
            _sign(path, f"{os.getpid()} {identity(os.getpid())} {place(path)}")
            try:
                yield
            finally:
                _sign(path, "")

    def holder(self, name: str) -> str | None:
        """See Lease. What is written in the file counts as long as that very process lives; in a copied workspace the
        holders of the original hold nothing."""
        path = self._path(name)
        try:
            pid, known, where = path.read_text(encoding="utf-8").split(" ")
        except (FileNotFoundError, ValueError):
            return None
        held = pid.isdecimal() and where == place(path) and is_same(int(pid), known)
        return f"process {pid}" if held else None

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def _sign(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
