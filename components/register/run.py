"""The register step: a new version in MLflow, and the aliases that it may take."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serin.artifact import Manifest, verify
from serin.environment import image
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
    platform: Platform,
    case: UseCase,
    folder: Path,
    gate: str,
    reports: Mapping[str, str],
    run_id: str,
    *,
    against: int | None = None,
    facts: Mapping[str, float] | None = None,
) -> Registered:
    """Register the artifact in `folder` and give it the aliases that it may take; see `Aliases.enter`.

    `gate` is the gate's answer, against the champion of version `against` (0: there was none; None: it is not known);
    only a version that `passed` becomes challenger. `run_id` is the run of the pipeline, by which its result is found
    again, and `facts` are metrics that only this run knows: the artifact is the same for any training to the same end.
    """
    manifest = verify(folder)
    tags = _tags(manifest, case, gate, facts or {}) | ({RUN_TAG: run_id} if run_id else {})
    version = platform.registry.register(folder, manifest, manifest.parameters, tags, reports, facts)
    metric = case.training.primary_metric if gate == "passed" else None
    return Registered(version.version, platform.aliases(case.model_name).enter(version, metric, against))


def _tags(manifest: Manifest, case: UseCase, gate: str, facts: Mapping[str, float]) -> dict[str, str]:
    return {
        "serin.as_of": manifest.as_of,
        "serin.code_revision": code_revision(),
        "serin.data_snapshot": manifest.data_snapshot,
        "serin.estimator": manifest.estimator,
        "serin.feature_service": manifest.feature_service,
        "serin.gate": gate,
        "serin.image": image(),
        "serin.metrics": json.dumps({name: round(value, 6) for name, value in manifest.metrics.items()}),
        "serin.seed": str(case.training.seed),
        "serin.use_case": case.name,
        **{f"serin.{name}": f"{value:g}" for name, value in facts.items()},
    }
