"""MLflow: runs, and the model registry with its aliases.

MLflow takes seconds to import, so this module imports it where it is used.
"""

import contextlib
import functools
import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from serin.adapters import tracking
from serin.artifact import Manifest
from serin.atomic import replaced
from serin.errors import NotFoundError, UnavailableError, first_line
from serin.ports import Lease, RegisteredVersion
from serin.workspace import Workspace

ARTIFACT_TAG = "serin.artifact"
_FOLDER = "model"
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_EXISTS = "RESOURCE_ALREADY_EXISTS"
_INVALID = "INVALID_PARAMETER_VALUE"
# The scheme of artifacts that an MLflow server keeps, in a folder which it is told at its start.
_KEPT_BY_SERVER = "mlflow-artifacts:"


class MlflowRegistry:
    """The tracking server and model registry of a workspace.

    A local SQLite file that is not there yet is a registry without versions; only writing creates it. A database has
    no server before it that would say where artifacts lie: they lie at <storage>/mlflow/artifacts. Where that is a
    folder, the database names it as a server would, so that no path stands in it: the workspace can be copied and
    moved, and `mlflow server --artifacts-destination <storage>/mlflow/artifacts` shows it all the same.
    """

    def __init__(self, workspace: Workspace, lease: Lease) -> None:
        """Raises UnavailableError for a tracking URI that can't work; nobody is asked yet."""
        tracking.check(workspace.tracking_uri)
        self._uri = workspace.tracking_uri
        self._artifacts = f"{workspace.storage}/mlflow/artifacts"
        self._lease = lease

    def register(
        self,
        folder: Path,
        manifest: Manifest,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        reports: Mapping[str, str],
        facts: Mapping[str, float] | None = None,
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
            run = self._log_run(folder, manifest, params, tags, reports, facts or {})
            self._ask("create_registered_model", name, none_for=(_EXISTS,))
            version = self._ask(
                "create_model_version",
                name,
                source=f"{run.artifact_uri}/{_FOLDER}",
                run_id=run.run_id,
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
        place = self._place(version.source)
        with _named(f"the artifact of {_title(version)}", place):
            found = self._open(place).list_artifacts()
        if not found:
            raise NotFoundError(f"the artifact of {_title(version)} is lost: nothing is stored at {place}")
        return place

    def fetch(self, version: RegisteredVersion, folder: Path) -> Path:
        """See ModelRegistry."""
        place = self.storage_uri(version)
        with replaced(folder) as temporary, _named(f"the artifact of {_title(version)}", place):
            temporary.mkdir(parents=True)
            self._open(place).download_artifacts("", str(temporary))
        return folder

    def report(self, version: RegisteredVersion, name: str) -> str:
        """See ModelRegistry."""
        place = self._place(version.source.removesuffix(f"/{_FOLDER}"))
        with tempfile.TemporaryDirectory() as folder, _named(f"{name} of {_title(version)}", place):
            return Path(self._open(place).download_artifacts(name, folder)).read_text(encoding="utf-8")

    def _place(self, uri: str) -> str:
        """Where an artifact URI of MLflow's leads."""
        if tracking.has_server(self._uri) or not uri.startswith(_KEPT_BY_SERVER):
            return uri
        return Path(self._artifacts).absolute().as_uri() + uri.removeprefix(_KEPT_BY_SERVER)

    def _open(self, place: str) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(place, tracking_uri=self._uri)

    def _log_run(
        self,
        folder: Path,
        manifest: Manifest,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        reports: Mapping[str, str],
        facts: Mapping[str, float],
    ) -> Any:
        experiment = self._experiment(manifest.use_case)
        title = f"{manifest.estimator} {manifest.as_of[:10]}"
        run = self._ask("create_run", experiment, run_name=title, tags=tags).info
        try:
            for name, value in params.items():
                self._ask("log_param", run.run_id, name, value)
            for name, number in (manifest.metrics | dict(facts)).items():
                self._ask("log_metric", run.run_id, name, number)
            self._keep(folder, reports, self._place(run.artifact_uri))
        except BaseException:
            # The first error is the one to tell, whether or not the server still answers.
            with contextlib.suppress(UnavailableError):
                self._ask("set_terminated", run.run_id, "FAILED")
            raise
        self._ask("set_terminated", run.run_id)
        return run

    def _keep(self, folder: Path, reports: Mapping[str, str], place: str) -> None:
        with tempfile.TemporaryDirectory() as texts, _named("nothing was registered: the artifact", place, "stored at"):
            store = self._open(place)
            store.log_artifacts(str(folder), _FOLDER)
            for name, text in reports.items():
                Path(texts, name).write_text(text, encoding="utf-8")
                store.log_artifact(str(Path(texts, name)))

    def _experiment(self, name: str) -> str:
        found = self._ask("get_experiment_by_name", name)
        if found:
            return str(found.experiment_id)
        location = None
        if not tracking.has_server(self._uri):
            location = f"{self._artifacts}/{name}" if "://" in self._artifacts else f"{_KEPT_BY_SERVER}/{name}"
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
        file = tracking.sqlite_file(self._uri)
        return file is not None and not file.is_file()

    def _ask(self, operation: str, *arguments: Any, none_for: tuple[str, ...] = (), **options: Any) -> Any:
        """What the MLflow client's `operation` returns, or None where it fails with a code in `none_for`."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return getattr(self._client, operation)(*arguments, **options)
        except MlflowException as error:
            if error.error_code in none_for:
                return None
            if error.error_code == _ABSENT:
                raise NotFoundError(
                    f"the model registry at {tracking.shown(self._uri)}: {first_line(error)[:300]}"
                ) from None
            if error.error_code in (_EXISTS, _INVALID):
                raise UnavailableError(
                    f"the model registry at {tracking.shown(self._uri)} refuses {operation}: {first_line(error)[:300]}"
                ) from None
            # MLflow's text holds the URI with its password.
            raise tracking.unavailable(self._uri, f"{operation}: {error.error_code}") from None
        except SQLAlchemyError as error:
            raise tracking.unavailable(self._uri, f"{operation}: {type(error).__name__}") from None

    @functools.cached_property
    def _client(self) -> Any:
        return tracking.connect(self._uri)


def _described(version: Any, aliases: Iterable[str]) -> RegisteredVersion:
    return RegisteredVersion(
        name=version.name,
        version=int(version.version),
        tags=dict(version.tags),
        aliases=tuple(sorted(aliases)),
        source=version.source or "",
    )


def _identity(manifest: Manifest) -> str:
    """The hash that tells artifacts apart: of the manifest, which has its files' hashes."""
    return hashlib.sha256(manifest.model_dump_json().encode()).hexdigest()


def _title(version: RegisteredVersion) -> str:
    return f"{version.name} version {version.version}"


@contextlib.contextmanager
def _named(what: str, place: str, done: str = "read from") -> Iterator[None]:
    """Raises UnavailableError naming the place, for an error of a disk, of S3 or of MLflow's artifact stores."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (OSError, Boto3Error, BotoCoreError, ClientError, MlflowException) as error:
        raise UnavailableError(f"{what} can't be {done} {place}: {first_line(error)[:300]}") from None


def _literal(name: str) -> str:
    """`name`, once it is certain that it can stand in a filter and a file name."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise UnavailableError(f"{name!r} is no model name; allowed: letters, digits, '_', '.', '-'")
    return name
