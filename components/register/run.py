"""The register step: a new version in MLflow, and the aliases that it may take."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serin.artifact import Manifest, verify
from serin.platform import Platform
from serin.revision import code_revision
from serin.use_case import UseCase

RUN_TAG = "serin.run"


@dataclass(frozen=True)
class Registered:
    """The version and the aliases that it took."""

    version: int
    aliases: tuple[str, ...]


def register(
    platform: Platform, case: UseCase, folder: Path, passed: bool, reports: Mapping[str, str], run_id: str
) -> Registered:
    """Register the artifact in `folder` and give it the aliases that it may take; see `Aliases.enter`.

    `run_id` is the run of the pipeline, by which its result is found again.
    """
    manifest = verify(folder)
    params = case.training.estimators.get(manifest.estimator, {})
    tags = _tags(manifest, case, passed) | ({RUN_TAG: run_id} if run_id else {})
    version = platform.registry.register(folder, manifest, params, tags, reports)
    metric = case.training.primary_metric if passed else None
    return Registered(version.version, platform.aliases(case.model_name).enter(version, metric))


def _tags(manifest: Manifest, case: UseCase, passed: bool) -> dict[str, str]:
    return {
        "serin.as_of": manifest.as_of,
        "serin.code_revision": code_revision(),
        "serin.data_snapshot": manifest.data_snapshot,
        "serin.estimator": manifest.estimator,
        "serin.feature_service": manifest.feature_service,
        "serin.gate": "passed" if passed else "failed",
        "serin.metrics": json.dumps({name: round(value, 6) for name, value in manifest.metrics.items()}),
        "serin.use_case": case.name,
    }
