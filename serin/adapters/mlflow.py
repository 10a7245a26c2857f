"""MLflow: runs, and the model registry with its aliases.

MLflow takes seconds to import, so this module imports it where it is used.
"""

import contextlib
import functools
import hashlib
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from serin import engines, environment
from serin.artifact import Manifest
from serin.atomic import replaced
from serin.errors import NotFoundError, UnavailableError
from serin.ports import Lease, RegisteredVersion
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


class MlflowRegistry:
    """The tracking server and model registry of a workspace.

    A local SQLite file that is not there yet is a registry without versions; only writing creates it.
    """

    def __init__(self, workspace: Workspace, lease: Lease) -> None:
        self._workspace = workspace
        self._lease = lease

    def register(
        self,
        folder: Path,
        manifest: Manifest,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        reports: Mapping[str, str],
    ) -> RegisteredVersion:
        """See ModelRegistry. Two artifacts are the same where `_identity` is."""
        name, digest = manifest.model_name, _identity(manifest)
        with self._lease.hold(f"registering-{_literal(name)}", wait=True):
            known = self.by_tag(name, ARTIFACT_TAG, digest)
            if known:
                for tag, value in tags.items():
                    if known.tags.get(tag) != value:
                        self._ask("set_model_version_tag", name, str(known.version), tag, value)
                return self.version(name, known.version)
            run = self._log_run(folder, manifest, params, tags, reports)
            self._ask("create_registered_model", name, none_for=(_EXISTS,))
            version = self._ask(
                "create_model_version",
                name,
                source=f"runs:/{run}/{_FOLDER}",
                run_id=run,
                tags={**tags, ARTIFACT_TAG: digest},
            )
        return self.version(name, int(version.version))

    def versions(self, name: str) -> list[RegisteredVersion]:
        """See ModelRegistry."""
        if self._is_new():
            return []
        found = list(self._search(f"name = '{_literal(name)}'"))
        if not found:
            return []
        # A search leaves the aliases out.
        aliases = self._ask("get_registered_model", name).aliases
        found.sort(key=lambda version: -int(version.version))
        return [
            _described(version, [alias for alias, to in aliases.items() if int(to) == int(version.version)])
            for version in found
        ]

    def version(self, name: str, number: int) -> RegisteredVersion:
        """See ModelRegistry."""
        found = None if self._is_new() else self._ask("get_model_version", name, str(number), none_for=(_ABSENT,))
        if found is None:
            known = ", ".join(str(v.version) for v in reversed(self.versions(name))) or "none"
            raise NotFoundError(f"model {name} has no version {number}; registered: {known}")
        return _described(found, found.aliases)

    def by_alias(self, name: str, alias: str) -> RegisteredVersion | None:
        """See ModelRegistry."""
        if self._is_new():
            return None
        # MLflow says "absent" of an unknown model, but "invalid" of an unknown alias.
        found = self._ask("get_model_version_by_alias", name, alias, none_for=(_ABSENT, _INVALID))
        return _described(found, found.aliases) if found else None

    def by_tag(self, name: str, tag: str, value: str) -> RegisteredVersion | None:
        """See ModelRegistry."""
        if self._is_new():
            return None
        wanted = f"name = '{_literal(name)}' and tags.`{_literal(tag)}` = '{_literal(value)}'"
        numbers = [int(version.version) for version in self._search(wanted)]
        return self.version(name, max(numbers)) if numbers else None

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """See ModelRegistry."""
        self._ask("set_registered_model_alias", name, alias, str(version))

    def delete_alias(self, name: str, alias: str) -> None:
        """See ModelRegistry."""
        if not self._is_new():
            self._ask("delete_registered_model_alias", name, alias, none_for=(_ABSENT,))

    def storage_uri(self, version: RegisteredVersion) -> str:
        """See ModelRegistry."""
        return f"{self._artifacts(version)}/{_FOLDER}"

    def fetch(self, version: RegisteredVersion, folder: Path) -> Path:
        """See ModelRegistry."""
        with replaced(folder) as temporary:
            temporary.mkdir(parents=True)
            path = self._download(version, _FOLDER, temporary)
            if path != temporary:
                for item in path.iterdir():
                    item.rename(temporary / item.name)
                path.rmdir()
        return folder

    def report(self, version: RegisteredVersion, name: str) -> str:
        """See ModelRegistry."""
        with tempfile.TemporaryDirectory() as folder:
            return self._download(version, name, Path(folder)).read_text(encoding="utf-8")

    def _artifacts(self, version: RegisteredVersion) -> str:
        return str(self._ask("get_run", version.run).info.artifact_uri)

    def _download(self, version: RegisteredVersion, path: str, folder: Path) -> Path:
        """Raises UnavailableError where the artifact store lacks it or can't be reached."""
        source = f"{self._artifacts(version)}/{path}"
        import mlflow
        from mlflow.exceptions import MlflowException

        try:
            found = mlflow.artifacts.download_artifacts(
                artifact_uri=source, dst_path=str(folder), tracking_uri=self._workspace.tracking_uri
            )
        except (MlflowException, *_storage_errors()) as error:
            raise UnavailableError(
                f"{path} of {version.name} version {version.version} can't be read from {source}: {_line(error)}"
            ) from None
        return Path(found)

    def _log_run(
        self,
        folder: Path,
        manifest: Manifest,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        reports: Mapping[str, str],
    ) -> str:
        experiment = self._experiment(manifest.use_case)
        title = f"{manifest.estimator} {manifest.as_of[:10]}"
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

    def _search(self, wanted: str) -> Iterator[Any]:
        token = None
        while True:
            page = self._ask("search_model_versions", wanted, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

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
        except _storage_errors() as error:
            raise UnavailableError(
                f"{operation}: the artifact store of the model registry can't be used: {_line(error)}; "
                "nothing was registered"
            ) from None

    @functools.cached_property
    def _client(self) -> Any:
        return _connect(self._workspace)


def _described(version: Any, aliases: Iterable[str]) -> RegisteredVersion:
    return RegisteredVersion(
        name=version.name,
        version=int(version.version),
        tags=dict(version.tags),
        aliases=tuple(sorted(aliases)),
        run=version.run_id or "",
    )


def _identity(manifest: Manifest) -> str:
    """The hash that tells artifacts apart: of the manifest with its files' hashes.

    Of a file that differs from save to save only the scores on the reference rows count, whose hash stays in.
    """
    varying = {engine.file for engine in engines.known().values() if engine.varies}
    files = {name: digest for name, digest in manifest.files.items() if name not in varying}
    return hashlib.sha256(manifest.model_copy(update={"files": files}).model_dump_json().encode()).hexdigest()


def _connect(workspace: Workspace) -> Any:
    for noisy in ("alembic", "mlflow", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    environment.set_defaults(_DEFAULTS)
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


def _storage_errors() -> tuple[type[Exception], ...]:
    """What MLflow's artifact stores let through: errors of a disk, and those of S3."""
    from botocore.exceptions import BotoCoreError, ClientError

    return (OSError, BotoCoreError, ClientError)


def _line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
