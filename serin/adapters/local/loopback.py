"""127.0.0.1: what answers there, and which ports are free."""

import socket

import httpx

from serin.errors import ConflictError


def get(url: str, timeout: float) -> httpx.Response | None:
    """The answer to a GET; None where nobody answers in time (seconds). No proxy of the environment is asked."""
    try:
        return httpx.get(url, timeout=timeout, trust_env=False)
    except httpx.HTTPError:
        return None


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that nobody listens on just now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)
    finally:
        for each in sockets:
            each.close()


def check_free(port: int) -> None:
    """Raises ConflictError: somebody listens on the port already, or it can't be had."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConflictError(
                f"port {port} on 127.0.0.1 can't be had ({error.strerror}); choose another with `--port`"
            ) from None
