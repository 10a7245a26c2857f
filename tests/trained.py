"""What the train step leaves behind, made by hand in a moment: artifacts with records, as the evaluation reads them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serin import engines, estimators
from serin.artifact import BACKGROUND, REFERENCE, VALIDATION, Manifest, seal, verify
from serin.engines.stack import Member, StackModel
from serin.estimators.base import Rows, Unkept
from serin.learning.encoding import encode, labels
from serin.learning.metrics import ranking_metrics
from serin.learning.record import RECORD, FoldResult, TrainingRecord, Trial
from serin.learning.split import EVENT_TIME, Periods, folds, known_rows, known_until, split_by_time
from serin.schema import InputColumn, InputSchema
from serin.times import parse_time
from serin.use_case import UseCase
from tests.factories import make_case

AS_OF = "2026-03-01T00:00:00+00:00"
COLUMNS = {"id": "integer", "at": "timestamp", "x": "number", "z": "number", "kind": "text", "y": "integer"}
SMALL: Mapping[str, Mapping[str, Any]] = {
    "xgboost": {"n_estimators": 20, "max_depth": 3},
    "logistic_regression": {},
    "random_forest": {"n_estimators": 10, "max_depth": 5},
    "lightgbm": {"n_estimators": 20, "num_leaves": 7},
    "stacking": {},
}
POOR: Mapping[str, Any] = {"n_estimators": 1, "max_depth": 1, "learning_rate": 0.01}


def case_of(*names: str, inputs: Sequence[str] = ("x", "z", "kind"), **parts: Any) -> UseCase:
    """A use case with event times that trains these estimators; `parts` replace sections, and add to `training`."""
    training = {"estimators": {name: {} for name in names or ("xgboost",)}, "test": "7d", "validation": "7d"}
    given = {**training, **parts.pop("training", {})}
    return make_case(COLUMNS, request=inputs, timestamp="at", training=given, **parts)


def frame_of(case: UseCase, rows: int = 1500, *, seed: int = 0, noise: float = 0.5) -> pd.DataFrame:
    """A training set of `rows` rows in 50 days before AS_OF, of which some two in five are positive."""
    random = np.random.default_rng(seed)
    x, z = random.normal(size=rows), random.normal(size=rows)
    kind = random.choice(["a", "b", "c"], rows)
    risk = x + 0.5 * z + (kind == "b") * 0.8 + random.normal(scale=noise, size=rows)
    times = pd.date_range("2026-01-10", "2026-02-28 23:00", periods=rows, tz="UTC").to_series(index=range(rows))
    frame = pd.DataFrame({"id": np.arange(rows) % 200, "at": times, "x": x, "z": z, "kind": kind})
    frame["y"] = (risk > 0.8).astype(int)
    frame[EVENT_TIME] = times
    week = case.training.test
    assert week != "auto"
    return pd.concat([frame, split_by_time(times, case, parse_time(AS_OF), Periods(week, week))], axis=1)


def train(
    folder: Path,
    case: UseCase,
    frame: pd.DataFrame,
    name: str = "xgboost",
    *,
    as_of: str = AS_OF,
    parameters: Mapping[str, Any] | None = None,
    **record: Any,
) -> Path:
    """Fit an estimator fold by fold and on all that is known, and seal what the train step would; its folder."""
    folder.mkdir(parents=True)
    estimator, inputs = estimators.known()[name], _inputs(frame, case)
    settings = estimator.settings(SMALL[name] if parameters is None else parameters)
    engine = engines.known()[estimator.engine]

    def fitted(places: Any) -> Any:
        rows = frame.iloc[places]
        return estimator.fit(Rows(encode(rows, inputs), labels(rows, case)), settings, inputs, 0, parts=Unkept())

    scored = [(fold, fitted(fold.fit).predict_proba(encode(frame.iloc[fold.assess], inputs))[:, 1])
              for fold in folds(frame, case)]  # fmt: skip
    known = known_rows(frame, case)
    engine.save(fitted(known), folder / engine.file)
    validation = pd.concat([_assessed(frame, case, fold, scores) for fold, scores in scored])
    return _sealed(folder, case, frame, name, validation, settings, as_of, inputs, record)


def stack(folder: Path, case: UseCase, frame: pd.DataFrame, members: Sequence[Path], *, as_of: str = AS_OF) -> Path:
    """A stack that gives each of its members the same weight, assessed on all folds but the first."""
    folder.mkdir(parents=True)
    made, tables = [], []
    for member in members:
        manifest = verify(member)
        file = f"{manifest.estimator}-{manifest.models[manifest.engine]}"
        (folder / file).write_bytes((member / manifest.models[manifest.engine]).read_bytes())
        made.append(Member(estimator=manifest.estimator, engine=manifest.engine, file=file))
        tables.append(pd.read_parquet(member / VALIDATION))
    model = StackModel(members=tuple(made), coefficients=(1.2 / len(made),) * len(made), intercept=0.0)
    engines.known()["stack"].save(model, folder / "stack.json")
    table = tables[0].assign(score=model.combine(np.stack([each["score"].to_numpy() for each in tables], axis=1)))
    validation = table[table["fold"] > 1]
    return _sealed(folder, case, frame, "stacking", validation, {"C": 1.0}, as_of, _inputs(frame, case), {})


def _inputs(frame: pd.DataFrame, case: UseCase) -> InputSchema:
    text = {name for name in case.feature_names if case.data.columns[name].type == "text"}
    return InputSchema(
        columns=tuple(
            InputColumn(name=name, kind="category", categories=tuple(sorted(frame[name].dropna().unique())))
            if name in text
            else InputColumn(name=name)
            for name in case.feature_names
        )
    )


def _assessed(frame: pd.DataFrame, case: UseCase, fold: Any, scores: Any) -> pd.DataFrame:
    truth = labels(frame.iloc[fold.assess], case)
    return pd.DataFrame(
        {"place": fold.assess, "fold": np.int64(fold.number), "label": truth, "score": scores.astype(np.float64)}
    )


def _sealed(
    folder: Path,
    case: UseCase,
    frame: pd.DataFrame,
    name: str,
    validation: pd.DataFrame,
    settings: Mapping[str, Any],
    as_of: str,
    inputs: InputSchema,
    record: Mapping[str, Any],
) -> Path:
    engine = engines.known()[estimators.known()[name].engine]
    known = frame.iloc[known_rows(frame, case)]
    columns = [*inputs.names]
    known[columns].head(50).to_parquet(folder / BACKGROUND, index=False)
    scores = engine.load(folder / engine.file)(encode(known.head(64), inputs))
    known.head(64)[columns].assign(score=scores).to_parquet(folder / REFERENCE, index=False)
    validation.to_parquet(folder / VALIDATION, index=False)
    told = TrainingRecord(
        estimator=name,
        seed=0,
        parameters=dict(settings),
        folds=tuple(_fold(number, table) for number, table in validation.groupby("fold")),
        known_rows=len(known),
        known_positives=int(known["y"].sum()),
        **record,
    )
    (folder / RECORD).write_text(told.model_dump_json(), encoding="utf-8")
    seal(
        folder,
        Manifest(
            use_case=case.name,
            model_name=case.model_name,
            estimator=name,
            engine=engine.name,
            models={engine.name: engine.file},
            feature_service=case.features.service,
            entities=(),
            timestamp="at",
            inputs=inputs,
            threshold=0.4,
            parameters=dict(settings),
            known_until=known_until(frame, case),
            data_snapshot="snapshot",
            as_of=as_of,
        ),
    )
    return folder


def _fold(number: Any, table: pd.DataFrame) -> FoldResult:
    truth = table["label"].to_numpy(np.int8)
    return FoldResult(
        number=int(number), start=f"2026-02-{number:02}", end=f"2026-02-{number + 7:02}", fit_rows=500,
        rows=len(table), positives=int(truth.sum()), metrics=ranking_metrics(truth, table["score"].to_numpy()),
    )  # fmt: skip


def trials(*values: float | None) -> tuple[Trial, ...]:
    """A search that came to these values; None was pruned."""
    return tuple(
        Trial(number=n, parameters={"max_depth": 3}, value=v, state="pruned" if v is None else "complete", seconds=0.5)
        for n, v in enumerate(values)
    )
