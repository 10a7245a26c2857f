"""Checkpoints of a training in the object store.

    {storage}/checkpoints/{use_case}/{key}/
        attempts.json           who worked on it, from when to when
        trials.json             the trials of the search that are done; trial.json: the one that runs, fold by fold
        fold-1-1, ...           scores of a validation fold that is done, by each finalist of the search
        fit-*                   the model of a fit that runs, so far

The key is a digest of all that the model depends on (see components.train.identity), so what is found under it is this
very training's own. Each file begins with the SHA-256 of the rest, and is not used before that was checked: one that is
damaged or half-written is told and passed over, and its work is done again. Nothing is unpickled.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from serin import storage
from serin.errors import InterruptedStepError, UnavailableError
from serin.progress import say

# Of a training that nobody came back to.
KEPT = timedelta(days=7)
_BEAT = 5.0  # seconds
_TELL = 10.0  # seconds
_MARK = b"serin checkpoint 1 "
_ATTEMPTS = "attempts.json"
# How an attempt ended; a process that was killed leaves "" behind.
_INTERRUPTED, _DONE, _FAILED = "interrupted", "done", "failed"
Attempt = dict[str, str]


class Checkpoint:
    """A Memory in a folder of the object store; what was done for `interval` is kept, but for what runs in one piece.

    `told_to_end` says whether the process was (see components.train.interruption); `title` is what it tells of itself.
    """

    def __init__(
        self, folder: str, interval: timedelta, told_to_end: Callable[[], bool], title: str = "the training"
    ) -> None:
        self._title = title
        self._folder = folder
        self._interval = interval.total_seconds()
        self._told_to_end = told_to_end
        self._kept_at = time.monotonic()
        self._failed = False
        self._lock = threading.Lock()
        self._attempts: list[Attempt] = []

    @property
    def interruptions(self) -> int:
        """How often the training was ended before it was done."""
        return sum(each["ended"] in ("", _INTERRUPTED) for each in self._attempts[:-1])

    @property
    def lost_seconds(self) -> float:
        """The work of earlier attempts that was not kept, as far as their last sign of life tells."""
        return sum(_seconds(each["kept"], each["alive"]) for each in self._attempts[:-1])

    @property
    def seconds(self) -> float:
        """How long all attempts took together, up to now."""
        earlier = sum(_seconds(each["started"], each["alive"]) for each in self._attempts[:-1])
        return earlier + _seconds(self._attempts[-1]["started"], _now())

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """One attempt at the training; a sign of life is left every few seconds, to measure what a kill costs."""
        self._begin()
        over = threading.Event()
        heart = threading.Thread(target=self._beat_until, args=(over,), daemon=True)
        heart.start()
        ended = ""
        try:
            yield
            ended = _DONE
        except (InterruptedStepError, KeyboardInterrupt):
            ended = _INTERRUPTED
            raise
        except Exception:
            ended = _FAILED
            raise
        finally:
            over.set()
            heart.join()
            self._beat(ended=ended)

    def _begin(self) -> None:
        found = self.recall(_ATTEMPTS)
        earlier: list[Attempt] = json.loads(found) if found else []
        # Done once, it is begun anew: the same training, asked for again.
        self._attempts = [] if earlier and earlier[-1]["ended"] == _DONE else earlier
        now = _now()
        self._attempts.append({"started": now, "kept": now, "alive": now, "ended": ""})
        self._kept_at = time.monotonic()
        if self.interruptions:
            times = "an interruption" if self.interruptions == 1 else f"{self.interruptions} interruptions"
            say(f"{self._title}: goes on from its checkpoint, after {times}")
        self._beat()

    def recall(self, name: str) -> bytes | None:
        """See Memory."""
        where = f"{self._folder}/{name}"
        try:
            found = storage.read_bytes(where) if storage.exists(where) else None
        except UnavailableError as error:
            say(f"checkpoint passed over: {error}")
            return None
        if found is None:
            return None
        content = _opened(found)
        if content is None:
            say(f"checkpoint {where} is damaged: it is passed over, and its work is done again")
        return content

    def keep(self, name: str, content: bytes) -> None:
        """See Memory. What can't be kept is told, once, and the training goes on."""
        if self._written(name, content):
            self._kept_at = time.monotonic()
            self._beat(kept=True)

    def forget(self, name: str) -> None:
        """See Memory."""
        with suppress(UnavailableError):
            storage.remove(f"{self._folder}/{name}")

    def due(self) -> bool:
        """See Memory."""
        return self._told_to_end() or time.monotonic() - self._kept_at >= self._interval

    def stop_if_told(self) -> None:
        """See Memory."""
        if self._told_to_end():
            raise InterruptedStepError(
                f"the training was told to end; what it had is kept in {self._folder}, and it goes on from there"
            )

    def parts(self, name: str, title: str = "") -> "KeptParts":
        """See Memory."""
        return KeptParts(self, f"fit-{name}", title)

    def remove_old(self) -> None:
        """Remove what trainings of the same use case left behind that nobody came back to for a week."""
        for folder in storage.folders(self._folder.rpartition("/")[0]):
            with suppress(UnavailableError):
                life = f"{folder}/{_ATTEMPTS}"
                if storage.exists(life) and datetime.now(UTC) - storage.modified(life) > KEPT:
                    storage.remove(folder)
                    say(f"removed the checkpoint {folder}: nobody came back to it for {KEPT.days} days")

    def _beat_until(self, over: threading.Event) -> None:
        while not over.wait(_BEAT):
            self._beat()

    def _beat(self, *, kept: bool = False, ended: str = "") -> None:
        with self._lock:
            if not self._attempts:
                return
            self._attempts[-1] |= {"alive": _now(), "ended": ended} | ({"kept": _now()} if kept else {})
            self._written(_ATTEMPTS, json.dumps(self._attempts).encode())

    def _written(self, name: str, content: bytes) -> bool:
        try:
            storage.write_bytes(_MARK + _digest(content) + b"\n" + content, f"{self._folder}/{name}")
        except UnavailableError as error:
            if not self._failed:
                say(f"the checkpoint can't be kept, so an interruption will cost more: {error}")
            self._failed = True
            return False
        self._failed = False
        return True


class KeptParts:
    """The Parts of one fit in a checkpoint."""

    def __init__(self, checkpoint: Checkpoint, name: str, title: str) -> None:
        self._checkpoint = checkpoint
        self._name = name
        self._title = title
        self._told_at = time.monotonic()

    def latest(self) -> tuple[int, bytes] | None:
        """See serin.estimators.base.Parts."""
        found = self._checkpoint.recall(self._name)
        if found is None:
            return None
        units, _, model = found.partition(b"\n")
        return int(units), model

    def done(self, units: int, of: int, model: Callable[[], bytes]) -> None:
        """See serin.estimators.base.Parts."""
        if self._title and units < of and time.monotonic() - self._told_at >= _TELL:
            say(f"{self._title}: {units} of {of}")
            self._told_at = time.monotonic()
        if self._checkpoint.due():
            self._checkpoint.keep(self._name, b"%d\n" % units + model())
        self._checkpoint.stop_if_told()


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _opened(found: bytes) -> bytes | None:
    """The content of a file that is whole, else None."""
    head, _, content = found.partition(b"\n")
    return content if head == _MARK + _digest(content) else None


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _seconds(start: str, end: str) -> float:
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
