"""The serving target of this machine: one model's documents, kept in a folder.

documents/   KIND.NAME.yaml: what should run; written here
status/      NAME.yaml: what does run; written by `controller`, which also keeps models/, logs/ and envoy/
"""

import copy
import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import yaml

from serin.adapters.local import documents, processes
from serin.adapters.local.documents import StatusFile
from serin.atomic import write_text
from serin.errors import ConflictError, NotFoundError, UnavailableError
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE, Document, Lease, Status

_KINDS: dict[str, type[documents.InferenceService] | type[documents.VirtualService]] = {
    INFERENCE_SERVICE: documents.InferenceService,
    VIRTUAL_SERVICE: documents.VirtualService,
}
# How the state folder is written in a document's file.
_STATE = "state:/"
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
                stored = self._read(path)
            except NotFoundError:
                return self._write(path, document, version=1)
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
                stored = self._read(path)
            except NotFoundError:
                raise NotFoundError(f"{_title(document)} was deleted since version {given} was read") from None
            version = stored["metadata"]["resourceVersion"]
            if given != version:
                raise ConflictError(
                    f"{_title(document)} was changed since it was read: it is at version {version}, not {given}"
                )
            return stored if document == stored else self._write(path, document, version=int(version) + 1)

    def get(self, kind: str, name: str) -> Document:
        """See ServingTarget."""
        return self._read(self._path(kind, name))

    def list(self, kind: str) -> tuple[Document, ...]:
        """See ServingTarget."""
        found = []
        for name in self.names(kind):
            # Deleted meanwhile, or broken: the controller reports it.
            with suppress(NotFoundError, UnavailableError, ConflictError):
                found.append(self.get(kind, name))
        return tuple(found)

    def names(self, kind: str) -> tuple[str, ...]:
        """The names of the documents of a kind that are there, whether or not they can be read."""
        start = f"{kind.lower()}."
        return tuple(sorted(p.stem.removeprefix(start) for p in (self.folder / "documents").glob(f"{start}*.yaml")))

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
        if found.pid and not processes.is_same(found.pid, found.identity):
            return Status(ready=False, message="its process is gone", restarts=found.restarts)
        url = f"http://127.0.0.1:{found.http_port}" if found.http_port else ""
        return Status(ready=found.ready, message=found.message, restarts=found.restarts, url=url)

    def check(self) -> str:
        """See ServingTarget."""
        holder = self._lease.holder(self.controller_lease)
        if holder is None:
            name = self.folder.name.replace("-", "_")
            raise UnavailableError(
                f"nothing serves {name} on this machine; start `serin serve {name}` in another terminal and leave it "
                "running"
            )
        return holder

    def _writing(self) -> AbstractContextManager[None]:
        return self._lease.hold(f"documents-{self.folder.name}", wait=True)

    def _checked(self, document: Mapping[str, Any]) -> Path:
        path = self._path(document["kind"], document["metadata"]["name"])
        documents.read(_KINDS[document["kind"]], document, _title(document))
        return path

    def _read(self, path: Path) -> Document:
        kind, name = _named(path)
        document = _load(path, f"there is no {kind} {name}")
        found = documents.read(_KINDS[kind], document, str(path))
        if found.metadata.name != name:
            raise UnavailableError(f"{path}: metadata.name is {found.metadata.name!r}; allowed: {name}, as the file")
        document["metadata"].setdefault("resourceVersion", found.metadata.resourceVersion)
        return _with_artifacts(document, _STATE, self._state)

    def _write(self, path: Path, document: Mapping[str, Any], version: int) -> Document:
        new = _at(document, str(version))
        # Without the absolute path of the workspace, which may be moved or copied.
        write_text(path, yaml.safe_dump(_with_artifacts(new, self._state, _STATE), sort_keys=False))
        return new

    @property
    def _state(self) -> str:
        return f"{self.folder.absolute().parents[1].as_uri()}/"

    def _path(self, kind: str, name: str) -> Path:
        if kind not in _KINDS or not _NAME.fullmatch(name):
            raise ConflictError(
                f"{kind} {name!r} can't be served here; allowed: {' and '.join(_KINDS)} with a DNS label as name"
            )
        return self.folder / "documents" / f"{kind.lower()}.{name}.yaml"


def read_status(folder: Path, name: str) -> StatusFile | None:
    """The status file of a deployment, or of the gateway; None where there is none, or only the copy of one, which
    tells of processes that serve the original.

    Raises UnavailableError: it can't be read.
    """
    path = folder / "status" / f"{name}.yaml"
    try:
        found = documents.read(StatusFile, _load(path, ""), str(path))
    except NotFoundError:
        return None
    return found if found.place == processes.place(folder) else None


def write_status(folder: Path, name: str, status: Mapping[str, Any]) -> None:
    """Write the status file of a deployment, or of the gateway, with the keys of StatusFile."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {**status, "place": processes.place(folder)}
    write_text(folder / "status" / f"{name}.yaml", yaml.safe_dump(told, sort_keys=False))


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


def _with_artifacts(document: Document, start: str, instead: str) -> Document:
    """The document with another beginning of its artifact's URI, where it has that one."""
    if document["kind"] != INFERENCE_SERVICE or not _uri(document).startswith(start):
        return document
    changed = copy.deepcopy(document)
    changed["spec"]["predictor"]["model"]["storageUri"] = instead + _uri(document).removeprefix(start)
    return changed


def _uri(document: Document) -> str:
    return str(document["spec"]["predictor"]["model"]["storageUri"])


def _named(path: Path) -> tuple[str, str]:
    """Kind and name of a document, from its file's name."""
    lower, _, name = path.stem.partition(".")
    return next(kind for kind in _KINDS if kind.lower() == lower), name


def _load(path: Path, absent: str) -> Document:
    """The YAML of a file. Raises NotFoundError with the text `absent`; UnavailableError: it can't be read."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFoundError(absent) from None
    except yaml.YAMLError as error:
        raise UnavailableError(f"{path} is no valid YAML: {error}") from None
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{path} can't be read: {error}") from None
    if not isinstance(document, dict):
        raise UnavailableError(f"{path} holds no document: found {type(document).__name__}, allowed: a mapping")
    return document
