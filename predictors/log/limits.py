"""How long and how much of the prediction log waits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How long and how much waits.

    rows: in memory, before new ones are dropped; seconds: in memory, before they are in the spool; file_seconds and
    file_bytes: in a spool file, before it goes to the store; spool_bytes: in the spool, before rows stay in memory;
    pause_seconds: between two steps of bringing rows to the spool, each of which takes a fraction of a millisecond;
    close_seconds: for the end of the process to store what is left; retry_seconds: at most between two attempts while
    the store is away.
    """

    rows: int = 100_000
    seconds: float = 0.25
    file_seconds: float = 10.0
    file_bytes: int = 8 * 1024**2
    spool_bytes: int = 1024**3
    pause_seconds: float = 0.008
    close_seconds: float = 6.0
    retry_seconds: float = 10.0
