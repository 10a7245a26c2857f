"""A real Prometheus that scrapes the predictors. Debian's build can't look for targets in Kubernetes, so that part is
played here: a thread writes the EndpointSlices' addresses into a file, as the ServiceMonitor would find them.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import yaml

from serin.atomic import write_text
from tests.cluster.api import Document
from tests.cluster.plane import Plane, running
from tests.integration.serving_world import until

URL = "http://127.0.0.1:9090"
_HTTP = 8080
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/serin/endpointslices"
# What the ServiceMonitor selects; the controller gives a slice the labels of its Service.
_PREDICTORS = {"labelSelector": "app.kubernetes.io/component=predictor"}


@contextmanager
def prometheus(plane: Plane) -> Iterator[str]:
    """Prometheus until the end of the block; gives its base URL."""
    folder = plane.folder / "prometheus"
    folder.mkdir()
    config, targets, ended = folder / "prometheus.yaml", folder / "targets.json", threading.Event()
    config.write_text(yaml.safe_dump(_config(str(targets))))
    command = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={URL.removeprefix('http://')}", "--log.level=warn",
    ]  # fmt: skip

    def discover() -> None:
        told: list[Document] | None = None
        while not ended.wait(0.2):
            found = _targets(plane)
            if found != told:
                write_text(targets, json.dumps(found))
                told = found

    thread = threading.Thread(target=discover, name="targets of Prometheus")
    with running(command, folder / "prometheus.log") as process:
        until(lambda: process.poll() is not None or _is_ready(), "Prometheus", 60)
        assert process.poll() is None, (folder / "prometheus.log").read_text()[-2000:]
        thread.start()
        try:
            yield URL
        finally:
            ended.set()
            thread.join()


def _is_ready() -> bool:
    try:
        return httpx.get(f"{URL}/-/ready").is_success
    except httpx.TransportError:
        return False


def _targets(plane: Plane) -> list[Document]:
    """One a pod of a predictor, with the labels that Prometheus' operator sees to."""
    found = []
    for piece in plane.api.request("GET", _SLICES, params=_PREDICTORS).json()["items"]:
        service = piece["metadata"]["labels"]["kubernetes.io/service-name"]
        for endpoint in piece["endpoints"] or []:
            labels = {"namespace": "serin", "service": service, "job": service, "pod": endpoint["targetRef"]["name"]}
            found.append({"targets": [f"{endpoint['addresses'][0]}:{_HTTP}"], "labels": labels})
    return found


def _config(targets: str) -> Document:
    """As of the ServiceMonitor, but for mTLS, and with shorter pauses."""
    predictors = {
        "job_name": "serviceMonitor/serin/serin-predictors/0",
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "file_sd_configs": [{"files": [targets]}],
    }
    own = {"job_name": "prometheus", "static_configs": [{"targets": [URL.removeprefix("http://")]}]}
    return {"scrape_configs": [predictors, own]}
