"""The train step: one candidate, from the training set to a sealed model artifact."""

from pathlib import Path
from typing import Any

import pandas as pd

from components.evaluate.metrics import ranking_metrics
from components.features.training_set import SPLIT
from components.train import estimators
from components.train.logic import encode, reference_rows, train
from serin.artifact import REFERENCE, Manifest, RequestColumn, seal
from serin.atomic import replaced
from serin.engine import load
from serin.use_case import UseCase


def train_candidate(
    frame: pd.DataFrame, case: UseCase, candidate: str, folder: Path, snapshot: str, as_of: str
) -> Manifest:
    """Train `candidate` and write its artifact to `folder`; the manifest's metrics are those on validation."""
    trained = train(frame, case, candidate)
    engine = estimators.ENGINES[candidate]
    metrics = ranking_metrics(trained.validation_labels, trained.validation_scores)
    manifest = Manifest(
        use_case=case.name,
        model_name=case.model_name,
        candidate=candidate,
        engine=engine,
        feature_service=case.features.service,
        entities=tuple(_request_column(case, column) for column in case.entities.values()),
        request=tuple(_request_column(case, column) for column in case.features.request),
        calendar=case.features.calendar,
        timestamp=case.timestamp,
        inputs=trained.inputs,
        threshold=trained.threshold,
        metrics={f"validation_{name}": value for name, value in metrics.items()},
        data_snapshot=snapshot,
        as_of=as_of,
    )
    with replaced(folder) as temporary:
        temporary.mkdir(parents=True)
        estimators.save(trained.estimator, engine, temporary)
        seal(temporary, manifest)
        # The scores come from the saved file: what the predictor will load and check itself against.
        _, scorer = load(temporary)
        test = frame[frame[SPLIT] == "test"]
        scores = scorer(encode(test, trained.inputs))
        rows = reference_rows(test, trained.inputs, scores, case.training.seed)
        rows.to_parquet(temporary / REFERENCE, index=False)
        return seal(temporary, manifest)


def _request_column(case: UseCase, name: str) -> RequestColumn:
    column = case.data.columns[name]
    rule: dict[str, Any] = column.model_dump(include={"type", "min", "max", "nullable"})
    return RequestColumn(name=name, **rule)
