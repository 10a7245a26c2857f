"""MLflow: runs, and the model registry with its aliases.

MLflow takes seconds to import, so this module imports it where it is used.
"""

import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.adapters.locks import held
from serin.artifact import MANIFEST, Manifest
from serin.atomic import replaced
from serin.errors import ConflictError, UnavailableError
from serin.workspace import Workspace

ARTIFACT_TAG = "serin.artifact"
_FOLDER = "model"


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model."""

    name: str
    version: int
    storage_uri: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]


class ModelRegistry:
    """The tracking server and model registry of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._connected: Any = None

    def register(
        self,
        folder: Path,
        manifest: Manifest,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        reports: Mapping[str, str],
    ) -> RegisteredVersion:
        """Log a run with the sealed artifact in `folder` and register it as a new version.

        An artifact that is registered already (same manifest) is not registered again: its version is
        returned, so a repeated step changes nothing. `reports` are texts by file name, kept with the run.
        """
        digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        with self._locked(manifest.model_name):
            for known in self.versions(manifest.model_name):
                if known.tags.get(ARTIFACT_TAG) == digest:
                    return known
            run = self._log_run(folder, manifest, params, tags, reports)
            if manifest.model_name not in self.models():
                self._client.create_registered_model(manifest.model_name)
            version = self._client.create_model_version(
                manifest.model_name,
                source=f"runs:/{run}/{_FOLDER}",
                run_id=run,
                tags={**tags, ARTIFACT_TAG: digest},
            )
        return self.version(manifest.model_name, int(version.version))

    def models(self) -> list[str]:
        """The names of all registered models."""
        return [model.name for model in self._client.search_registered_models()]

    def versions(self, name: str) -> list[RegisteredVersion]:
        """All versions of a model, newest first; none where there is no such model."""
        found = self._client.search_model_versions(f"name = '{_literal(name)}'")
        return [self._describe(version) for version in sorted(found, key=lambda v: -int(v.version))]

    def version(self, name: str, number: int) -> RegisteredVersion:
        """One version.

        Raises UnavailableError where there is none; the message lists those there are.
        """
        from mlflow.exceptions import MlflowException

        try:
            return self._describe(self._client.get_model_version(name, str(number)))
        except MlflowException:
            known = ", ".join(str(v.version) for v in reversed(self.versions(name))) or "none"
            raise UnavailableError(f"model {name} has no version {number}; registered: {known}") from None

    def by_alias(self, name: str, alias: str) -> RegisteredVersion | None:
        """The version that `alias` names, or None."""
        return next((v for v in self.versions(name) if alias in v.aliases), None)

    def move_alias(self, name: str, alias: str, to: int, expected: int | None) -> None:
        """Let `alias` name version `to`, provided that it names `expected` (None: nothing) now.

        MLflow has no such operation; a lock in the state folder makes it one for all processes of this
        machine. Moving it to where it is already is no error. Raises ConflictError where it names another.
        """
        with self._locked(name):
            current = self.by_alias(name, alias)
            found = current.version if current else None
            if found == to:
                return
            if found != expected:
                raise ConflictError(
                    f"alias {alias} of {name} names version {found or 'none'}, not {expected or 'none'}: "
                    "it was moved meanwhile"
                )
            self._client.set_registered_model_alias(name, alias, str(to))

    def delete_alias(self, name: str, alias: str) -> None:
        """Let `alias` name nothing."""
        with self._locked(name):
            self._client.delete_registered_model_alias(name, alias)

    def fetch(self, version: RegisteredVersion, folder: Path) -> Path:
        """Download a version's artifact to `folder`; the caller verifies it."""
        import mlflow

        with replaced(folder) as temporary:
            temporary.mkdir(parents=True)
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=version.storage_uri,
                dst_path=str(temporary),
                tracking_uri=self._workspace.tracking_uri,
            )
            if Path(path) != temporary:
                for item in Path(path).iterdir():
                    item.rename(temporary / item.name)
                Path(path).rmdir()
        return folder

    def report(self, version: RegisteredVersion, name: str) -> str:
        """The text of a report that was kept with the version's run."""
        import mlflow

        run = version.storage_uri.removesuffix(f"/{_FOLDER}")
        return str(mlflow.artifacts.load_text(f"{run}/{name}"))

    def _log_run(
        self,
        folder: Path,
        manifest: Manifest,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        reports: Mapping[str, str],
    ) -> str:
        run = self._client.create_run(
            self._experiment(manifest.use_case), run_name=f"{manifest.candidate} {manifest.as_of[:10]}", tags=tags
        ).info.run_id
        for name, value in params.items():
            self._client.log_param(run, name, value)
        for name, number in manifest.metrics.items():
            self._client.log_metric(run, name, number)
        for name, text in reports.items():
            self._client.log_text(run, text, name)
        self._client.log_artifacts(run, str(folder), _FOLDER)
        self._client.set_terminated(run)
        return str(run)

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found:
            return str(found.experiment_id)
        location = None
        if self._workspace.tracking_uri.startswith("sqlite:"):
            location = (self._workspace.state / "mlflow" / "artifacts" / name).as_uri()
        return str(self._client.create_experiment(name, artifact_location=location))

    def _describe(self, version: Any) -> RegisteredVersion:
        uri = self._client.get_run(version.run_id).info.artifact_uri
        return RegisteredVersion(
            name=version.name,
            version=int(version.version),
            storage_uri=f"{uri}/{_FOLDER}",
            tags=dict(version.tags),
            aliases=tuple(version.aliases or self._aliases(version.name, int(version.version))),
        )

    def _aliases(self, name: str, number: int) -> tuple[str, ...]:
        aliases = self._client.get_registered_model(name).aliases
        return tuple(sorted(alias for alias, version in aliases.items() if int(version) == number))

    @property
    def _client(self) -> Any:
        if self._connected is None:
            self._connected = _connect(self._workspace)
        return self._connected

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        path = self._workspace.state / "locks" / f"registry-{_literal(name)}.lock"
        with held(path, f"registering {name}", wait=True):
            yield


def _connect(workspace: Workspace) -> Any:
    for noisy in ("alembic", "mlflow", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # A bar for three small files, in the middle of a command's own progress.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    if workspace.tracking_uri.startswith("sqlite:///"):
        Path(workspace.tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=workspace.tracking_uri)


def _literal(name: str) -> str:
    """`name`, once it is certain that it can stand in a filter and a file name."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise UnavailableError(f"{name!r} is no model name; allowed: letters, digits, '_', '.', '-'")
    return name
