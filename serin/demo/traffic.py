"""Live traffic: clients that send transactions to the gateway and remember every answer."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pandas as pd

_CLIENTS = 4
_TIMEOUT = 10.0


class Traffic:
    """Clients of one model behind the gateway on 127.0.0.1:`port`."""

    def __init__(self, port: int, model: str) -> None:
        self._port = port
        self._path = f"/v1/models/{model}:predict"
        self._lock = threading.Lock()
        self._samples: list[tuple[float, str, int, float]] = []

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
        """Every request: time (UTC), version that answered, HTTP status (0: no answer), latency_ms."""
        with self._lock:
            frame = pd.DataFrame(self._samples, columns=["time", "version", "status", "latency_ms"])
        frame["time"] = pd.to_datetime(frame["time"], unit="s", utc=True)
        return frame

    def _run(self, bodies: list[bytes], rate: float, total: int | None, stop: threading.Event) -> None:
        numbers, start = count(), time.monotonic()
        turn = threading.Lock()

        def client() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT)
            while not stop.is_set():
                with turn:
                    number = next(numbers)
                if total is not None and number >= total:
                    break
                if stop.wait(max(0.0, start + number / rate - time.monotonic())):
                    break
                self._send(connection, bodies[number % len(bodies)])
            connection.close()

        clients = [threading.Thread(target=client, daemon=True) for _ in range(_CLIENTS)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()

    def _send(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        moment, before = time.time(), time.perf_counter()
        status, version = 0, "no answer"
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            status, text = answer.status, answer.read()
            version = f"v{json.loads(text)['predictions'][0]['model_version']}" if status == 200 else "error"
        except (OSError, http.client.HTTPException):
            connection.close()
        latency = (time.perf_counter() - before) * 1000
        with self._lock:
            self._samples.append((moment, version, status, latency))


def _bodies(rows: pd.DataFrame) -> list[bytes]:
    request = rows[["CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_DATETIME"]].copy()
    request["TX_DATETIME"] = request["TX_DATETIME"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return [json.dumps({"instances": [row]}).encode() for row in request.to_dict("records")]
