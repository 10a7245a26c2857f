"""One structured line for every request that failed through no fault of its own: JSON on stderr.

A thing that does not answer fails every request until it is back: of what is unavailable each kind of error has at most
one line a second, whose `count` says how many requests it stands for.
"""

import asyncio
import json
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from predictors.identity import Identity
from serin.errors import UnavailableError

_ROOT = Path(__file__).resolve().parents[1]
_OWN = tuple(f"{_ROOT / package}/" for package in ("predictors", "serin"))
_SECONDS = 1.0


class FaultLog:
    """The faults of one deployment. `fault` is called on the event loop, or where none runs."""

    def __init__(self, identity: Identity, write: Callable[[str], Any] | None = None) -> None:
        """`write` takes a line with its end; stderr unless given."""
        self._identity = identity
        self._write = write or _to_stderr
        # By kind of error, while its second lasts: how many requests are yet untold, and what the line about them says.
        self._held: dict[str, tuple[int, dict[str, Any]]] = {}

    def fault(self, error: BaseException, request_id: str) -> None:
        """Tell of an error that is ours, of the request `request_id`."""
        kind = type(error).__name__
        if not isinstance(error, UnavailableError):
            self._tell(self._line(error, request_id), 1)
            return
        if kind in self._held:
            count, line = self._held[kind]
            self._held[kind] = (count + 1, line or self._line(error, request_id))
            return
        self._tell(self._line(error, request_id), 1)
        self._hold(kind)

    def close(self) -> None:
        """Tell of what is yet untold."""
        for kind in list(self._held):
            self._release(kind)

    def _hold(self, kind: str) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # without a loop there is nobody to tell of the rest, so each has its line
        self._held[kind] = (0, {})
        loop.call_later(_SECONDS, self._next, kind)

    def _next(self, kind: str) -> None:
        if self._release(kind):
            self._hold(kind)

    def _release(self, kind: str) -> int:
        count, line = self._held.pop(kind, (0, {}))
        if count:
            self._tell(line, count)
        return count

    def _line(self, error: BaseException, request_id: str) -> dict[str, Any]:
        identity = self._identity
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": "warning" if isinstance(error, UnavailableError) else "error",
            "request_id": request_id,
            "model": identity.model,
            "version": identity.version,
            "deployment": identity.deployment,
            "error": type(error).__name__,
            "message": str(error),
            "where": where(error),
            "traceback": "".join(traceback.format_exception(error)),
        }

    def _tell(self, line: dict[str, Any], count: int) -> None:
        # ASCII: a lone surrogate of a request must not keep the line from being written.
        self._write(json.dumps({**line, "count": count}) + "\n")


def where(error: BaseException) -> str:
    """File and line of the innermost frame in our own code, or of the innermost of all; empty where it has none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(_OWN)] or frames
    if not own:
        return ""
    path = own[-1].filename
    return f"{path.removeprefix(f'{_ROOT}/')}:{own[-1].lineno}"


def _to_stderr(line: str) -> None:
    # Whoever read it may be gone, which is no reason to give callers another answer.
    with suppress(OSError):
        sys.stderr.write(line)
        sys.stderr.flush()
