"""From an artifact folder to a model that has proved itself.

Nothing is read before its hash is checked, and nothing is served before the model gave the stored scores again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin import engines
from serin.artifact import REFERENCE, Manifest, verify
from serin.engines import Scorer
from serin.engines.crossing import Crossing, in_single, measure
from serin.errors import ArtifactError, RequestError
from serin.storage import read_file

SELF_TEST_ROWS = 64
SELF_TEST_TOLERANCE = 1e-5
# Two engines are timed on these, repeated where more rows are wanted.
MEASURED_ROWS = 512
# Engines that serve few rows where the artifact holds a file of theirs beside the native model's.
_FAST = ("onnx",)
# Engines of trees alone, which compare their inputs and don't calculate with them.
_COMPARING = ("xgboost", "lightgbm")


@dataclass(frozen=True)
class LoadedModel:
    """A verified model. `predict` takes (n, inputs) and gives n probabilities; any thread may call it.

    `engines` tells with which engine, or from how many rows on with which. `folder` is where it was loaded from,
    `reference` the stored rows by column, `crossing` what two engines took by number of rows, where there are two.
    """

    manifest: Manifest
    predict: Scorer
    engines: str = ""
    folder: Path | None = None
    reference: Mapping[str, list[Any]] = field(default_factory=dict, repr=False)
    crossing: Crossing | None = None


def load(folder: Path) -> LoadedModel:
    """Verify the artifact in `folder`, load its model and test it against the stored scores.

    An artifact that holds an ONNX model beside its own is scored by either, whichever is quicker for as many rows as a
    request has; both are tested.

    Raises ArtifactError as `serin.engines.load` does, where scores differ from the stored ones by more than
    SELF_TEST_TOLERANCE, and where the manifest does not say how all features are read online.
    """
    manifest = verify(folder)
    _check_plan(folder, manifest)
    names = [manifest.engine, *(name for name in manifest.models if name in _FAST and name != manifest.engine)]
    scorers = {name: engines.scorer_of(folder, manifest, name) for name in names}
    reference = _reference(folder, manifest)
    inputs, expected = manifest.inputs.encode(reference), np.asarray(reference["score"], dtype=np.float64)
    for name, scorer in scorers.items():
        _self_test(folder, name, scorer, inputs[:SELF_TEST_ROWS], expected[:SELF_TEST_ROWS])
    if len(scorers) == 1:
        only = _blaming_the_request(scorers[manifest.engine])
        return LoadedModel(manifest, only, manifest.engine, folder, reference)
    native, fast = names
    if native not in _COMPARING:
        scorers[fast] = in_single(scorers[fast], scorers[native])
    found = measure(scorers[fast], scorers[native], inputs)
    chosen = _blaming_the_request(found.scorer(scorers[fast], scorers[native]))
    return LoadedModel(manifest, chosen, found.told(fast, native), folder, reference, found)


def _check_plan(folder: Path, manifest: Manifest) -> None:
    """A model that was trained before windows were exact would be given other features than it was trained with."""
    if missing := manifest.unplanned:
        names = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise ArtifactError(
            f"{folder} is an artifact of format {manifest.format} that does not say how {names} are read online: "
            f"features are computed at the event's own time from format 4 on. Train again: `serin train "
            f"{manifest.use_case}`"
        )


def _blaming_the_request(scorer: Scorer) -> Scorer:
    """After the self-test it is a row's values that an estimator refuses, such as one beyond float32."""

    def predict(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        try:
            return scorer(matrix)
        except ValueError as error:
            raise RequestError(f"the model can't score these rows: {error}") from None

    return predict


def _reference(folder: Path, manifest: Manifest) -> dict[str, list[Any]]:
    """The inputs of the stored rows, and their scores, by column."""
    path = folder / REFERENCE
    if REFERENCE not in manifest.files:
        raise ArtifactError(f"{folder} holds no {REFERENCE}; the self-test needs its rows")
    wanted = [*manifest.inputs.names, "score"]
    table = read_file(str(path), wanted).slice(0, MEASURED_ROWS)
    if missing := [name for name in wanted if name not in table.column_names]:
        raise ArtifactError(f"{path} lacks {', '.join(missing)}; the self-test needs them")
    if table.num_rows == 0:
        raise ArtifactError(f"{path} holds no row; the self-test needs one")
    data: dict[str, list[Any]] = table.to_pydict()
    return data


def _self_test(
    folder: Path, engine: str, predict: Scorer, inputs: NDArray[np.float32], expected: NDArray[np.float64]
) -> None:
    scores = predict(inputs)
    if scores.shape != expected.shape:
        raise ArtifactError(f"{folder}: the model gave scores of shape {scores.shape}, allowed: {expected.shape}")
    worst = float(np.max(np.abs(scores - expected)))
    # Written so that NaN fails too.
    if not worst <= SELF_TEST_TOLERANCE:
        raise ArtifactError(
            f"{folder}: the model's scores differ from the stored ones by {worst:.2g}, "
            f"allowed: {SELF_TEST_TOLERANCE:g}; engine {engine} would not serve what was evaluated"
        )
