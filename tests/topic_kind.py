"""The topic of a text: TF-IDF and a logistic regression, in ONNX."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import onnxruntime

from predictors.requests.schema import RequestSchema
from predictors.scoring.kind import Answered, Kind, Output
from serin.artifact import RequestColumn


class Topic(Kind):
    """Tells the topic of a text, and how sure it is."""

    outputs = (Output("topic", "BYTES"), Output("score", "FP64"))
    schema = RequestSchema.of_columns([RequestColumn(name="text", type="text")])
    logged: ClassVar = {"text": "text", "topic": "text", "score": "number"}

    def __init__(self, folder: Path) -> None:
        self._session = onnxruntime.InferenceSession(folder / "model.onnx")

    def answer(self, rows, found, now) -> Answered:
        texts = rows.columns["text"]
        topics, scores = self._session.run(None, {"text": np.array(texts, dtype=object).reshape(-1, 1)})
        outputs = {"topic": topics.tolist(), "score": scores.max(axis=1).tolist()}
        return Answered(rows, outputs, {"text": texts, **outputs})
