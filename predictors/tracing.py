"""OpenTelemetry traces, where they are configured (OTEL_* variables) and the packages are there; nothing otherwise."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Tracer(Protocol):
    """What the data plane asks of a tracer."""

    def span(
        self, name: str, headers: Mapping[str, str] | None = None, **attributes: Any
    ) -> AbstractContextManager[None]:
        """A span for the block, within the current one or the caller's (`headers`); an error in the block marks it."""


def tracer(service: str, attributes: Mapping[str, str]) -> Tracer | None:
    """The tracer that the environment configures; None where it configures none, so that callers pay nothing."""
    raise NotImplementedError
