"""What a training remembers of itself, so that it can be ended at any moment and go on from there."""

from typing import Protocol

from serin.estimators.base import Parts, Unkept


class Memory(Protocol):
    """Named pieces of work; see components.train.checkpoints."""

    @property
    def interruptions(self) -> int:
        """How often the training was ended before it was done."""

    @property
    def lost_seconds(self) -> float:
        """The work that was done and not kept."""

    @property
    def seconds(self) -> float:
        """How long all attempts took together."""

    def recall(self, name: str) -> bytes | None:
        """What was kept as `name`; None where there is nothing, or nothing that is whole."""

    def keep(self, name: str, content: bytes) -> None:
        """Keep `content` as `name`, in place of what was kept before."""

    def forget(self, name: str) -> None:
        """Let go of what was kept as `name`."""

    def due(self) -> bool:
        """Whether so much was done since something was kept that it is time to keep what there is now."""

    def stop_if_told(self) -> None:
        """Raises InterruptedStepError where the process was told to end: call it once what was done is kept."""

    def parts(self, name: str, title: str = "") -> Parts:
        """Where the fit called `name` keeps what it has so far; with a `title`, it tells how far it is."""


class Nothing:
    """A memory that keeps nothing."""

    interruptions, lost_seconds, seconds = 0, 0.0, 0.0

    def recall(self, name: str) -> None:
        """See Memory."""

    def keep(self, name: str, content: bytes) -> None:
        """See Memory."""

    def forget(self, name: str) -> None:
        """See Memory."""

    def due(self) -> bool:
        """See Memory."""
        return False

    def stop_if_told(self) -> None:
        """See Memory."""

    def parts(self, name: str, title: str = "") -> Parts:  # noqa: ARG002
        """See Memory."""
        return Unkept()
