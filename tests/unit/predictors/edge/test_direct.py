"""Answers that pass uvicorn's ASGI messages by are, byte for byte, those that go through them."""

import asyncio
import gc
import logging
import re
import socket
import struct
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest
import uvicorn

from predictors.edge.connection import REQUEST_SECONDS
from predictors.edge.direct import Answer, DirectConnection, Handler
from predictors.edge.server import HttpServer, listen

BODY = b'{"n": 1}'
TARGET = "/predict"
Talk = Callable[[HttpServer, asyncio.StreamReader, asyncio.StreamWriter], Any]


def answer_to(given: Iterable[tuple[bytes, bytes]], body: bytes) -> Answer:
    """What both ways answer, with the number of headers; a body of "gone" asks for the end of the connection."""
    count = len(list(given))
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body)), (b"x-headers", b"%d" % count)]
    return 200, [*headers, (b"connection", b"close")] if body == b"gone" else headers, body


async def by_messages(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    status, headers, body = answer_to(scope["headers"], body)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Direct:
    """A handler that counts the requests which come to it."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, headers: Any, body: bytes) -> Answer:
        self.count += 1
        await asyncio.sleep(0.001)
        return answer_to(headers, body)


def served(talk: Talk, handler: Handler | None) -> Any:
    """What comes of talking to a server; without a handler it answers by messages alone."""

    async def exchange() -> Any:
        listener: socket.socket = listen("127.0.0.1", 0)
        handlers = {TARGET.encode(): handler} if handler else {}
        connection: Any = partial(DirectConnection, handlers=handlers)
        config = uvicorn.Config(by_messages, log_config=None, lifespan="off", ws="none", http=connection)
        server = HttpServer(config, listener)
        serving = asyncio.create_task(server.run_until_told())
        while not server.started:
            await asyncio.sleep(0.001)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            return await talk(server, reader, writer)
        finally:
            writer.close()
            server.should_exit = True
            await asyncio.wait_for(serving, 5)

    with asyncio.Runner(loop_factory=uvicorn.Config(by_messages, log_config=None).get_loop_factory()) as runner:
        return runner.run(exchange())


def said(handler: Handler | None, sent: Iterable[bytes], *, goodbye: bool = False) -> bytes:
    """What a server says to what comes on a connection piece by piece, without its dates."""

    async def talk(server: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        if goodbye:
            server.say_goodbye()
        for piece in sent:
            writer.write(piece)
            await asyncio.sleep(0.02)
        return await heard(reader)

    return re.sub(rb"date: [^\r]+", b"date: then", served(talk, handler))


async def heard(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends, or nothing comes any more."""
    received = b""
    try:
        while part := await asyncio.wait_for(reader.read(65536), 1 if not received else 0.1):
            received += part
    except TimeoutError:
        return received + b"<kept>"
    return received


def request(version: str = "1.1", *more: str, body: bytes = BODY, target: str = TARGET) -> bytes:
    head = [f"POST {target} HTTP/{version}", "host: here", *more]
    if "transfer-encoding: chunked" not in more:
        head.append(f"content-length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


CHUNKS = request("1.1", "transfer-encoding: chunked", body=b'2\r\n{"\r\n6\r\nn": 1}\r\n0\r\n\r\n')
HEAD, PLAIN = len(request(body=b"")), request()


@pytest.mark.parametrize("goodbye", [False, True], ids=["serving", "stopping"])
@pytest.mark.parametrize(
    ("sent", "direct"),
    [
        ([PLAIN], 1),
        ([PLAIN, PLAIN], 2),
        ([PLAIN[:HEAD], PLAIN[HEAD:]], 1),
        ([PLAIN[:9], PLAIN[9:HEAD], PLAIN[HEAD:]], 1),
        ([CHUNKS], 1),
        ([request(body=b"")], 1),
        ([request(body=b"gone")], 1),
        ([PLAIN[:-1], PLAIN[-1:]], 0),
        ([PLAIN + PLAIN], 1),
        ([PLAIN + PLAIN[:-1], PLAIN[-1:]], 1),
        ([PLAIN[:-1], PLAIN[-1:] + PLAIN], 0),
        ([request("1.0")], 0),
        ([request("1.1", "connection: close")], 0),
        ([request("1.1", "expect: 100-continue")], 0),
        ([request(target="/other")], 0),
        ([request(target=TARGET + "?x=1")], 0),
        ([PLAIN.replace(b"POST", b"PUT", 1)], 0),
        ([PLAIN + b"\0\r\n\r\n"], 1),
        ([request("1.1", "transfer-encoding: chunked", body=b"2\r\n{}!!")], 0),
    ],
    ids=[
        "kept", "two", "head first", "parts of the head", "chunked", "empty", "ends", "parts of the body", "pipelined",
        "pipelined in parts", "pipelined after parts", "1.0", "close", "expect", "elsewhere", "query", "method",
        "rubbish after it", "rubbish in it",
    ],
)  # fmt: skip
def test_a_direct_answer_is_the_one_that_messages_give(sent: list[bytes], direct: int, goodbye: bool) -> None:
    handler = Direct()
    assert said(handler, sent, goodbye=goodbye) == said(None, sent, goodbye=goodbye)
    assert handler.count == (min(direct, 1) if goodbye else direct)


def test_a_body_as_long_as_no_head_may_be_comes_after_its_head_and_before_another_request() -> None:
    large = bytes(100_000)
    sent = request(body=large)
    assert said(Direct(), [sent[: -len(large)], large, PLAIN]).count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("handler", [None, Direct()], ids=["messages", "direct"])
def test_trailers_are_no_headers(handler: Handler | None) -> None:
    """Whether they come with the head or after it."""
    sent = CHUNKS[:-2] + b"content-encoding: gzip\r\n\r\n"
    end = sent.index(b"\r\n\r\n") + 4
    assert said(handler, [sent, sent[:end], sent[end:]]).count(b"\r\nx-headers: 2\r\n") == 2


def test_time_in_which_nothing_is_read_is_not_the_callers() -> None:
    """The rest of a request may have come, while others before it wait for their answers."""
    may_end = asyncio.Event()

    async def slow(headers: Any, body: bytes) -> Answer:
        await may_end.wait()
        return answer_to(headers, body)

    async def talk(server: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(PLAIN + PLAIN + PLAIN[:9])
        await asyncio.sleep(0.02)
        (connection,) = server.server_state.connections
        for _ in range(REQUEST_SECONDS + 1):
            connection.second_passed()  # type: ignore[union-attr]
        writer.write(PLAIN[9:])
        may_end.set()
        return await heard(reader)

    assert served(talk, slow).count(b"HTTP/1.1 200 ") == 3


CLOSES = CHUNKS[:-2] + b"connection: close\r\n\r\n"


@pytest.mark.parametrize("handler", [None, Direct()], ids=["messages", "direct"])
@pytest.mark.parametrize(("sent", "then"), [(PLAIN, b"\r\n"), (CLOSES, PLAIN)], ids=["line", "after the end"])
def test_what_begins_no_request_does_not_keep_the_connection(sent: bytes, then: bytes, handler: Handler | None) -> None:
    """The parser passes over them: empty lines, and whatever follows a trailer that ends the connection."""

    async def talk(server: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(sent)
        await reader.readuntil(BODY)
        writer.write(then)
        await asyncio.sleep(0.02)
        (connection,) = server.server_state.connections
        for _ in range(REQUEST_SECONDS + 1):
            connection.second_passed()  # type: ignore[union-attr]
        return await heard(reader)

    answer = served(talk, handler)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert not answer.endswith(b"<kept>")


def test_many_requests_at_once_are_answered_in_order_and_parsed_little_by_little() -> None:
    count, longest = 3000, 0
    sent = b"".join(request(body=b"%06d" % number) for number in range(count))

    async def talk(server: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[bytes]:
        nonlocal longest
        # The last one comes in two parts.
        writer.write(sent[:-1])
        received = b""
        while received.count(b"HTTP/1.1 200 ") < count - 1:
            received += await reader.read(65536)
            longest = max([longest, *(len(each.pipeline) for each in server.server_state.connections)])  # type: ignore[union-attr]
        writer.write(sent[-1:])
        return re.findall(rb"\r\n\r\n(\d{6})", received + await heard(reader))

    assert served(talk, Direct()) == [b"%06d" % number for number in range(count)]
    assert 0 < longest < 300


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What uvicorn logs as an error, whether another test had it set up logging or not."""
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


async def broken(_headers: Any, _body: bytes) -> Answer:
    raise ZeroDivisionError("a secret")


def test_a_handler_that_fails_is_told_as_a_fault_and_ends_the_connection(logged: pytest.LogCaptureFixture) -> None:
    answer = said(broken, [PLAIN])
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b'{"error":"the request was not answered"}')
    assert "a secret" in logged.text


@pytest.mark.parametrize("begun", [HEAD, len(PLAIN)], ids=["head", "whole"])
def test_what_has_begun_when_the_server_ends_is_answered(begun: int) -> None:
    async def slow(headers: Any, body: bytes) -> Answer:
        await asyncio.sleep(0.6)
        return answer_to(headers, body)

    async def talk(server: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(PLAIN[:begun])
        await asyncio.sleep(0.02)
        server.should_exit = True
        await asyncio.sleep(0.5)
        writer.write(PLAIN[begun:])
        return await heard(reader)

    answer = served(talk, slow)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(BODY)
    assert b"connection: close\r\n" in answer


def test_a_caller_that_goes_away_leaves_nothing_behind(logged: pytest.LogCaptureFixture) -> None:
    ended = []

    async def slow(headers: Any, body: bytes) -> Answer:
        await asyncio.sleep(0.05)
        ended.append(body)
        return answer_to(headers, body)

    async def talk(server: HttpServer, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, int]:
        writer.write(PLAIN)
        await asyncio.sleep(0.02)
        writer.transport.abort()
        await asyncio.sleep(0.1)
        return len(server.server_state.connections), len(server.server_state.tasks)

    assert served(talk, slow) == (0, 0)
    assert ended == [BODY]
    assert not [record for record in logged.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_has_ended_is_freed_at_once(reset: bool) -> None:
    """Neither when a timer runs out that nobody needs, nor when Python next looks for what refers to itself."""
    gone = []

    async def talk(server: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(PLAIN)
        await reader.readuntil(BODY)
        (connection,) = server.server_state.connections
        gone.append(weakref.ref(connection))
        del connection
        if reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()
        while server.server_state.connections:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        assert gone[0]() is None

    gc.disable()
    try:
        served(talk, Direct())
    finally:
        gc.enable()


def test_a_task_that_is_cancelled_before_it_begins_calls_no_handler() -> None:
    handler = Direct()

    async def talk(server: HttpServer, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(PLAIN)
        tasks = server.server_state.tasks
        while not tasks:
            await asyncio.sleep(0)
        (task,) = tasks
        task.cancel()
        await asyncio.wait([task])
        tasks.clear()

    with warnings.catch_warnings(record=True) as told:
        served(talk, handler)
        gc.collect()
    assert handler.count == 0
    assert [str(each.message) for each in told] == []
