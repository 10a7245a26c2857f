"""From an artifact folder to a model that has proved itself.

Nothing is read before its hash is checked, and nothing is served before the model gave the stored scores again.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serin import engines
from serin.artifact import REFERENCE, Manifest
from serin.engines import Scorer
from serin.errors import ArtifactError, RequestError
from serin.storage import read_file

SELF_TEST_ROWS = 64
SELF_TEST_TOLERANCE = 1e-5


@dataclass(frozen=True)
class LoadedModel:
    """A verified model. `predict` takes (n, inputs) and gives n probabilities; any thread may call it."""

    manifest: Manifest
    predict: Scorer


def load(folder: Path) -> LoadedModel:
    """Verify the artifact in `folder`, load its model and test it against the stored scores.

    Raises ArtifactError as `serin.engines.load` does, and where scores differ from the stored ones by more than
    SELF_TEST_TOLERANCE.
    """
    manifest, scorer = engines.load(folder)
    _self_test(folder, manifest, scorer)
    return LoadedModel(manifest, _blaming_the_request(scorer))


def _blaming_the_request(scorer: Scorer) -> Scorer:
    """After the self-test it is a row's values that an estimator refuses, such as one beyond float32."""

    def predict(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        try:
            return scorer(matrix)
        except ValueError as error:
            raise RequestError(f"the model can't score these rows: {error}") from None

    return predict


def _self_test(folder: Path, manifest: Manifest, predict: Scorer) -> None:
    path = folder / REFERENCE
    if REFERENCE not in manifest.files:
        raise ArtifactError(f"{folder} holds no {REFERENCE}; the self-test needs its rows")
    wanted = [*manifest.inputs.names, "score"]
    table = read_file(str(path), wanted).slice(0, SELF_TEST_ROWS)
    if missing := [name for name in wanted if name not in table.column_names]:
        raise ArtifactError(f"{path} lacks {', '.join(missing)}; the self-test needs them")
    if table.num_rows == 0:
        raise ArtifactError(f"{path} holds no row; the self-test needs one")
    data = table.to_pydict()
    expected = np.asarray(data["score"], dtype=np.float64)
    scores = predict(manifest.inputs.encode(data))
    if scores.shape != expected.shape:
        raise ArtifactError(f"{folder}: the model gave scores of shape {scores.shape}, allowed: {expected.shape}")
    worst = float(np.max(np.abs(scores - expected)))
    # Written so that NaN fails too.
    if not worst <= SELF_TEST_TOLERANCE:
        raise ArtifactError(
            f"{folder}: the model's scores differ from the stored ones by {worst:.2g}, "
            f"allowed: {SELF_TEST_TOLERANCE:g}; it would not serve what was evaluated"
        )
