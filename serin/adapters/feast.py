"""Feast: the definitions in feature_repo/, what model versions are served with, and the online store.

Two Feast projects stand side by side. One has the definitions as they are now; whoever changes them changes it with
`feast apply`. The other, `served_project`, has the feature views as model versions were trained with them: only Serin
writes it, the online store is filled for it alone, and no change of the definitions reaches it. See adr/0014.

Feast takes seconds to import, so this module imports it where it is used.
"""

import contextlib
import io
import sqlite3
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from serin import environment
from serin.columns import TYPES
from serin.errors import UnavailableError, UseCaseError
from serin.online.config import read_project
from serin.online.opening import open_store
from serin.online.store import OnlineStore
from serin.ports import ServedView, ViewSource
from serin.progress import say
from serin.use_case import UseCase
from serin.workspace import Workspace, served_project

_SERVED_VIEW, _USE_CASE = "serin.view", "serin.use_case"  # tags


class FeastStore:
    """The feature store of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._unreadable: set[str] = set()

    @cached_property
    def online(self) -> OnlineStore:
        """The online store, for whoever reads or fills it without Feast."""
        return open_store(self._workspace.feature_store_yaml)

    @cached_property
    def project(self) -> str:
        """The Feast project of what model versions are served with, which is what the online store is filled for."""
        return served_project(read_project(self._workspace.feature_store_yaml))

    def apply(self, case: UseCase | None = None) -> None:
        """Bring the feature registry up to the definitions, as `feast -c feature_repo apply` does.

        A cluster's registry has definitions from many workspaces: what this one lacks is deleted on this machine only.
        A pod has the workspace of its image: it adds what the registry lacks, and changes nothing there.
        """
        if not (self._workspace.pod and case and self._has_service(case)):
            self._apply()

    def _has_service(self, case: UseCase) -> bool:
        with self._reached():
            return case.features.service in {service.name for service in self._open().list_feature_services()}

    def _apply(self) -> None:
        from feast.repo_config import load_repo_config
        from feast.repo_operations import apply_total

        repo = self._workspace.feature_repo
        with self._reached():
            config = load_repo_config(repo, self._workspace.feature_store_yaml)
        self._refuse_paths_in_the_registry(config)
        # Feast imports the definitions relative to the working directory and prints as it goes.
        with (
            self._reached(),
            environment.changed(self._workspace.variables()),
            _importable(str(repo)),
            contextlib.chdir(repo),
        ):
            try:
                if self._workspace.shares_features:
                    self._add(repo)
                else:
                    apply_total(config, repo, skip_source_validation=True)
            except (Exception, SystemExit) as error:
                own = _definitions_file(error, repo)
                if own is None and isinstance(error, _away()):
                    raise
                text = f"{type(error).__name__}: {error}"
                raise UseCaseError(
                    f"the Feast definitions in {repo} can't be applied: {f'{own}: {text}' if own else text}"
                ) from error

    def _add(self, repo: Path) -> None:
        """Apply the definitions and delete none; in a pod, only those that are new."""
        from feast.diff.registry_diff import extract_objects_for_keep_delete_update_add
        from feast.repo_operations import parse_repo

        store = self._open()
        found = extract_objects_for_keep_delete_update_add(store.registry, store.project, parse_repo(repo))
        _, _, changed, new = ({item for items in kind.values() for item in items} for kind in found)
        store.apply([*new, *(() if self._workspace.pod else changed)], partial=True)

    def sources(self, case: UseCase) -> tuple[ViewSource, ...]:
        """The feature views of the use case's feature service.

        Raises UseCaseError where use case file and Feast definitions differ: no such service, a view or a
        feature that only one of them has, or a view keyed by another column.
        """
        from feast.errors import FeatureServiceNotFoundException

        with self._reached():
            store = self._open()
            try:
                service = store.get_feature_service(case.features.service)
            except FeatureServiceNotFoundException:
                names = ", ".join(sorted(s.name for s in store.list_feature_services())) or "none"
                raise UseCaseError(
                    f"features.service: Feast has no feature service {case.features.service!r}; it has {names}. "
                    f"{self._remedy()}"
                ) from None
            found = {p.name: _source(store, p) for p in service.feature_view_projections}
        _check_agreement(case, found)
        return tuple(found[name] for name in case.views)

    def keep(self, use_case: str, service: str, views: Sequence[ServedView]) -> None:
        """Declare what versions that name `service` are served with; mends a lost online table. Can be run twice."""
        from feast import FeatureService

        with self._reached():
            declared = [_declaration(view, self._workspace) for view in views]
            kept = FeatureService(name=service, features=[view for _, view in declared], tags={_USE_CASE: use_case})
            self._served().apply([*(item for pair in declared for item in pair), kept])

    def kept(self, use_case: str) -> Mapping[str, tuple[ServedView, ...]]:
        """What was declared by `keep` for a use case: the views of each service.

        A view that an earlier Serin declared in a way that can't be read any more is left out, which is told once: it
        is no longer refreshed.
        """
        with self._reached():
            store = self._served()
            declared = {
                service.name: [
                    (each.name, store.get_feature_view(each.name).tags.get(_SERVED_VIEW, ""))
                    for each in service.feature_view_projections
                ]
                for service in store.list_feature_services(tags={_USE_CASE: use_case})
            }
        return {
            service: tuple(view for name, text in tags if (view := self._served_view(name, text)))
            for service, tags in declared.items()
        }

    def _served_view(self, name: str, text: str) -> ServedView | None:
        try:
            return ServedView.model_validate_json(text)
        except ValidationError:
            if name not in self._unreadable:
                self._unreadable.add(name)
                say(f"{name}, which a served version may need, stays as it is: an earlier Serin declared it")
            return None

    def published(self, view: ServedView) -> datetime | None:
        """The latest time as of which a kept view was materialised; None where it never was."""
        with self._reached():
            ends = [end for _, end in self._served().get_feature_view(view.name).materialization_intervals]
        return max(ends).astimezone(UTC) if ends else None

    def materialise(self, view: ServedView, rows: pa.Table, as_of: datetime) -> None:
        """Write one row an entity of a kept view to the online store, and note that it was done as of a time.

        Rows are written as Feast writes them, but not by it: see serin.online. A row whose features are all null takes
        back what was known of its entity.
        """
        if rows.num_rows:
            self.online.write_rows(view.plan(self.project), rows)
        with self._reached():
            store = self._served()
            definition = store.get_feature_view(view.name)
            store.registry.apply_materialization(definition, store.project, as_of - timedelta(days=1), as_of)

    def _remedy(self) -> str:
        if self._workspace.pod:
            return "Run `serin submit` in the workspace that declares it, which applies its definitions first"
        return f"Declare it in {self._workspace.feature_repo}"

    def _open(self) -> Any:
        from feast import FeatureStore as Feast

        yaml = self._workspace.feature_store_yaml
        try:
            return Feast(repo_path=str(self._workspace.feature_repo), fs_yaml_file=yaml)
        except TypeError as error:  # of a file that is empty, or holds a list
            raise UnavailableError(f"{yaml} is no configuration of Feast: {error}") from None

    def _served(self) -> Any:
        store = self._open()
        store.config.project = served_project(store.config.project)
        return store

    def _refuse_paths_in_the_registry(self, config: Any) -> None:
        """Under its short name Feast notes the paths of SQLite's tables, and drops them there when they differ."""
        if config.online_store.type == "sqlite":
            raise UnavailableError(
                f"{self._workspace.feature_store_yaml}: online_store.type is sqlite, with which Feast drops the tables "
                "of a workspace that this one was copied from; allowed: "
                "feast.infra.online_stores.sqlite.SqliteOnlineStore"
            )

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Quiet Feast, and turn what the registry or the online store can't do into an error that names them."""
        from feast.errors import FeastError
        from feast.repo_config import FeastConfigError

        quiet = io.StringIO()
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            try:
                yield
            except Exception as error:
                if not isinstance(error, (*_away(), FeastError, FeastConfigError)):
                    raise
                raise UnavailableError(
                    f"the feature store of {self._workspace.feature_store_yaml} can't be used: "
                    f"{type(error).__name__}: {error}"
                ) from error


def _away() -> tuple[type[Exception], ...]:
    """What comes through Feast where a file, SQLite, Redis or S3 does not answer, or holds something else."""
    from botocore.exceptions import BotoCoreError, ClientError
    from google.protobuf.message import DecodeError
    from redis.exceptions import RedisError

    return (OSError, sqlite3.Error, RedisError, BotoCoreError, ClientError, DecodeError)


def _definitions_file(error: BaseException, repo: Path) -> str | None:
    """The definitions file in which the error arose, where it was one."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return next((Path(name).name for name in reversed(files) if Path(name).parent == repo), None)


def _declaration(view: ServedView, workspace: Workspace) -> tuple[Any, Any]:
    """The entity and the feature view of a served view; the entity is its own, for its type may change too."""
    from feast import Entity, FeatureView, Field, FileSource, types
    from feast.value_type import ValueType

    entity = Entity(name=view.name, join_keys=[view.key], value_type=ValueType[str(TYPES[view.types[view.key]].entity)])
    declared = FeatureView(
        name=view.name,
        entities=[entity],
        ttl=view.ttl or timedelta(0),
        schema=[Field(name=name, dtype=getattr(types, TYPES[kind].feast)) for name, kind in view.types.items()],
        source=FileSource(
            name=view.name,
            path=workspace.declared_source(view.use_case, view.name),
            timestamp_field="event_timestamp",
        ),
        tags={_SERVED_VIEW: view.model_dump_json()},
        description=f"{view.view} of {view.use_case}, as model versions were trained with it.",
    )
    return entity, declared


def _source(store: Any, projection: Any) -> ViewSource:
    view = store.get_feature_view(projection.name)
    return ViewSource(
        name=view.name,
        join_keys=tuple(view.join_keys),
        timestamp_field=view.batch_source.timestamp_field,
        ttl=view.ttl or None,
        features=tuple(feature.name for feature in projection.features),
    )


def _check_agreement(case: UseCase, found: dict[str, ViewSource]) -> None:
    declared = {
        **{name: tuple(f.name for f in view.features) for name, view in case.features.windows.items()},
        **{name: view.columns for name, view in case.features.tables.items()},
    }
    where = f"feature service {case.features.service} and use case {case.name} differ"
    if set(found) != set(declared):
        raise UseCaseError(f"{where} on views {', '.join(sorted(set(found) ^ set(declared)))}")
    for name, features in declared.items():
        if odd := set(features) ^ set(found[name].features):
            raise UseCaseError(f"{where} on features of view {name}: {', '.join(sorted(odd))}")
        key = case.entities[case.views[name].entity]
        if found[name].join_keys != (key,):
            raise UseCaseError(
                f"{where} on the key of view {name}: {key} here, {', '.join(found[name].join_keys)} in Feast"
            )


@contextlib.contextmanager
def _importable(folder: str) -> Any:
    """Put `folder` in front on the import path; forget the definitions after, so that they are read anew."""
    before = set(sys.modules)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and file.startswith(folder):
                del sys.modules[name]
