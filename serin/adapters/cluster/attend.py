"""`serin serve` on a cluster: the controllers there act on the documents; what is left is to wait until they did."""

import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from serin.adapters.cluster.serving import KubernetesServing
from serin.errors import UnavailableError
from serin.ports import VIRTUAL_SERVICE, Document

Report = Callable[[str], None]
_PATIENCE = 600.0
_PAUSE = 2.0


def attend(
    target: KubernetesServing,
    model: str,
    gateway: str,
    weights_of: Callable[[Document], Mapping[str, int]],
    report: Report,
    patience: float = _PATIENCE,
) -> str:
    """Wait until all that gets traffic is ready; returns how it is asked. `report` gets one line a change.

    `weights_of` reads the percent of traffic of each deployment from a VirtualService.

    Raises UnavailableError: it does not get ready within `patience` seconds, or can't, with the reason.
    """
    target.check()
    document = target.get(VIRTUAL_SERVICE, model)
    for name, weight in weights_of(document).items():
        if weight:
            _await_ready(target, name, report, patience)
            report(f"{name}: ready, with {weight} % of the traffic")
    return "\n".join((f"{model} is served", *asking(document, model, gateway)))


def asking(document: Document, model: str, gateway: str) -> list[str]:
    """A request to the model as a command line, and where it goes."""
    host = document["spec"]["hosts"][0]
    path = f"/v1/models/{model}:predict"
    if not gateway:
        return [f"  {path}, host {host}, at the mesh's gateway; SERIN_GATEWAY is the URL that clients reach it by"]
    url = urlsplit(gateway)
    if url.scheme == "https":
        # The gateway tells its certificates apart by the name in the TLS handshake.
        port = url.port or 443
        target = f"--connect-to {host}:{port}:{url.hostname}:{port} https://{host}:{port}{path}"
    else:
        target = f"-H 'Host: {host}' {gateway}{path}"
    return [
        f"  {gateway}{path}, host {host}",
        f'  curl -s {target} -H "Authorization: Bearer $TOKEN" -d \'{{"instances": [...]}}\'',
    ]


def _await_ready(target: KubernetesServing, name: str, report: Report, patience: float) -> None:
    start, told = time.monotonic(), ""
    while not (status := target.status(name)).ready:
        if status.message != told:
            told = status.message
            report(f"{name}: {told}")
        if status.failed:
            raise UnavailableError(f"{name} can't get ready: {told}")
        if time.monotonic() - start > patience:
            raise UnavailableError(f"{name} is not ready after {patience:.0f} s: {told}")
        time.sleep(min(_PAUSE, patience / 10))
