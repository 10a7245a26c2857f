"""Both ports from ready to stopped: nothing is answered before the warm-up, and nothing that was accepted is lost.

Stopping has three steps. First the server is not ready any more, so that no new callers are sent here, and tells its
HTTP callers in each answer that the connection ends. When nobody has asked for a moment, or none is left, or the time
for this is up, the ports close (GOAWAY in gRPC). Then what is in flight is answered, within a bound. It stays alive
(/v2/health/live) to the end.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn

from predictors.edge.connection import Connection
from predictors.edge.grpc import GrpcServer
from predictors.signals import Signals
from serin.errors import ConflictError

DRAIN_SECONDS = 3.0  # at most, for callers to be told
QUIET_SECONDS = 0.5  # without a request: nobody is left who would ask
_TICK = 0.02
_CLOSE = (b"connection", b"close")

logger = logging.getLogger("kserve")


class HttpServer(uvicorn.Server):
    """Uvicorn on a socket of ours, that leaves signals to `Ports`."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener

    @property
    def port(self) -> int:
        """The port that is bound."""
        return int(self._listener.getsockname()[1])

    async def run_until_told(self) -> None:
        """Serve until `should_exit`."""
        await self.serve([self._listener])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    def say_goodbye(self) -> None:
        """Tell in every answer from now on that its connection ends, and end it."""
        # Uvicorn makes its default headers anew each second from those of its configuration.
        self.config.encoded_headers.append(_CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self.server_state.connections)

    @property
    def requests(self) -> int:
        """How many came so far."""
        return self.server_state.total_requests

    async def on_tick(self, counter: int) -> bool:
        """Uvicorn's, ten times a second."""
        if counter % 10 == 0:
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.second_passed()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, then give those who have just connected the time to ask, then end as uvicorn does."""
        for server in self.servers:
            server.close()
        await _until(lambda: self.connections == 0, QUIET_SECONDS / 2)
        await super().shutdown(sockets)


class Ports:
    """The HTTP and the gRPC port of one predictor."""

    def __init__(self, http: HttpServer, grpc: GrpcServer, grace: float) -> None:
        """`grace` is how long, in seconds, what is in flight may take when the server stops."""
        self._http, self._grpc, self._grace = http, grpc, grace
        self._signals = 0
        self._stopping = asyncio.Event()
        self._at_once = asyncio.Event()

    async def serve(self, ready: Callable[[bool], None], signals: Signals) -> bool:
        """Answer on both ports, say that they are `ready`, and return after a signal when all is answered.

        After a second signal it returns at once; whether it did is what it returns.
        """
        loop = asyncio.get_running_loop()
        signals.tell(lambda: loop.call_soon_threadsafe(self._told_to_stop))
        if signals.came:
            self._told_to_stop()
        await self._grpc.start()
        serving = asyncio.create_task(self._http.run_until_told())
        try:
            ready(True)
            await _first(self._stopping.wait(), serving)
            # First, or an answer that says "not ready" could keep its connection.
            self._http.say_goodbye()
            ready(False)
            await _first(self._drain(serving), self._at_once.wait())
        finally:
            serving.cancel()
            await self._grpc.stop(0)
        return self._at_once.is_set()

    def _told_to_stop(self) -> None:
        self._signals += 1
        if self._signals == 1:
            logger.info("stopping: answering what is in flight; a second signal ends at once")
            self._stopping.set()
        else:
            self._at_once.set()

    async def _drain(self, serving: "asyncio.Task[None]") -> None:
        await _until(self._nobody_asks(), DRAIN_SECONDS)
        self._http.should_exit = True
        await asyncio.gather(serving, self._grpc.stop(self._grace))

    def _nobody_asks(self) -> Callable[[], bool]:
        loop, http, grpc = asyncio.get_running_loop(), self._http, self._grpc
        seen, since = http.requests, loop.time()

        def quiet() -> bool:
            nonlocal seen, since
            if http.requests != seen:
                seen, since = http.requests, loop.time()
            silent = http.connections == 0 or loop.time() - since > QUIET_SECONDS
            return silent and grpc.quiet_seconds > QUIET_SECONDS

        return quiet


def listen(host: str, port: int) -> socket.socket:
    """An open HTTP port; `port` 0 is any that is free.

    Raises ConflictError where it can't be had; uvicorn itself would end the process without naming the way out.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConflictError(f"HTTP port {port} on {host} can't be opened: {error.strerror}") from None


async def _first(*waited: Awaitable[object]) -> None:
    """Wait for the first of them, and raise what it raised; the others go on if they are tasks, and end otherwise."""
    given = [item for item in waited if isinstance(item, asyncio.Task)]
    own = [asyncio.ensure_future(item) for item in waited if not isinstance(item, asyncio.Task)]
    try:
        done, _ = await asyncio.wait([*given, *own], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in own:
            task.cancel()
    for task in done:
        task.result()


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for the condition, at most `seconds`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition() and loop.time() < end:
        await asyncio.sleep(_TICK)
