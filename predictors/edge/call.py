"""One request over HTTP, and what is known of it on its way to its answer."""

import time

from predictors.edge.body import Headers, Held


class Call:
    """A request. `id` is the header's until the body says another; `counted` is whether the metrics know of it, or need
    not. Whoever has it read a body lets go of it."""

    __slots__ = ("_held", "_size", "body", "counted", "headers", "id", "started")

    def __init__(self, headers: Headers, held: Held) -> None:
        self.started = time.perf_counter()
        self.headers = dict(headers)
        given = self.headers.get(b"x-request-id")
        self.id = given.decode("latin-1") if given else ""
        self.body = b""
        self.counted = False
        self._held, self._size = held, 0

    def hold(self, size: int) -> None:
        """Have so many bytes more of a body. Raises OverloadedError."""
        self._held.take(size)
        self._size += size

    def let_go(self) -> None:
        """Have none of them any more."""
        if self._size:
            self._held.give_back(self._size)
            self._size = 0

    @property
    def trace(self) -> dict[str, str] | None:
        """The headers that carry a trace, None where none does."""
        if b"traceparent" not in self.headers:
            return None
        names = (b"traceparent", b"tracestate")
        return {name.decode(): self.headers[name].decode("latin-1") for name in names if name in self.headers}
