"""The serving target of this machine: one model's documents, kept in a folder.

documents/   KIND.NAME.yaml: what should run; written here
status/      NAME.yaml: what does run; written by `controller`, which also keeps models/, logs/ and envoy/
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from serin.adapters.local import envoy, processes
from serin.atomic import write_text
from serin.errors import ConflictError, NotFoundError, UnavailableError
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE, Document, Lease, Status

_KINDS = (INFERENCE_SERVICE, VIRTUAL_SERVICE)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class LocalServing:
    """Documents of one model below `folder` (<state>/serving/<model name>)."""

    def __init__(self, folder: Path, lease: Lease) -> None:
        self.folder = folder
        self._lease = lease

    @property
    def controller_lease(self) -> str:
        """The lease that whoever acts on the documents holds."""
        return f"serving-{self.folder.name}"

    def create(self, document: Mapping[str, Any]) -> Document:
        """See ServingTarget. A document that this machine can't follow is refused here already."""
        path = self._checked(document)
        with self._writing():
            try:
                stored = _read(path)
            except NotFoundError:
                return _write(path, document, version=1)
        version = stored["metadata"]["resourceVersion"]
        if _at(document, version) != stored:
            raise ConflictError(f"{_title(document)} exists already, at version {version}, with other content")
        return stored

    def replace(self, document: Mapping[str, Any]) -> Document:
        """See ServingTarget."""
        path, given = self._checked(document), document["metadata"].get("resourceVersion")
        if document["kind"] == INFERENCE_SERVICE:
            raise ConflictError(f"{_title(document)} is never edited; create one of another version")
        with self._writing():
            try:
                stored = _read(path)
            except NotFoundError:
                raise NotFoundError(f"{_title(document)} was deleted since version {given} was read") from None
            version = stored["metadata"]["resourceVersion"]
            if given != version:
                raise ConflictError(
                    f"{_title(document)} was changed since it was read: it is at version {version}, not {given}"
                )
            return stored if document == stored else _write(path, document, version=int(version) + 1)

    def get(self, kind: str, name: str) -> Document:
        """See ServingTarget."""
        return _read(self._path(kind, name))

    def list(self, kind: str) -> tuple[Document, ...]:
        """See ServingTarget."""
        found = []
        for path in sorted((self.folder / "documents").glob(f"{kind.lower()}.*.yaml")):
            try:
                found.append(_read(path))
            except (NotFoundError, UnavailableError):
                continue  # Deleted meanwhile, or broken: the controller reports it.
        return tuple(found)

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
        with self._writing():
            self._path(kind, name).unlink(missing_ok=True)

    def status(self, name: str) -> Status:
        """See ServingTarget. A status file whose process is gone was left by a controller that was killed."""
        found = read_status(self.folder, name)
        if found is None:
            return Status(ready=False, message="not started; `serin serve` starts it")
        port, restarts = found.get("http_port"), found["restarts"]
        if found.get("pid") and not processes.is_same(found["pid"], found["identity"]):
            return Status(ready=False, message="its process is gone", restarts=restarts)
        url = f"http://127.0.0.1:{port}" if port else ""
        return Status(ready=found["ready"], message=found["message"], restarts=restarts, url=url)

    def check(self) -> None:
        """See ServingTarget."""
        if self._lease.holder(self.controller_lease) is None:
            name = self.folder.name.replace("-", "_")
            raise UnavailableError(
                f"nothing serves {name} on this machine; start `serin serve {name}` in another terminal and leave it "
                "running"
            )

    def _writing(self) -> Any:
        return self._lease.hold(f"documents-{self.folder.name}", wait=True)

    def _checked(self, document: Mapping[str, Any]) -> Path:
        if document["kind"] == VIRTUAL_SERVICE:
            envoy.routes(document)
        return self._path(document["kind"], document["metadata"]["name"])

    def _path(self, kind: str, name: str) -> Path:
        if kind not in _KINDS or not _NAME.fullmatch(name):
            raise ConflictError(
                f"{kind} {name!r} can't be served here; allowed: {' and '.join(_KINDS)} with a DNS label as name"
            )
        return self.folder / "documents" / f"{kind.lower()}.{name}.yaml"


def read_status(folder: Path, name: str) -> dict[str, Any] | None:
    """The status file of a deployment, or of the gateway; None where there is none."""
    try:
        return _read(folder / "status" / f"{name}.yaml")
    except NotFoundError:
        return None


def write_status(folder: Path, name: str, status: Mapping[str, Any]) -> None:
    """Write the status file of a deployment: ready, message, restarts, pid, identity, ports."""
    write_text(folder / "status" / f"{name}.yaml", yaml.safe_dump(dict(status), sort_keys=False))


def _seen(entry: "os.DirEntry[str]") -> tuple[str, int, int] | None:
    try:
        stat = entry.stat()
    except FileNotFoundError:
        return None  # Removed since the folder was listed.
    return entry.name, stat.st_ino, stat.st_mtime_ns


def _title(document: Mapping[str, Any]) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


def _at(document: Mapping[str, Any], version: str) -> Document:
    return {**document, "metadata": {**document["metadata"], "resourceVersion": version}}


def _write(path: Path, document: Mapping[str, Any], version: int) -> Document:
    new = _at(document, str(version))
    write_text(path, yaml.safe_dump(new, sort_keys=False))
    return new


def _read(path: Path) -> Document:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        kind, _, name = path.stem.partition(".")
        raise NotFoundError(f"there is no {kind} {name}") from None
    except yaml.YAMLError as error:
        raise UnavailableError(f"{path} is no valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise UnavailableError(f"{path} holds no document: found {type(document).__name__}, allowed: a mapping")
    return document
