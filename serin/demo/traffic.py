"""Live traffic: clients that send transactions to the gateway and remember every answer.

Each goes with its key: scored, it is an event for the transactions after it, and one that is sent again is the same.
A version that has too much to do says when to ask again, and its clients do.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from itertools import count

import httpx
import pandas as pd

from serin.adapters.local import loopback

_CLIENTS = 4
_TIMEOUT = 10.0
_ASKED, _MOST_SECONDS = 5, 2.0  # how often, and how long a client waits in between at most
_JSON = {"Content-Type": "application/json"}
_SENT = ["TRANSACTION_ID", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_DATETIME"]


class Traffic:
    """Clients of one model behind the gateway on 127.0.0.1:`port`."""

    def __init__(self, port: int, model: str) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/models/{model}"
        self._lock = threading.Lock()
        self._samples: list[tuple[float, str, int, float, int]] = []

    def answered(self) -> bool:
        """Whether the model is up behind the gateway; this request is not counted."""
        answer = loopback.get(self._url, _TIMEOUT)
        return answer is not None and answer.is_success

    def play(self, rows: pd.DataFrame, rate: float) -> None:
        """Send each row once, `rate` a second."""
        self._run(_bodies(rows), rate, len(rows), threading.Event())

    @contextmanager
    def around(self, rows: pd.DataFrame, rate: float) -> Iterator[None]:
        """Send the rows over and over, `rate` a second, while the block runs."""
        stop = threading.Event()
        runner = threading.Thread(target=self._run, args=(_bodies(rows), rate, None, stop), daemon=True)
        runner.start()
        try:
            yield
        finally:
            stop.set()
            runner.join()

    @property
    def samples(self) -> pd.DataFrame:
        """Every request: time (UTC), version that answered, HTTP status (0: no prediction came), latency_ms, from its
        first try to its answer, and how often it was put off before."""
        with self._lock:
            frame = pd.DataFrame(self._samples, columns=["time", "version", "status", "latency_ms", "put_off"])
        frame["time"] = pd.to_datetime(frame["time"], unit="s", utc=True)
        return frame

    def _run(self, bodies: list[bytes], rate: float, total: int | None, stop: threading.Event) -> None:
        numbers, start = count(), time.monotonic()
        turn = threading.Lock()

        def client() -> None:
            # A proxy of the environment has no business between this machine and itself.
            with httpx.Client(timeout=_TIMEOUT, headers=_JSON, trust_env=False) as connection:
                while not stop.is_set():
                    with turn:
                        number = next(numbers)
                    if total is not None and number >= total:
                        break
                    if stop.wait(max(0.0, start + number / rate - time.monotonic())):
                        break
                    self._send(connection, bodies[number % len(bodies)])

        clients = [threading.Thread(target=client, daemon=True) for _ in range(_CLIENTS)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()

    def _send(self, connection: httpx.Client, body: bytes) -> None:
        moment, before = time.time(), time.perf_counter()
        status, version, put_off = 0, "no answer", 0
        try:
            answer = connection.post(f"{self._url}:predict", content=body)
            while (seconds := _put_off(answer)) is not None and put_off + 1 < _ASKED:
                put_off += 1
                time.sleep(seconds)
                answer = connection.post(f"{self._url}:predict", content=body)
            version = f"v{answer.json()['predictions'][0]['model_version']}" if answer.is_success else "error"
            status = answer.status_code
        except (httpx.TransportError, ValueError, LookupError):
            pass
        latency = (time.perf_counter() - before) * 1000
        with self._lock:
            self._samples.append((moment, version, status, latency, put_off))


def _put_off(answer: httpx.Response) -> float | None:
    """After how many seconds to ask again; None where nobody said so."""
    after = answer.headers.get("retry-after", "")
    if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE or not after.isdecimal():
        return None
    return min(float(after), _MOST_SECONDS)


def _bodies(rows: pd.DataFrame) -> list[bytes]:
    request = rows[_SENT].assign(TX_DATETIME=rows["TX_DATETIME"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return [json.dumps({"instances": [row]}).encode() for row in request.to_dict("records")]
