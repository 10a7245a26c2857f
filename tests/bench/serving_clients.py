"""Clients of the comparison: as many requests as a server answers (wrk, gRPC), and so many a second at their times."""

import asyncio
import gc
import random
import re
import select
import socket
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONNECTIONS = 8
_METHOD = "/inference.GRPCInferenceService/ModelInfer"
# wrk sends what the files of a folder hold, whole requests, one after the other.
_LUA = """
local requests, next_one = {}, 0
function init(args)
  for number = 0, tonumber(args[2]) - 1 do
    local file = io.open(args[1] .. "/" .. number, "rb")
    requests[number] = file:read("*a")
    file:close()
  end
  count = tonumber(args[2])
end
function request()
  next_one = (next_one + 1) % count
  return requests[next_one]
end
"""


@dataclass(frozen=True)
class Load:
    """What a client saw: answered requests and the seconds that they took altogether."""

    requests: int
    seconds: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def wrk(port: int, folder: Path, seconds: int, connections: int = CONNECTIONS) -> Load:
    """As many requests as are answered, from the files of a folder. Raises AssertionError where one is refused."""
    script = folder.parent / "requests.lua"
    script.write_text(_LUA)
    line = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script)]
    line += [f"http://127.0.0.1:{port}", "--", str(folder), str(len(list(folder.iterdir())))]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    for bad in ("Non-2xx", "Socket errors"):
        assert bad not in said, said
    found = re.search(r"(\d+) requests in ([\d.]+)(m?)s", said)
    assert found, said
    return Load(int(found[1]), float(found[2]) / (1000 if found[3] else 1))


def write_requests(folder: Path, requests: Sequence[bytes]) -> Path:
    """A folder for `wrk`."""
    folder.mkdir(parents=True)
    for number, request in enumerate(requests):
        (folder / str(number)).write_bytes(request)
    return folder


def grpc(port: int, messages: Sequence[bytes], seconds: float) -> Load:
    """As many ModelInfer calls as are answered, CONNECTIONS at a time; messages are sent as they are."""
    return asyncio.run(_grpc(port, messages, seconds))


async def _grpc(port: int, messages: Sequence[bytes], seconds: float) -> Load:
    from grpc import aio

    done = 0
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary(_METHOD)
        await call(messages[0])
        start = time.perf_counter()

        async def ask(place: int) -> None:
            nonlocal done
            while time.perf_counter() - start < seconds:
                await call(messages[place % len(messages)])
                place += CONNECTIONS
                done += 1

        await asyncio.gather(*(ask(place) for place in range(CONNECTIONS)))
        return Load(done, time.perf_counter() - start)


def paced(port: int, requests: Sequence[bytes], rate: float, seconds: float, connections: int = 64) -> list[float]:
    """Seconds of each request of `rate` a second on average, at random times that no answer changes.

    A request that finds no free connection waits, and is measured from the moment that it should have been sent at:
    what a slow answer does to those behind it counts (no coordinated omission). Raises AssertionError where one is
    refused.
    """
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    for each in sockets:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    chance = random.Random(4)
    times, at = [], 0.0
    while at < seconds:
        at += chance.expovariate(rate)
        times.append(at)
    gc.disable()
    try:
        return _at_their_times(sockets, requests, times)
    finally:
        gc.enable()
        for each in sockets:
            each.close()


def _at_their_times(sockets: list[socket.socket], requests: Sequence[bytes], times: list[float]) -> list[float]:
    free, asked = deque(sockets), dict[socket.socket, float]()
    taken: list[float] = []
    texts: dict[socket.socket, bytes] = {}
    clock, number = time.perf_counter, 0
    start = clock()
    while number < len(times) or asked:
        now = clock() - start
        while number < len(times) and times[number] <= now and free:
            one = free.popleft()
            asked[one] = times[number]
            one.sendall(requests[number % len(requests)])
            number += 1
        wait = times[number] - (clock() - start) if number < len(times) and free else 1.0
        readable, _, _ = select.select(list(asked), [], [], max(0.0, wait))
        for one in readable:
            text = texts.pop(one, b"") + one.recv(1 << 16)
            if not _is_whole(text):
                texts[one] = text
                continue
            taken.append(clock() - start - asked.pop(one))
            free.append(one)
    return taken


def _is_whole(answer: bytes) -> bool:
    """Whether all of an answer of HTTP/1.1 with a Content-Length is there."""
    assert answer, "the server closed a connection"
    head, end, body = answer.partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200"[: len(answer)]), answer[:500]
    if not end:
        return False
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    assert length, head
    return len(body) >= int(length[1])
