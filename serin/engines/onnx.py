"""ONNX, scored by ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin.engines.base import Engine, Scorer
from serin.errors import ArtifactError, first_line

# What a converted model is fed and gives: (n, columns) float32, and (n, 2) float64, the probabilities of both classes.
INPUT, OUTPUT = "inputs", "probabilities"


class Onnx(Engine):
    """A model that passed the parity gate (see components.train.conversion)."""

    name = "onnx"
    file = "model.onnx"

    def save(self, model: Any, path: Path) -> None:
        """Write a model's bytes."""
        path.write_bytes(model)

    def load(self, path: Path) -> Scorer:
        """See Engine."""
        return scorer(path.read_bytes(), str(path))


def scorer(model: bytes, name: str) -> Scorer:
    """Score with a model that is called `name` in errors. Raises ArtifactError: ONNX Runtime can't take it."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as refusals

    options = onnxruntime.SessionOptions()
    # Requests are spread over threads already; a second level of them only makes both wait.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except (refusals.Fail, refusals.InvalidArgument, refusals.InvalidGraph, refusals.InvalidProtobuf,
            refusals.NotImplemented, refusals.RuntimeException) as error:  # fmt: skip
        raise ArtifactError(f"{name} can't be read: {first_line(error)}") from None

    def score(inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        (probabilities,) = session.run([OUTPUT], {INPUT: inputs})
        return np.asarray(probabilities[:, 1], dtype=np.float64)

    return score
