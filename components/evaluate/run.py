"""The evaluate step: choose the candidate, hold it against the champion, seal what was found."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluate.comparison import Scored, best, evaluate
from components.evaluate.gate import GateResult, Incomparable, judge
from serin.aliases import CHAMPION
from serin.artifact import Manifest, seal, verify
from serin.atomic import replaced
from serin.engines import load
from serin.errors import ArtifactError, NotFoundError
from serin.learning.encoding import labels
from serin.learning.split import SPLIT
from serin.platform import Platform
from serin.times import parse_time
from serin.use_case import UseCase


@dataclass(frozen=True)
class Evaluation:
    """What the step found; `labels` has shape (test rows,)."""

    manifest: Manifest
    validation: dict[str, dict[str, float]]
    labels: NDArray[np.int8]
    candidate: Scored
    champion: Scored | None
    verdict: GateResult


def evaluate_models(
    platform: Platform, case: UseCase, frame: pd.DataFrame, models: Sequence[Path], winner: Path
) -> Evaluation:
    """Evaluate on the test part of the training set `frame` and write the candidate's artifact to `winner`.

    `models` are artifact folders of the train step, of which the candidate is the best on validation. Its manifest
    gets the test metrics.
    """
    folders = {verify(folder).estimator: folder for folder in models}
    validation = {name: _validation_metrics(verify(folder)) for name, folder in folders.items()}
    chosen = best({name: metrics[case.training.primary_metric] for name, metrics in validation.items()})
    test = frame[frame[SPLIT] == "test"].reset_index(drop=True)
    manifest, scorer = load(folders[chosen])
    candidate = evaluate(chosen, test, manifest, scorer, case)
    champion = _champion(platform, case, test, manifest.as_of)
    compared = champion if isinstance(champion, Scored) else None
    verdict = judge(candidate.metrics, champion.metrics if isinstance(champion, Scored) else champion, case)
    with replaced(winner) as temporary:
        shutil.copytree(folders[chosen], temporary)
        sealed = seal(temporary, manifest.model_copy(update={"metrics": manifest.metrics | candidate.metrics}))
    return Evaluation(sealed, validation, labels(test, case), candidate, compared, verdict)


def _champion(platform: Platform, case: UseCase, test: pd.DataFrame, as_of: str) -> Scored | Incomparable | None:
    """The champion on the test rows, or why it can't be compared; None where there is no champion."""
    version = platform.registry.by_alias(case.model_name, CHAMPION)
    if version is None:
        return None
    title = f"champion v{version.version}"
    try:
        with tempfile.TemporaryDirectory() as folder:
            manifest, scorer = load(platform.registry.fetch(version, Path(folder) / "model"))
    except (NotFoundError, ArtifactError) as error:
        return Incomparable(f"{title} is lost, and counts as none: {error}", lost=True)
    if case.timestamp and parse_time(manifest.as_of) > parse_time(as_of):
        return Incomparable(
            f"{title} can't be compared: it was trained as of {manifest.as_of[:16]} and has seen the rows that are "
            f"held back as of {as_of[:16]}"
        )
    if lacking := [name for name in manifest.inputs.names if name not in test]:
        return Incomparable(
            f"{title} can't be compared: it needs {', '.join(lacking)}, which the use case no longer declares"
        )
    return evaluate(title, test, manifest, scorer, case)


def _validation_metrics(manifest: Manifest) -> dict[str, float]:
    start = "validation_"
    return {name.removeprefix(start): value for name, value in manifest.metrics.items() if name.startswith(start)}
