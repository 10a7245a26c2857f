"""Feast: the definitions in feature_repo/, and the online store that they fill.

Feast takes seconds to import, so this module imports it where it is used.
"""

import contextlib
import io
import sys
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from serin.errors import UseCaseError
from serin.ports import ViewSource
from serin.use_case import UseCase
from serin.workspace import Workspace


class FeastStore:
    """The feature store of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def apply(self) -> None:
        """Do what `feast -c feature_repo apply` does: bring the feature registry up to the definitions."""
        from feast.repo_config import load_repo_config
        from feast.repo_operations import apply_total

        repo = self._workspace.feature_repo
        config = load_repo_config(repo, self._workspace.feature_store_yaml)
        # Feast imports the definitions relative to the working directory and prints as it goes.
        with _importable(str(repo)), contextlib.chdir(repo), contextlib.redirect_stdout(io.StringIO()):
            try:
                apply_total(config, repo, skip_source_validation=True)
            except (Exception, SystemExit) as error:
                raise UseCaseError(
                    f"the Feast definitions in {repo} can't be applied: {_cause(error, repo)}"
                ) from error

    def sources(self, case: UseCase) -> tuple[ViewSource, ...]:
        """The feature views of the use case's feature service.

        Raises UseCaseError where use case file and Feast definitions differ: no such service, a view or a
        feature that only one of them has, or a view keyed by another column.
        """
        from feast.errors import FeatureServiceNotFoundException

        store = self._open()
        try:
            service = store.get_feature_service(case.features.service)
        except FeatureServiceNotFoundException:
            names = ", ".join(sorted(s.name for s in store.list_feature_services())) or "none"
            raise UseCaseError(
                f"features.service: Feast has no feature service {case.features.service!r}; it has {names}. "
                f"Declare it in {self._workspace.feature_repo}"
            ) from None
        found = {p.name: _source(store, p) for p in service.feature_view_projections}
        _check_agreement(case, found)
        return tuple(found[name] for name in case.views)

    def published(self, views: Iterable[str]) -> datetime | None:
        """The latest time as of which one of the views was materialised; None where none was."""
        store = self._open()
        ends = [end for name in views for _, end in store.get_feature_view(name).materialization_intervals]
        return max(ends).astimezone(UTC) if ends else None

    def materialise(self, view: str, rows: pa.Table, as_of: datetime) -> None:
        """Write the latest row of each entity to the online store, and note in the feature registry that it was done.

        Rows are handed over rather than read back from the source by `materialize`, which would read the whole
        history of the view to find them (and needs another S3 client to do so).
        """
        quiet = io.StringIO()
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            store = self._open()
            store.write_to_online_store(view, df=rows.to_pandas())
            definition = store.get_feature_view(view)
            store.registry.apply_materialization(definition, store.project, as_of - timedelta(days=1), as_of)

    def _open(self) -> Any:
        from feast import FeatureStore as Feast

        return Feast(repo_path=str(self._workspace.feature_repo), fs_yaml_file=self._workspace.feature_store_yaml)


def _cause(error: BaseException, repo: Path) -> str:
    """The error, with the definitions file in which it arose, where it was one."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    own = next((Path(name).name for name in reversed(files) if Path(name).parent == repo), None)
    text = f"{type(error).__name__}: {error}"
    return f"{own}: {text}" if own else text


def _source(store: Any, projection: Any) -> ViewSource:
    view = store.get_feature_view(projection.name)
    return ViewSource(
        name=view.name,
        location=view.batch_source.path,
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
