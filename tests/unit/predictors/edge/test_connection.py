"""How long a caller's connection waits for the caller."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from predictors.edge.connection import REQUEST_SECONDS, Connection

REQUEST = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
LARGE = 64 * 1024**2  # bytes: more than the system takes for a caller
Caller = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def answering(_scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE)]})
    await send({"type": "http.response.body", "body": bytes(LARGE)})


async def not_reading(_scope: Any, _receive: Any, _send: Any) -> None:
    await asyncio.sleep(60)


def called(
    talk: Callable[[Caller, ServerState], Awaitable[None]], keep_alive: int = 5, application: Any = answering
) -> None:
    """Have a caller talk to a server whose application gives a large answer, unless told another."""

    async def run() -> None:
        config = uvicorn.Config(application, lifespan="off", log_config=None, timeout_keep_alive=keep_alive)
        config.load()
        state = ServerState()
        server = await asyncio.get_running_loop().create_server(lambda: Connection(config, state, {}), "127.0.0.1", 0)
        async with server:
            caller = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=2 * LARGE)
            try:
                await until(lambda: len(state.connections) == 1)
                await talk(caller, state)
            finally:
                caller[1].transport.abort()
            await until(lambda: not state.connections)

    with asyncio.Runner(loop_factory=uvicorn.Config(answering, log_config=None).get_loop_factory()) as runner:
        runner.run(run())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def pass_seconds(state: ServerState, seconds: int) -> None:
    for connection in list(state.connections):
        for _ in range(seconds):
            connection.second_passed()  # type: ignore[union-attr]


@pytest.mark.parametrize("begun", [b"", REQUEST[:9]])
def test_request_that_does_not_come_is_told_so(begun: bytes) -> None:
    async def talk(caller: Caller, state: ServerState) -> None:
        reader, writer = caller
        writer.write(begun)
        await asyncio.sleep(0.01)
        pass_seconds(state, REQUEST_SECONDS)
        assert len(state.connections) == 1
        pass_seconds(state, 1)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")

    called(talk)


@pytest.mark.parametrize("keep_alive", [0, 5])
def test_answer_that_is_not_taken_ends_the_connection(keep_alive: int) -> None:
    """Whether its connection was kept for another request, or is to be closed."""

    async def talk(caller: Caller, state: ServerState) -> None:
        _, writer = caller
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(REQUEST)
        await until(lambda: state.total_requests == 1)
        await asyncio.sleep(0.01)
        pass_seconds(state, REQUEST_SECONDS)
        await asyncio.sleep(0.01)
        assert len(state.connections) == 1
        pass_seconds(state, 1)
        await until(lambda: not state.connections)

    called(talk, keep_alive)


def test_answer_that_is_taken_in_parts_is_whole() -> None:
    async def talk(caller: Caller, state: ServerState) -> None:
        reader, writer = caller
        writer.write(REQUEST)
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        pass_seconds(state, REQUEST_SECONDS)
        assert len(await reader.readexactly(LARGE)) == LARGE
        pass_seconds(state, REQUEST_SECONDS)
        assert len(state.connections) == 1

    called(talk)


def test_body_that_the_application_does_not_read_stays_with_the_caller() -> None:
    async def talk(caller: Caller, state: ServerState) -> None:
        writer = caller[1]
        writer.write(b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n" % LARGE + bytes(LARGE))
        (connection,) = state.connections
        await until(lambda: connection.flow.read_paused)  # type: ignore[union-attr]
        await asyncio.sleep(0.1)
        assert len(connection.cycle.body) < 2**20  # type: ignore[union-attr]
        for task in state.tasks:
            task.cancel()

    called(talk, application=not_reading)
