"""The artifact of a train step: model, manifest, and what later steps read of how it was trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.train.judgement import Judgement
from serin import engines
from serin.artifact import BACKGROUND, REFERENCE, VALIDATION, EventColumns, Manifest, RequestColumn, seal
from serin.atomic import replaced, write_text
from serin.columns import Column
from serin.engines.base import Engine
from serin.learning.encoding import encode
from serin.learning.record import RECORD, Parity, TrainingRecord
from serin.learning.split import SPLIT, known_until, split_rule
from serin.online.plan import OnlinePlan
from serin.schema import InputSchema
from serin.use_case import UseCase

# Writes the model's files into a folder, and gives the file of each engine that can serve it, beside the parity of the
# ONNX file where one was tried.
Save = Callable[[Path], tuple[dict[str, str], Parity | None]]
REFERENCE_ROWS = 5000
BACKGROUND_ROWS = 100
PARITY_ROWS = 2000
FAST_MS = 100.0


@dataclass(frozen=True)
class Origin:
    """Where the rows come from: the events' digest, the time looked from, and the feature service with what a model
    that is trained on them reads online."""

    snapshot: str
    as_of: str
    service: str
    online: OnlinePlan = field(default_factory=OnlinePlan)

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Self:
        """What the features step says of the training set."""
        online = OnlinePlan.model_validate_json(metadata["online"])
        return cls(metadata["snapshot"], metadata["as_of"], metadata["feature_service"], online)


@dataclass(frozen=True)
class Made:
    """What a step made: the manifest, the record, and the rows that validated it (see components.train.fitting)."""

    manifest: Manifest
    record: TrainingRecord
    validation: pd.DataFrame

    @property
    def drawn(self) -> dict[str, float]:
        """What the Kubeflow UI shows: the metrics, and what interruptions cost."""
        cost = {"interruptions": self.record.interruptions, "lost_seconds": self.record.lost_seconds}
        return {**self.manifest.metrics, **cost}

    @property
    def calibrated(self) -> NDArray[np.float64]:
        """The validation scores as they would be served."""
        scores = self.validation["score"].to_numpy()
        return self.manifest.calibration.apply(scores) if self.manifest.calibration else scores


def sealed(
    folder: Path,
    manifest: Manifest,
    record: TrainingRecord,
    validation: pd.DataFrame,
    frame: pd.DataFrame,
    known: NDArray[np.int64],
    save: Save,
    seed: int,
) -> Made:
    """Write the artifact to `folder`; `known` are the places, in the training set `frame`, that the model has seen."""
    with replaced(folder) as temporary:
        temporary.mkdir(parents=True)
        models, parity = save(temporary)
        manifest = manifest.model_copy(update={"models": models})
        record = record.model_copy(update={"parity": parity})
        # The scores come from the saved file: what the predictor will load and check itself against.
        scorer = engines.known()[manifest.engine].load(temporary / models[manifest.engine])
        test = frame[frame[SPLIT] == "test"]
        scores = engines.calibrated(scorer, manifest.calibration)(encode(test, manifest.inputs))
        reference_rows(test, manifest.inputs, scores, seed).to_parquet(temporary / REFERENCE, index=False)
        background_rows(frame.iloc[known], manifest.inputs, seed).to_parquet(temporary / BACKGROUND, index=False)
        validation.to_parquet(temporary / VALIDATION, index=False)
        write_text(temporary / RECORD, record.model_dump_json(indent=2) + "\n")
        return Made(seal(temporary, manifest), record, validation)


def manifest_of(
    case: UseCase,
    frame: pd.DataFrame,
    name: str,
    engine: Engine,
    inputs: InputSchema,
    judged: Judgement,
    origin: Origin,
    parameters: Any,
) -> Manifest:
    """The manifest of an estimator's artifact; its metrics are the means over the validation folds."""
    return Manifest(
        use_case=case.name,
        model_name=case.model_name,
        estimator=name,
        engine=engine.name,
        models={engine.name: engine.file},
        feature_service=origin.service,
        entities=tuple(_request_column(case, column) for column in case.entities.values()),
        request=tuple(_request_column(case, column) for column in case.request_columns),
        calendar=case.features.calendar,
        derived=case.features.derived,
        online=origin.online,
        events=_events(case) if case.features.windows else None,
        timestamp=case.timestamp,
        inputs=inputs,
        calibration=judged.calibration,
        threshold=judged.threshold,
        parameters=parameters,
        metrics={f"validation_{metric}": value for metric, value in judged.metrics.items()},
        known_until=known_until(frame, case),
        split=split_rule(case),
        data_snapshot=origin.snapshot,
        as_of=origin.as_of,
    )


def reference_rows(test: pd.DataFrame, inputs: InputSchema, scores: NDArray[np.float64], seed: int) -> pd.DataFrame:
    """What drift is measured against: up to 5,000 rows of the test part, the model's inputs and its scores.

    The test part is the latest that is known when the model is made, so it is closest to what it will see.
    """
    rows = test[list(inputs.names)].assign(score=scores)
    return rows.sample(min(len(rows), REFERENCE_ROWS), random_state=seed).sort_index().reset_index(drop=True)


def wants_onnx(case: UseCase) -> bool:
    """Whether the use case promises answers so fast that the ONNX runtime is worth its while."""
    return case.slo.latency_p95_ms < FAST_MS


def real_rows(frame: pd.DataFrame, validation: pd.DataFrame, inputs: InputSchema, seed: int) -> NDArray[np.float32]:
    """Up to 2,000 of the validation rows, encoded: what an ONNX model is compared on."""
    rows = frame.iloc[validation["place"].to_numpy()]
    return encode(rows.sample(min(len(rows), PARITY_ROWS), random_state=seed), inputs)


def _request_column(case: UseCase, name: str) -> RequestColumn:
    # A request is plain JSON: how the source writes its values does not matter there.
    return RequestColumn(name=name, **case.data.columns[name].model_dump(include=set(Column.model_fields)))


def _events(case: UseCase) -> EventColumns:
    columns = tuple(_request_column(case, column) for column in case.data.columns)
    return EventColumns(columns=columns, key=case.data.key, label=case.label.column)


def background_rows(known: pd.DataFrame, inputs: InputSchema, seed: int) -> pd.DataFrame:
    """What explanations are measured against: up to 100 rows of those that the model was fitted on."""
    rows = known[list(inputs.names)]
    return rows.sample(min(len(rows), BACKGROUND_ROWS), random_state=seed).sort_index().reset_index(drop=True)
