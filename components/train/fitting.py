"""Fitting one estimator: its parameters, what it is judged by, and the model of all known rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.train.memory import Memory
from components.train.search import Found, search
from serin import estimators
from serin.estimators.base import Estimator, Model, Parts, Rows
from serin.learning.encoding import encode, input_schema, labels
from serin.learning.sampling import sample
from serin.learning.split import Fold, folds, known_rows
from serin.progress import say
from serin.schema import InputSchema
from serin.use_case import UseCase

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator.

    `validation` has what the estimator says of rows that it was not fitted on: place (of the row in the training set),
    fold, label and raw score. `model` is fitted on the rows at the places `known`. `parameters` are the better ones of
    what the search found.
    """

    model: Model
    inputs: InputSchema
    parameters: dict[str, Any]
    found: Found
    validation: pd.DataFrame
    known: NDArray[np.int64]


@dataclass(frozen=True)
class Work:
    """What the fits of one estimator have in common; X and y are of all rows of the training set.

    `estimator` searches and is fitted on samples, `full` on all rows of a part.
    """

    name: str
    estimator: Estimator
    full: Estimator
    inputs: InputSchema
    X: NDArray[np.float32]
    y: NDArray[np.int8]
    seed: int
    device: Device
    threads: int

    def rows(self, places: NDArray[np.int64], weight: NDArray[np.float32] | None = None) -> Rows:
        """The rows at these places."""
        return Rows(self.X[places], self.y[places], weight)

    def fit(self, rows: Rows, parameters: dict[str, Any], parts: Parts) -> Model:
        """A model of a sample."""
        return self._fitted(self.estimator, rows, parameters, parts)

    def fit_all(self, rows: Rows, parameters: dict[str, Any], parts: Parts) -> Model:
        """A model of all the rows of a part."""
        return self._fitted(self.full, rows, parameters, parts)

    def _fitted(self, estimator: Estimator, rows: Rows, parameters: dict[str, Any], parts: Parts) -> Model:
        return estimator.fit(
            rows, parameters, self.inputs, self.seed, parts=parts, device=self.device, threads=self.threads
        )

    def scores(self, model: Model, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """The raw scores of the rows at these places."""
        return model.predict_proba(self.X[places])[:, 1].astype(np.float64)


def train(
    frame: pd.DataFrame, case: UseCase, name: str, memory: Memory, threads: int = 1, full: Estimator | None = None
) -> Fitted:
    """Search parameters on samples of the folds, score every fold with them, then fit all that precedes the test part.

    `frame` is a training set (see components.features.training_set). The test part is not looked at. `full` is who
    fits on all rows of a fold, and all known rows, where that is not the estimator itself. Whatever was remembered is
    not done again. Raises what `memory` and the fits raise.
    """
    known = known_rows(frame, case)
    inputs = input_schema(frame.iloc[known], case)
    device: Device = "cuda" if case.training.pool_of(name).kind == "gpu" else "cpu"
    work = Work(
        name=name,
        estimator=estimators.known()[name],
        full=full or estimators.known()[name],
        inputs=inputs,
        X=encode(frame, inputs),
        y=labels(frame, case),
        seed=case.training.seed,
        device=device,
        threads=threads,
    )
    parts = tuple(folds(frame, case))
    found = _searched(work, parts, case, memory)
    parameters, validation = _better(work, parts, found, case.training.primary_metric, memory)
    say(f"{name}: fits all {len(known):,} known rows")
    model = work.fit_all(work.rows(known), parameters, memory.parts("final", f"{name}, final fit"))
    return Fitted(model, inputs, parameters, found, validation, known)


def _sampled(work: Work, places: NDArray[np.int64], number: int, case: UseCase) -> Rows:
    """The rows at these places, or as many of them as a search is content with."""
    chosen = sample(work.y[places], case.training.search.rows, case.training.seed + number)
    return work.rows(places[chosen.places], chosen.weight)


def _value(
    metric: str, truth: NDArray[np.int8], scores: NDArray[np.float64], weight: NDArray[np.float32] | None
) -> float:
    """The primary metric, of rows that stand for others."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    measure = {"average_precision": average_precision_score, "roc_auc": roc_auc_score}[metric]
    return float(measure(truth, scores, sample_weight=weight))


def _better(
    work: Work, parts: Sequence[Fold], found: Found, metric: str, memory: Memory
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The finalist that does better on the folds when it is fitted on all their rows; the first one on a tie."""
    results = []
    for number, parameters in enumerate(found.finalists, start=1):
        scored = [_scored(work, fold, len(parts), parameters, number, memory) for fold in parts]
        value = float(np.mean([_value(metric, _labels(rows), _scores(rows), None) for rows in scored]))
        say(f"{work.name}: {metric} {value:.4f} on the folds, with {_words(parameters)}")
        results.append((value, parameters, pd.concat(scored, ignore_index=True)))
    _, parameters, validation = max(results, key=lambda result: result[0])
    return parameters, validation


def _words(parameters: dict[str, Any]) -> str:
    texts = (
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in parameters.items()
    )
    return ", ".join(texts) or "the library's defaults"


def _labels(rows: pd.DataFrame) -> NDArray[np.int8]:
    return rows["label"].to_numpy()


def _scores(rows: pd.DataFrame) -> NDArray[np.float64]:
    return rows["score"].to_numpy()


def _searched(work: Work, parts: Sequence[Fold], case: UseCase, memory: Memory) -> Found:
    training = case.training
    fitted = [_sampled(work, fold.fit, fold.number, case) for fold in parts]
    assessed = [_sampled(work, fold.assess, fold.number, case) for fold in parts]
    metric = training.primary_metric

    def assess(parameters: dict[str, Any], number: int, kept: Parts) -> float:
        model, rows = work.fit(fitted[number], {**work.estimator.in_trials, **parameters}, kept), assessed[number]
        return _value(metric, rows.y, model.predict_proba(rows.X)[:, 1], rows.weight)

    return search(
        work.estimator,
        training.estimators[work.name],
        training.search,
        len(parts),
        assess,
        memory,
        seed=training.seed,
        metric=metric,
    )


def _scored(work: Work, fold: Fold, of: int, parameters: dict[str, Any], finalist: int, memory: Memory) -> pd.DataFrame:
    """The rows that a fold assesses, with the scores of a model of all the rows that it may be fitted on."""
    name = f"fold-{fold.number}-{finalist}"
    kept = memory.recall(name)
    if kept is None:
        parts = memory.parts(name, f"{work.name}, fold {fold.number} of {of}")
        scores = work.scores(work.fit_all(work.rows(fold.fit), parameters, parts), fold.assess)
        memory.keep(name, scores.tobytes())
        memory.forget(f"fit-{name}")
        say(f"{work.name}: fold {fold.number} of {of}, fitted on {len(fold.fit):,} rows")
        memory.stop_if_told()
    else:
        scores = np.frombuffer(kept, dtype=np.float64)
    return pd.DataFrame(
        {
            "place": fold.assess,
            "fold": np.int64(fold.number),
            "label": work.y[fold.assess],
            "score": scores,
        }
    )
