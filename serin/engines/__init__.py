"""Engines: from a model file to a function that scores, one file each; adding one is adding a file.

Evaluation and the predictor score with these, so an offline score is the score served.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from serin.artifact import Manifest, verify
from serin.calibration import Calibration
from serin.engines.base import Engine, Scorer
from serin.errors import ArtifactError
from serin.plugins import kinds

__all__ = ["Engine", "Scorer", "calibrated", "known", "load", "scorer_of"]


@cache
def known() -> Mapping[str, Engine]:
    """Every engine by its name."""
    return {kind.name: kind() for kind in kinds(__name__, __path__, Engine)}  # type: ignore[type-abstract]


def load(folder: Path, engine: str | None = None) -> tuple[Manifest, Scorer]:
    """Verify the artifact in `folder`, then load its model, of `engine` or of the one that the manifest prefers.

    The scorer gives what is served: where the manifest has a calibration, it is applied to what the engine gives.

    Raises ArtifactError: an incomplete or changed artifact, an engine that it has no file of or that is not known
    here, or a model that can't be read or holds types that are not allowed.
    """
    manifest = verify(folder)
    return manifest, scorer_of(folder, manifest, engine or manifest.engine)


def scorer_of(folder: Path, manifest: Manifest, name: str) -> Scorer:
    """The scorer of the engine `name`, of an artifact that was verified; see `load`."""
    if name not in manifest.models or name not in known():
        raise ArtifactError(
            f"{folder}: no model of engine {name}; the artifact holds {', '.join(manifest.models)}, "
            f"known here: {', '.join(known())}"
        )
    return calibrated(known()[name].load(folder / manifest.models[name]), manifest.calibration)


def calibrated(scorer: Scorer, calibration: Calibration | None) -> Scorer:
    """What a scorer gives, as probabilities."""
    return (lambda inputs: calibration.apply(scorer(inputs))) if calibration else scorer
