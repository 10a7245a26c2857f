"""What `serin doctor` looks at of this machine's serving."""

from collections.abc import Iterator

from serin.adapters.local import gateway, loopback
from serin.errors import ConflictError, UnavailableError
from serin.ports import Check


def checks(port: int) -> Iterator[Check]:
    """Envoy, and the gateway's port."""
    yield _envoy()
    yield _port(port)


def _envoy() -> Check:
    try:
        return Check(True, "Envoy", gateway.executable())
    except UnavailableError as error:
        return Check(False, "Envoy", str(error))


def _port(number: int) -> Check:
    try:
        loopback.check_free(number)
    except ConflictError:
        return Check(False, f"port {number}", "in use", "fine if you serve already; else `serin serve --port`")
    return Check(True, f"port {number}", "free")
