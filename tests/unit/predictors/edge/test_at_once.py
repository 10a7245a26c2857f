"""Answers that pass uvicorn's ASGI messages by are, byte for byte, those that go through them."""

import asyncio
import re
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvicorn

from predictors.edge.at_once import Answers, body_of
from predictors.edge.server import HttpServer, listen

App = Callable[..., Coroutine[Any, Any, None]]
BODY = b'{"n": 1}'


def headers_of(body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"x-request-id", b"r")]


def at_once(shortcuts: list[bool]) -> App:
    answers = Answers()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        body = body_of(receive)
        shortcuts.append(body is not None)
        if body is None:
            body = (await receive())["body"]
        shortcuts.append(answers.given(send, headers_of(body), body))

    return app


async def by_messages(_scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": headers_of(body)})
    await send({"type": "http.response.body", "body": body})


def said(app: App, sent: bytes, *, goodbye: bool = False) -> bytes:
    """What a server says to the bytes of a connection that the caller then closes for writing, without its dates."""

    async def exchange() -> bytes:
        listener: socket.socket = listen("127.0.0.1", 0)
        server = HttpServer(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"), listener)
        serving = asyncio.create_task(server.run_until_told())
        while not server.started:
            await asyncio.sleep(0.01)
        if goodbye:
            server.say_goodbye()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        received = b""
        try:
            while part := await asyncio.wait_for(reader.read(65536), 0.5):
                received += part
        except TimeoutError:
            received += b"<kept>"
        writer.close()
        server.should_exit = True
        await serving
        return received

    return re.sub(rb"date: [^\r]+", b"date: then", asyncio.run(exchange()))


def request(version: str = "1.1", *more: str) -> bytes:
    head = [f"POST / HTTP/{version}", "host: here", f"content-length: {len(BODY)}", *more]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + BODY


@pytest.mark.parametrize("goodbye", [False, True], ids=["serving", "stopping"])
@pytest.mark.parametrize(
    "sent",
    [request(), request() + request(), request("1.0"), request("1.1", "connection: close")],
    ids=["kept", "pipelined", "1.0", "close"],
)
def test_an_answer_at_once_is_the_one_that_messages_give(sent: bytes, goodbye: bool) -> None:
    shortcuts: list[bool] = []
    assert said(at_once(shortcuts), sent, goodbye=goodbye) == said(by_messages, sent, goodbye=goodbye)
    assert shortcuts
    assert all(shortcuts)


def test_caller_who_waits_for_100_continue_is_asked_for_the_body() -> None:
    shortcuts: list[bool] = []
    answer = said(at_once(shortcuts), request("1.1", "expect: 100-continue"))
    assert answer == said(by_messages, request("1.1", "expect: 100-continue"))
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert shortcuts == [False, True]
