"""MLflow: runs, and the model registry with its aliases.

MLflow takes seconds to import, so this module imports it where it is used.
"""

import contextlib
import functools
import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.adapters.locks import held
from serin.artifact import MODEL_FILES, Manifest
from serin.atomic import replaced
from serin.errors import ConflictError, UnavailableError
from serin.workspace import Workspace

ARTIFACT_TAG = "serin.artifact"
_FOLDER = "model"
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_EXISTS = "RESOURCE_ALREADY_EXISTS"
_INVALID = "INVALID_PARAMETER_VALUE"
# MLflow's own defaults, 7 retries of 120 s, let a command hang for minutes when its server is away.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # A bar for three small files, in the middle of a command's own progress.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_CONNECT_SECONDS = 10


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model."""

    name: str
    version: int
    storage_uri: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]


class ModelRegistry:
    """The tracking server and model registry of a workspace.

    Every method raises UnavailableError where the server can't be reached. A local SQLite file that is not
    there yet is a registry without versions; only writing creates it.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def register(
        self,
        folder: Path,
        manifest: Manifest,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        reports: Mapping[str, str],
    ) -> RegisteredVersion:
        """Log a run with the sealed artifact in `folder` and register it as a new version.

        An artifact that is registered already (see `_identity`) is not registered again: its version is
        returned, so a repeated step changes nothing. `reports` are texts by file name, kept with the run.
        """
        digest = _identity(manifest)
        with self._locked(manifest.model_name):
            for known in self.versions(manifest.model_name):
                if known.tags.get(ARTIFACT_TAG) == digest:
                    return known
            run = self._log_run(folder, manifest, params, tags, reports)
            self._ask("create_registered_model", manifest.model_name, none_for=(_EXISTS,))
            version = self._ask(
                "create_model_version",
                manifest.model_name,
                source=f"runs:/{run}/{_FOLDER}",
                run_id=run,
                tags={**tags, ARTIFACT_TAG: digest},
            )
        return self.version(manifest.model_name, int(version.version))

    def versions(self, name: str) -> list[RegisteredVersion]:
        """All versions of a model, newest first; none where there is no such model."""
        if self._is_new():
            return []
        found = self._search(name)
        if not found:
            return []
        # A search leaves the aliases out.
        aliases = self._ask("get_registered_model", name).aliases
        found.sort(key=lambda version: -int(version.version))
        return [
            self._describe(version, [alias for alias, to in aliases.items() if int(to) == int(version.version)])
            for version in found
        ]

    def version(self, name: str, number: int) -> RegisteredVersion:
        """One version.

        Raises UnavailableError where there is none; the message lists those there are.
        """
        found = None if self._is_new() else self._ask("get_model_version", name, str(number), none_for=(_ABSENT,))
        if found is None:
            known = ", ".join(str(v.version) for v in reversed(self.versions(name))) or "none"
            raise UnavailableError(f"model {name} has no version {number}; registered: {known}")
        return self._describe(found, found.aliases)

    def by_alias(self, name: str, alias: str) -> RegisteredVersion | None:
        """The version that `alias` names, or None."""
        if self._is_new():
            return None
        # MLflow says "absent" of an unknown model, but "invalid" of an unknown alias.
        found = self._ask("get_model_version_by_alias", name, alias, none_for=(_ABSENT, _INVALID))
        return self._describe(found, found.aliases) if found else None

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
            self._ask("set_registered_model_alias", name, alias, str(to))

    def delete_alias(self, name: str, alias: str) -> None:
        """Let `alias` name nothing; that it names nothing already, or that there is no such model, is no error."""
        if self._is_new():
            return
        with self._locked(name):
            self._ask("delete_registered_model_alias", name, alias, none_for=(_ABSENT,))

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
        with tempfile.TemporaryDirectory() as folder:
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{run}/{name}", dst_path=folder, tracking_uri=self._workspace.tracking_uri
            )
            return Path(path).read_text(encoding="utf-8")

    def _log_run(
        self,
        folder: Path,
        manifest: Manifest,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        reports: Mapping[str, str],
    ) -> str:
        experiment = self._experiment(manifest.use_case)
        title = f"{manifest.candidate} {manifest.as_of[:10]}"
        run = str(self._ask("create_run", experiment, run_name=title, tags=tags).info.run_id)
        try:
            for name, value in params.items():
                self._ask("log_param", run, name, value)
            for name, number in manifest.metrics.items():
                self._ask("log_metric", run, name, number)
            for name, text in reports.items():
                self._ask("log_text", run, text, name)
            self._ask("log_artifacts", run, str(folder), _FOLDER)
        except BaseException:
            # The first error is the one to tell, whether or not the server still answers.
            with contextlib.suppress(UnavailableError):
                self._ask("set_terminated", run, "FAILED")
            raise
        self._ask("set_terminated", run)
        return run

    def _experiment(self, name: str) -> str:
        found = self._ask("get_experiment_by_name", name)
        if found:
            return str(found.experiment_id)
        location = None
        if not self._workspace.tracking_uri.startswith(("http:", "https:")):
            # A database has no server before it that would say where artifacts lie.
            folder = f"{self._workspace.storage}/mlflow/artifacts/{name}"
            location = folder if "://" in folder else Path(folder).absolute().as_uri()
        return str(self._ask("create_experiment", name, artifact_location=location))

    def _search(self, name: str) -> list[Any]:
        found, token = [], None
        while True:
            page = self._ask("search_model_versions", f"name = '{_literal(name)}'", page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def _describe(self, version: Any, aliases: Iterable[str]) -> RegisteredVersion:
        uri = self._ask("get_run", version.run_id).info.artifact_uri
        return RegisteredVersion(
            name=version.name,
            version=int(version.version),
            storage_uri=f"{uri}/{_FOLDER}",
            tags=dict(version.tags),
            aliases=tuple(sorted(aliases)),
        )

    def _is_new(self) -> bool:
        file = _sqlite_file(self._workspace.tracking_uri)
        return file is not None and not file.is_file()

    def _ask(self, operation: str, *arguments: Any, none_for: tuple[str, ...] = (), **options: Any) -> Any:
        """What the MLflow client's `operation` returns, or None where it fails with a code in `none_for`."""
        client = self._client
        from mlflow.exceptions import MlflowException

        try:
            return getattr(client, operation)(*arguments, **options)
        except MlflowException as error:
            if error.error_code in none_for:
                return None
            if error.error_code in (_ABSENT, _EXISTS, _INVALID):
                raise
            # MLflow's text holds the URI with its password.
            raise _unavailable(self._workspace.tracking_uri, f"{operation}: {error.error_code}") from None

    @functools.cached_property
    def _client(self) -> Any:
        return _connect(self._workspace)

    def _locked(self, name: str) -> contextlib.AbstractContextManager[None]:
        path = self._workspace.state / "locks" / f"registry-{_literal(name)}.lock"
        return held(path, f"registering {name}", wait=True)


def _identity(manifest: Manifest) -> str:
    """The hash that tells artifacts apart: of the manifest with its files' hashes.

    skops writes memory addresses into its file, so a scikit-learn model's own hash differs from run to run; its scores
    on the reference rows, whose hash stays in, do not.
    """
    files = {name: digest for name, digest in manifest.files.items() if name != MODEL_FILES["sklearn"]}
    return hashlib.sha256(manifest.model_copy(update={"files": files}).model_dump_json().encode()).hexdigest()


def _connect(workspace: Workspace) -> Any:
    for noisy in ("alembic", "mlflow", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    file = _sqlite_file(workspace.tracking_uri)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    elif workspace.tracking_uri.startswith(("postgresql", "mysql")):
        _try_database(workspace.tracking_uri)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=workspace.tracking_uri)


def _try_database(uri: str) -> None:
    """Connect once: MLflow itself tries for minutes, and no setting bounds it."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": _CONNECT_SECONDS})
    try:
        engine.connect().close()
    except sqlalchemy.exc.OperationalError as error:
        raise _unavailable(uri, str(error.orig).strip().partition("\n")[0]) from None
    finally:
        engine.dispose()


def _sqlite_file(uri: str) -> Path | None:
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0])


def _unavailable(uri: str, reason: str) -> UnavailableError:
    shown = uri if _sqlite_file(uri) else re.sub("//.*@", "//", uri).partition("?")[0]
    return UnavailableError(
        f"the model registry at {shown} does not answer ({reason}); start it, or set MLFLOW_TRACKING_URI"
    )


def _literal(name: str) -> str:
    """`name`, once it is certain that it can stand in a filter and a file name."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise UnavailableError(f"{name!r} is no model name; allowed: letters, digits, '_', '.', '-'")
    return name
