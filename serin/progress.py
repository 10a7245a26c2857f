"""How a step tells how far it is: lines on its standard output, in a pod's log as in front of the user.

serin: 1,200 good rows          something said
serin> started ingest           a task started; also `finished ingest 3.2` (seconds) and `failed ingest 3.2`
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_SAID, _EVENT = "serin: ", "serin> "


@dataclass(frozen=True)
class Progress:
    """Something that happened in a run: a task `started`, `said` something, `finished` or `failed`."""

    task: str
    event: str
    text: str = ""
    seconds: float = 0.0


Listener = Callable[[Progress], None]


def say(text: str) -> None:
    """One line for the person who follows the run."""
    print(_SAID + text, flush=True)


@contextmanager
def told(task: str) -> Iterator[None]:
    """Tell that `task` starts, and how it ends."""
    start, outcome = time.monotonic(), "failed"
    print(f"{_EVENT}started {task}", flush=True)
    try:
        yield
        outcome = "finished"
    finally:
        print(f"{_EVENT}{outcome} {task} {time.monotonic() - start:.1f}", flush=True)


def heard(line: str) -> Progress | None:
    """What a line of a run's output tells; None for any other line. Of what is said the task is not known."""
    if line.startswith(_SAID):
        return Progress("", "said", line.removeprefix(_SAID))
    if not line.startswith(_EVENT):
        return None
    event, _, rest = line.removeprefix(_EVENT).partition(" ")
    task, _, seconds = (rest, "", "0") if event == "started" else rest.rpartition(" ")
    return Progress(task, event, seconds=float(seconds))
