"""What all references share: the model's ONNX file in a session of one thread, and an answer of Serin's shape.

BENCH_FOLDER names the folder with `model.onnx` and `columns.json`, the model's columns in order.
"""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime

NAME, VERSION, THRESHOLD = "card-fraud", "12", 0.5
FOLDER = Path(os.environ["BENCH_FOLDER"])
COLUMNS = json.loads((FOLDER / "columns.json").read_text())


class Model:
    """Scores rows: probabilities of the second class."""

    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = str(FOLDER / "model.onnx")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def scores(self, matrix):
        """Of a matrix of shape (n, columns); a list of n."""
        (probabilities,) = self._session.run(["probabilities"], {"inputs": matrix})
        return probabilities[:, 1].tolist()

    def of_rows(self, rows):
        """Of a list of n objects, as in V1."""
        return self.scores(np.array([[row[name] for name in COLUMNS] for row in rows], dtype=np.float32))

    def of_columns(self, columns):
        """Of n values a column, as in V2."""
        return self.scores(np.stack([np.ravel(columns[name]) for name in COLUMNS], axis=1).astype(np.float32))


def predictions(scores):
    """V1's answer."""
    rows = [{"score": score, "decision": score >= THRESHOLD, "model_version": VERSION} for score in scores]
    return {"predictions": rows}


def outputs(scores):
    """V2's answer: name, datatype and values of each output."""
    return (
        ("score", "FP64", scores),
        ("decision", "BOOL", [score >= THRESHOLD for score in scores]),
        ("model_version", "BYTES", [VERSION] * len(scores)),
    )
