"""Training one estimator: inputs, fit, decision threshold, reference rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin import estimators
from serin.estimators.base import Model
from serin.learning.encoding import encode, labels
from serin.learning.split import SPLIT
from serin.schema import MAX_CATEGORIES, InputColumn, InputSchema
from serin.use_case import UseCase

REFERENCE_ROWS = 5000


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator: what it was judged on, and the model refitted on all that precedes the test part."""

    model: Model
    inputs: InputSchema
    threshold: float
    validation_labels: NDArray[np.int8]
    validation_scores: NDArray[np.float64]


def train(frame: pd.DataFrame, case: UseCase, name: str) -> Fitted:
    """Fit on `fit`, judge and choose the threshold on `validation`, then refit on all that precedes the test part.

    `frame` is a training set (see components.features.training_set). The test part is not looked at.
    """
    fit, validation = frame[frame[SPLIT] == "fit"], frame[frame[SPLIT] == "validation"]
    known = frame[frame[SPLIT] != "test"]
    inputs = input_schema(known, case)
    estimator, seed = estimators.known()[name], case.training.seed
    parameters = estimator.settings(case.training.estimators[name])
    judged = estimator.make(parameters, inputs, seed)
    judged.fit(encode(fit, inputs), labels(fit, case))
    scores = judged.predict_proba(encode(validation, inputs))[:, 1].astype(np.float64)
    truth = labels(validation, case)
    final = estimator.make(parameters, inputs, seed)
    final.fit(encode(known, inputs), labels(known, case))
    return Fitted(final, inputs, best_threshold(truth, scores), truth, scores)


def input_schema(frame: pd.DataFrame, case: UseCase) -> InputSchema:
    """The model's inputs: text columns are categories (the most frequent ones), all others numbers."""
    return InputSchema(columns=tuple(_input_column(frame[name], name, case) for name in case.feature_names))


def _input_column(values: "pd.Series[Any]", name: str, case: UseCase) -> InputColumn:
    if name not in case.data.columns or case.data.columns[name].type != "text":
        return InputColumn(name=name)
    counts = values.dropna().astype(str).value_counts()
    return InputColumn(name=name, kind="category", categories=tuple(sorted(counts.index[:MAX_CATEGORIES])))


def best_threshold(truth: NDArray[np.int8], scores: NDArray[np.float64]) -> float:
    """The score from which on a row counts as positive: where F1 on these rows is highest."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(truth, scores)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return float(thresholds[int(np.argmax(f1[:-1]))])


def reference_rows(test: pd.DataFrame, inputs: InputSchema, scores: NDArray[np.float64], seed: int) -> pd.DataFrame:
    """What drift is measured against: up to 5,000 rows of the test part, the model's inputs and its scores.

    The test part is the latest that is known when the model is made, so it is closest to what it will see.
    """
    rows = test[list(inputs.names)].assign(score=scores)
    return rows.sample(min(len(rows), REFERENCE_ROWS), random_state=seed).sort_index().reset_index(drop=True)
