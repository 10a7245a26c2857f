"""A proxy before the API server that kills its client at every write: once before the server gets it, and once after,
before the client gets the answer. What is asked a third time goes through.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.cluster.api import SERVER
from tests.cluster.plane import Plane

_ROUTES = "/virtualservices/"


class Executioner:
    """Decides who dies, and remembers it in `killed` as (when, method, path); `kill` ends the client."""

    def __init__(self) -> None:
        self.kill: Callable[[], None] = lambda: None
        self.killed: list[tuple[str, str, str]] = []
        self._met: set[tuple[str, ...]] = set()
        self._shares = 0

    def meets(self, when: str, method: str, path: str) -> bool:
        """Whether the client dies now. Each change of traffic is a write of its own, a document else one in all."""
        if method == "GET" or "/leases" in path or "/namespaces/" not in path:
            return False
        met = (when, method, path, str(self._shares) if _ROUTES in path else "")
        if met in self._met:
            return False
        self._met.add(met)
        self.killed.append((when, method, path))
        self.kill()
        return True

    def shared(self, method: str, path: str) -> None:
        """A change of traffic was written."""
        if method == "PATCH" and _ROUTES in path:
            self._shares += 1


@contextmanager
def deadly_proxy(plane: Plane) -> Iterator[tuple[str, Executioner]]:
    """The proxy until the end of the block; gives its URL, and who decides."""
    executioner = Executioner()
    client = httpx.Client(base_url=SERVER, verify=str(plane.authority.certificate), timeout=30)

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            path = self.path.partition("?")[0]
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if executioner.meets("before", self.command, path):
                return
            kept = {
                key: self.headers[key] for key in ("Accept", "Authorization", "Content-Type") if key in self.headers
            }
            answer = client.request(self.command, self.path, content=body, headers=kept)
            if answer.is_success and executioner.meets("after", self.command, path):
                executioner.shared(self.command, path)
                return
            if answer.is_success:
                executioner.shared(self.command, path)
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        # The names are http.server's.
        do_GET = do_PATCH = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing: the tests' output is not the place."""

    with client, ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", executioner
        finally:
            server.shutdown()
            thread.join()
