"""The register step: a new version in MLflow, and the aliases that it may take."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.adapters.model_registry import ModelRegistry, RegisteredVersion
from components.adapters.revision import code_revision
from components.register.logic import Standing, supersedes
from serin.artifact import Manifest, verify
from serin.errors import ConflictError
from serin.use_case import UseCase
from serin.workspace import Workspace

_ATTEMPTS = 5


@dataclass(frozen=True)
class Registered:
    """The version and the aliases that it took."""

    version: int
    aliases: tuple[str, ...]


def register(workspace: Workspace, case: UseCase, folder: Path, passed: bool, reports: Mapping[str, str]) -> Registered:
    """Register the artifact in `folder`. The version becomes `candidate`; one that passed the gate becomes
    `challenger`, and `champion` where there is none yet.
    """
    manifest = verify(folder)
    registry = ModelRegistry(workspace)
    params = case.training.candidates.get(manifest.candidate, {})  # type: ignore[call-overload]
    version = registry.register(folder, manifest, params, _tags(manifest, case, passed), reports)
    _take(registry, version, "candidate")
    if passed:
        _take(registry, version, "challenger", unless=lambda holder: _is_better(holder, version, case))
        if registry.by_alias(case.model_name, "champion") is None:
            registry.move_alias(case.model_name, "champion", version.version, expected=None)
    return Registered(version.version, registry.version(case.model_name, version.version).aliases)


def promote(workspace: Workspace, case: UseCase, version: int) -> None:
    """Make `version` the champion, and what was champion `previous`. Can be run twice."""
    registry = ModelRegistry(workspace)
    champion = registry.by_alias(case.model_name, "champion")
    if champion and champion.version == version:
        return
    previous = registry.by_alias(case.model_name, "previous")
    if champion:
        registry.move_alias(case.model_name, "previous", champion.version, previous.version if previous else None)
    registry.move_alias(case.model_name, "champion", version, champion.version if champion else None)


def give_up(workspace: Workspace, case: UseCase, version: int) -> None:
    """Take `version` off the alias challenger, where it holds it: it failed in serving. Can be run twice."""
    registry = ModelRegistry(workspace)
    challenger = registry.by_alias(case.model_name, "challenger")
    if challenger and challenger.version == version:
        registry.delete_alias(case.model_name, "challenger")


def _take(
    registry: ModelRegistry,
    version: RegisteredVersion,
    alias: str,
    unless: Callable[[RegisteredVersion], bool] | None = None,
) -> None:
    """Take the alias from its holder; look again when somebody else moved it meanwhile."""
    for attempt in range(_ATTEMPTS):
        holder = registry.by_alias(version.name, alias)
        if holder and unless and unless(holder):
            return
        try:
            registry.move_alias(version.name, alias, version.version, holder.version if holder else None)
            return
        except ConflictError:
            if attempt == _ATTEMPTS - 1:
                raise


def _is_better(holder: RegisteredVersion, version: RegisteredVersion, case: UseCase) -> bool:
    return not supersedes(_standing(version, case), _standing(holder, case))


def _standing(version: RegisteredVersion, case: UseCase) -> Standing:
    metrics = json.loads(version.tags.get("serin.metrics", "{}"))
    return Standing(
        version.version, version.tags.get("serin.as_of", ""), metrics.get(case.training.primary_metric, 0.0)
    )


def _tags(manifest: Manifest, case: UseCase, passed: bool) -> dict[str, str]:
    tags: dict[str, Any] = {
        "serin.as_of": manifest.as_of,
        "serin.candidate": manifest.candidate,
        "serin.code_revision": code_revision(),
        "serin.data_snapshot": manifest.data_snapshot,
        "serin.feature_service": manifest.feature_service,
        "serin.gate": "passed" if passed else "failed",
        "serin.metrics": json.dumps({name: round(value, 6) for name, value in manifest.metrics.items()}),
        "serin.use_case": case.name,
    }
    return tags
