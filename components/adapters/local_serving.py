"""The serving target of the local profile: one model's documents, kept in a folder.

documents/   KIND.NAME.yaml: what should run; written here
status/      NAME.yaml: what does run; written by `local_controller`, which also keeps models/, logs/ and envoy/
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from components.adapters import envoy, processes
from components.adapters.locks import held, is_held
from components.adapters.serving_target import INFERENCE_SERVICE, VIRTUAL_SERVICE, Document, Status
from serin.atomic import write_text
from serin.errors import ConflictError, UnavailableError

CONTROLLER_LOCK = "controller.lock"
_KINDS = (INFERENCE_SERVICE, VIRTUAL_SERVICE)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class LocalServing:
    """Documents of one model below `folder` (<state>/serving/<model name>)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def apply(self, document: Mapping[str, Any]) -> Document:
        """See ServingTarget. A VirtualService that the local gateway can't follow is refused here already."""
        kind, metadata = document["kind"], document["metadata"]
        path = self._path(kind, metadata["name"])
        if kind == VIRTUAL_SERVICE:
            envoy.routes(document)
        with held(self.folder / "documents.lock", "writing documents", wait=True):
            stored = _read(path)
            if not _must_write(document, stored):
                return stored or {}
            version = int(stored["metadata"]["resourceVersion"]) + 1 if stored else 1
            new = {**document, "metadata": {**metadata, "resourceVersion": str(version)}}
            write_text(path, yaml.safe_dump(new, sort_keys=False))
        return new

    def get(self, kind: str, name: str) -> Document | None:
        """See ServingTarget."""
        return _read(self._path(kind, name))

    def names(self, kind: str) -> tuple[str, ...]:
        """See ServingTarget."""
        prefix = f"{kind.lower()}."
        found = (self.folder / "documents").glob(f"{prefix}*.yaml")
        return tuple(sorted(path.name.removeprefix(prefix).removesuffix(".yaml") for path in found))

    def stamp(self) -> frozenset[tuple[str, int, int]]:
        """Changes whenever a document does."""
        folder = self.folder / "documents"
        if not folder.is_dir():
            return frozenset()
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if entry.name.endswith(".yaml")]
        return frozenset(seen for entry in found if (seen := _seen(entry)))

    def delete(self, kind: str, name: str) -> None:
        """See ServingTarget."""
        with held(self.folder / "documents.lock", "writing documents", wait=True):
            self._path(kind, name).unlink(missing_ok=True)

    def status(self, name: str) -> Status:
        """See ServingTarget. A status file whose process is gone was left by a controller that was killed."""
        found = read_status(self.folder, name)
        if found is None:
            return Status(ready=False, message="not started; `serin serve` starts it")
        port, restarts = found.get("http_port"), found["restarts"]
        if found.get("pid") and processes.identity(found["pid"]) != found["identity"]:
            return Status(ready=False, message="its process is gone", restarts=restarts)
        url = f"http://127.0.0.1:{port}" if port else ""
        return Status(ready=found["ready"], message=found["message"], restarts=restarts, url=url)

    def running(self) -> bool:
        """Whether a controller serves the documents just now."""
        return is_held(self.folder / CONTROLLER_LOCK)

    @contextmanager
    def exclusive(self, purpose: str) -> Iterator[None]:
        """See ServingTarget."""
        with held(self.folder / f"{purpose}.lock", f"{purpose} of {self.folder.name}"):
            yield

    def _path(self, kind: str, name: str) -> Path:
        if kind not in _KINDS or not _NAME.fullmatch(name):
            raise ConflictError(
                f"{kind} {name!r} can't be served here; allowed: {' and '.join(_KINDS)} with a DNS label as name"
            )
        return self.folder / "documents" / f"{kind.lower()}.{name}.yaml"


def read_status(folder: Path, name: str) -> dict[str, Any] | None:
    """The status file of a deployment, or of the gateway."""
    return _read(folder / "status" / f"{name}.yaml")


def write_status(folder: Path, name: str, status: Mapping[str, Any]) -> None:
    """Write the status file of a deployment: ready, message, restarts, pid, identity, ports."""
    write_text(folder / "status" / f"{name}.yaml", yaml.safe_dump(dict(status), sort_keys=False))


def _seen(entry: "os.DirEntry[str]") -> tuple[str, int, int] | None:
    try:
        stat = entry.stat()
    except FileNotFoundError:
        return None  # Removed since the folder was listed.
    return entry.name, stat.st_ino, stat.st_mtime_ns


def _read(path: Path) -> Document | None:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except yaml.YAMLError as error:
        raise UnavailableError(f"{path} is no valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise UnavailableError(f"{path} holds no document: found {type(document).__name__}, allowed: a mapping")
    return document


def _must_write(document: Mapping[str, Any], stored: Document | None) -> bool:
    kind, metadata = document["kind"], document["metadata"]
    what, given = f"{kind} {metadata['name']}", metadata.get("resourceVersion")
    if stored is None:
        if given is not None:
            raise ConflictError(f"{what} was deleted since version {given} was read")
        return True
    version = stored["metadata"]["resourceVersion"]
    if given is not None and given != version:
        raise ConflictError(f"{what} was changed since it was read: it is at version {version}, not {given}")
    if {**document, "metadata": {**metadata, "resourceVersion": version}} == stored:
        return False
    if kind == INFERENCE_SERVICE:
        raise ConflictError(f"{what} exists and is never edited; make one with another version")
    if given is None:
        raise ConflictError(f"{what} exists already, at version {version}; read it before you change it")
    return True
