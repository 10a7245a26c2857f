"""The model artifact: the folder that training hands to serving.

manifest.json       everything the predictor must know, and the SHA-256 of every other file
model.*             the model, once for each engine that can serve it (see serin.engines)
reference.parquet   rows of the held-back period with their scores: what drift is measured against
background.parquet  a few rows of training that explanations are measured against
validation.parquet  the scores of the validation folds; only between the steps of a training, not in what is served

The folder of another kind of model (see predictors.template) has a manifest, too, with nothing but the hashes.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from serin.atomic import write_text
from serin.calibration import Calibration
from serin.columns import Column
from serin.errors import ArtifactError
from serin.online.plan import OnlinePlan
from serin.schema import InputSchema
from serin.use_case import DerivedFeature

MANIFEST = "manifest.json"
REFERENCE = "reference.parquet"
BACKGROUND = "background.parquet"
VALIDATION = "validation.parquet"
_BYTECODE = "__pycache__"

_M = TypeVar("_M", bound=BaseModel)


class RequestColumn(Column):
    """A column that a prediction request carries, and the values that it may hold."""

    name: str


class EventColumns(BaseModel):
    """What `POST /v1/events` takes: the columns of the use case's events, those that make an event's key, the label.

    Without a key no event can be pushed: it could not be told from another.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[RequestColumn, ...]
    key: tuple[str, ...]
    label: str


class Manifest(BaseModel):
    """What the predictor needs besides the model files themselves.

    `models` is the file of each engine that can serve the model; `engine` is the one that does unless told otherwise.
    `calibration` makes a probability of what any of the engines gives. `parameters` are the estimator's, as they were
    found. `online` says what is read for a request, `events` what can be pushed. Rows of a time before `known_until`
    (ISO 8601) were fitted on; without event times, those that `split` says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2, 3, 4] = 4
    use_case: str
    model_name: str
    estimator: str
    engine: str
    models: dict[str, str]
    feature_service: str
    entities: tuple[RequestColumn, ...]
    request: tuple[RequestColumn, ...] = ()
    calendar: tuple[str, ...] = ()
    derived: tuple[DerivedFeature, ...] = ()
    online: OnlinePlan = OnlinePlan()
    events: EventColumns | None = None
    timestamp: str | None = None
    inputs: InputSchema
    calibration: Calibration | None = None
    threshold: float
    parameters: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    known_until: str = ""
    split: str = ""
    data_snapshot: str
    as_of: str
    files: dict[str, str] = {}

    @property
    def store_features(self) -> tuple[str, ...]:
        """The inputs that the online store supplies: all but request, calendar and derived ones."""
        given = {column.name for column in self.request} | set(self.calendar)
        given |= {feature.name for feature in self.derived}
        return tuple(name for name in self.inputs.names if name not in given)

    @property
    def unplanned(self) -> tuple[str, ...]:
        """Those of them that `online` does not say how to read: some of an artifact before format 4."""
        planned = {name for table in self.online.tables for name in table.features}
        planned |= {feature.name for view in self.online.windows for feature in view.definition.features}
        return tuple(name for name in self.store_features if name not in planned)

    @property
    def event_key(self) -> tuple[RequestColumn, ...]:
        """The columns that an event is known by; none where events have no key, or no window takes them."""
        if not self.events:
            return ()
        columns = {column.name: column for column in self.events.columns}
        return tuple(columns[name] for name in self.events.key)


class FileHashes(BaseModel):
    """The manifest of a folder whose content is another kind's own: the SHA-256 of every other file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["files-1"] = "files-1"
    files: dict[str, str]


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Hash every file in `folder` and write the manifest with the hashes; the last step of making an artifact."""
    sealed = manifest.model_copy(update={"files": _hashes(folder)})
    write_text(folder / MANIFEST, sealed.model_dump_json(indent=2) + "\n")
    return sealed


def verify(folder: Path) -> Manifest:
    """Read the manifest and check every file against its hash, before anything else is read.

    Raises ArtifactError: no manifest or an unreadable one, a file missing, changed or not listed.
    """
    manifest = _read(folder, Manifest)
    _check_names(folder, manifest.files)
    for engine, file in manifest.models.items():
        if file not in manifest.files:
            raise ArtifactError(f"{folder}: engine {engine} needs {file}")
    _check_hashes(folder, manifest.files)
    return manifest


def seal_files(folder: Path) -> FileHashes:
    """Hash every file in `folder`, which holds another kind of model, and write its manifest. Bytecode that Python
    keeps there (__pycache__) is removed: it would be run in the place of what is sealed."""
    for cache in list(folder.rglob(_BYTECODE)):
        shutil.rmtree(cache)
    sealed = FileHashes(files=_hashes(folder))
    write_text(folder / MANIFEST, sealed.model_dump_json(indent=2) + "\n")
    return sealed


def verify_files(folder: Path) -> FileHashes:
    """Check every file against the hashes of `seal_files`, before anything else is read. Raises as `verify` does."""
    sealed = _read(folder, FileHashes)
    _check_names(folder, sealed.files)
    _check_hashes(folder, sealed.files)
    return sealed


def _read(folder: Path, kind: type[_M]) -> _M:
    path = folder / MANIFEST
    if not path.is_file():
        why = f"it holds no {MANIFEST}" if folder.is_dir() else "there is no such folder"
        raise ArtifactError(f"{folder} is no model artifact: {why}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        _check_whose(folder, content, kind)
        return kind.model_validate(content)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        raise ArtifactError(f"{path} can't be read: {'; '.join(found[:3])}{more}") from None
    except ValueError as error:
        raise ArtifactError(f"{path} can't be read: {error}") from None


def _check_whose(folder: Path, content: Any, kind: type[BaseModel]) -> None:
    """What is wrong with an artifact of the other sort is said at once, not field by field."""
    found = content.get("format") if isinstance(content, dict) else None
    if kind is Manifest and found == "files-1":
        raise ArtifactError(f"{folder} holds another kind of model; it is served with --kind package.module:Class")
    if kind is FileHashes and isinstance(found, int):
        raise ArtifactError(f"{folder} holds a model that Serin trained; it is served without --kind")


def _files(folder: Path) -> list[str]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST)
    return [str(path.relative_to(folder)) for path in found]


def _hashes(folder: Path) -> dict[str, str]:
    return {name: _sha256(folder / name) for name in _files(folder)}


def _check_names(folder: Path, files: Mapping[str, str]) -> None:
    present = set(_files(folder))
    if present != set(files):
        odd = sorted(present ^ set(files))
        advice = f"; remove {_BYTECODE}" if any(_BYTECODE in Path(name).parts for name in odd) else ""
        raise ArtifactError(f"{folder}: files and manifest differ on {', '.join(odd)}{advice}")


def _check_hashes(folder: Path, files: Mapping[str, str]) -> None:
    for name, expected in files.items():
        found = _sha256(folder / name)
        if found != expected:
            raise ArtifactError(
                f"{folder / name} was changed: its SHA-256 is {found[:12]}…, the manifest has {expected[:12]}…"
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
