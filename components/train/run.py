"""The train step: one estimator, from the training set to a sealed model artifact."""

from pathlib import Path

import pandas as pd

from components.train.fitting import reference_rows, train
from serin import engines, estimators
from serin.artifact import REFERENCE, Manifest, RequestColumn, seal
from serin.atomic import replaced
from serin.columns import Column
from serin.learning.encoding import encode
from serin.learning.metrics import ranking_metrics
from serin.learning.split import SPLIT
from serin.use_case import UseCase


def train_estimator(
    frame: pd.DataFrame, case: UseCase, name: str, folder: Path, snapshot: str, as_of: str, service: str
) -> Manifest:
    """Train the estimator `name` and write its artifact to `folder`; the manifest's metrics are those on validation.

    `service` is the feature service that the predictor looks features up in.
    """
    trained = train(frame, case, name)
    engine = engines.known()[estimators.known()[name].engine]
    metrics = ranking_metrics(trained.validation_labels, trained.validation_scores)
    manifest = Manifest(
        use_case=case.name,
        model_name=case.model_name,
        estimator=name,
        engine=engine.name,
        models={engine.name: engine.file},
        feature_service=service,
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
        engine.save(trained.model, temporary / engine.file)
        # The scores come from the saved file: what the predictor will load and check itself against.
        scorer = engine.load(temporary / engine.file)
        test = frame[frame[SPLIT] == "test"]
        scores = scorer(encode(test, trained.inputs))
        rows = reference_rows(test, trained.inputs, scores, case.training.seed)
        rows.to_parquet(temporary / REFERENCE, index=False)
        return seal(temporary, manifest)


def _request_column(case: UseCase, name: str) -> RequestColumn:
    # A request is plain JSON: how the source writes its values does not matter there.
    return RequestColumn(name=name, **case.data.columns[name].model_dump(include=set(Column.model_fields)))
