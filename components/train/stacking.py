"""The stack: a logistic regression over what the other estimators said of rows that they had not seen."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.train.conversion import convert_stack
from components.train.judgement import judge
from components.train.sealing import Made, Origin, manifest_of, real_rows, sealed, wants_onnx
from serin import engines, estimators
from serin.artifact import VALIDATION, Manifest, verify
from serin.engines.onnx import Onnx
from serin.engines.stack import LEAST, Member, StackModel
from serin.errors import DataError
from serin.estimators.stacking import Stacking, StackingParameters
from serin.learning.encoding import labels
from serin.learning.record import Parity, TrainingRecord
from serin.learning.split import folds, known_rows
from serin.logistic import logits
from serin.progress import say
from serin.schema import InputSchema
from serin.use_case import UseCase

_KEYS = ["place", "fold", "label"]


@dataclass(frozen=True)
class Trained:
    """The artifact of one estimator."""

    folder: Path
    manifest: Manifest

    @property
    def member(self) -> Member:
        """Its model as the stack names it; the file lies beside the stack's own, so it is called by the estimator."""
        engine = self.manifest.engine
        file = f"{self.manifest.estimator}-{self.manifest.models[engine]}"
        return Member(estimator=self.manifest.estimator, engine=engine, file=file)

    @property
    def onnx(self) -> bytes | None:
        """Its ONNX model, if it has one."""
        file = self.manifest.models.get(Onnx.name)
        return (self.folder / file).read_bytes() if file else None


def stack_estimators(frame: pd.DataFrame, case: UseCase, models: Sequence[Path], folder: Path, origin: Origin) -> Made:
    """Fit the stack of the artifacts `models` and write its own to `folder`, with the members' files in it.

    Its validation rows are those of the folds that it could be assessed on: with event times each but the first, by a
    combination fitted on the folds before. The one that is served is fitted on all of them.
    Raises DataError where the use case leaves nothing to assess it on, and ArtifactError for a damaged artifact.
    """
    members, seed = [Trained(path, verify(path)) for path in models], case.training.seed
    table = _together(members)
    parameters = StackingParameters.model_validate(case.training.estimators[Stacking.name]).model_dump()
    validation = _assessed(table, members, case, parameters["C"])
    judged = judge(Stacking.name, validation, tuple(folds(frame, case)), case)
    core = _combination(table, members, parameters["C"])
    weights = dict(zip((each.manifest.estimator for each in members), core.coef_[0].tolist(), strict=True))
    say("stacking: " + ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items()))
    model = StackModel(
        members=tuple(each.member for each in members),
        coefficients=tuple(core.coef_[0].tolist()),
        intercept=float(core.intercept_[0]),
    )
    inputs = _shared_inputs(members)
    engine = engines.known()[estimators.known()[Stacking.name].engine]
    manifest = manifest_of(case, frame, Stacking.name, engine, inputs, judged, origin, parameters)
    known = known_rows(frame, case)
    record = TrainingRecord(
        estimator=Stacking.name,
        seed=seed,
        parameters=parameters,
        search_note="nothing is searched for: it combines the others",
        folds=judged.folds,
        calibration=judged.log_losses,
        known_rows=len(known),
        known_positives=int(labels(frame.iloc[known], case).sum()),
    )

    def save(target: Path) -> tuple[dict[str, str], Parity | None]:
        for each in members:
            shutil.copyfile(each.folder / each.manifest.models[each.manifest.engine], target / each.member.file)
        engine.save(model, target / engine.file)
        if not wants_onnx(case):
            return {engine.name: engine.file}, None
        graphs = {each.manifest.estimator: graph for each in members if (graph := each.onnx) is not None}
        rows = real_rows(frame, validation, inputs, seed)
        native = engine.load(target / engine.file)
        found, parity = convert_stack(
            model, graphs, native, inputs, rows, manifest.threshold, manifest.calibration, seed
        )
        if found is None:
            return {engine.name: engine.file}, parity
        (target / Onnx.file).write_bytes(found)
        return {engine.name: engine.file, Onnx.name: Onnx.file}, parity

    return sealed(folder, manifest, record, validation, frame, known, save, seed)


def _together(members: Sequence[Trained]) -> pd.DataFrame:
    """The validation rows of all members, their scores in columns by the estimator's name."""
    tables = [
        pd.read_parquet(each.folder / VALIDATION).rename(columns={"score": each.manifest.estimator}) for each in members
    ]
    first, *others = tables
    for other in others:
        first = first.merge(other, on=_KEYS, how="inner", validate="one_to_one")
    return first.sort_values(["fold", "place"], ignore_index=True)


def _assessed(table: pd.DataFrame, members: Sequence[Trained], case: UseCase, C: float) -> pd.DataFrame:
    parts = [_assess(table, fit, rows, members, C) for fit, rows in _rounds(table, ordered=case.timestamp is not None)]
    if not parts:
        raise DataError(
            f"stacking can't be assessed: it is fitted on earlier validation folds, and training.folds is "
            f"{case.training.folds}; allowed: 2 or more"
        )
    return pd.concat(parts, ignore_index=True)


def _rounds(table: pd.DataFrame, *, ordered: bool) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Rows to fit on and rows to assess: each fold by those before it, where they follow each other in time."""
    fold = table["fold"].to_numpy()
    for current in np.unique(fold):
        fit = fold < current if ordered else fold != current
        if fit.any():
            yield fit, fold == current


def _assess(
    table: pd.DataFrame, fit: NDArray[np.bool_], rows: NDArray[np.bool_], members: Sequence[Trained], C: float
) -> pd.DataFrame:
    core = _combination(table[fit], members, C)
    scores = core.predict_proba(_logits(table[rows], members))[:, 1]
    return table.loc[rows, _KEYS].assign(score=scores)


def _combination(table: pd.DataFrame, members: Sequence[Trained], C: float) -> Any:
    """scikit-learn's logistic regression on the members' logits."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=1000).fit(_logits(table, members), table["label"].to_numpy())


def _logits(table: pd.DataFrame, members: Sequence[Trained]) -> NDArray[np.float64]:
    return logits(table[[each.manifest.estimator for each in members]].to_numpy(), LEAST)


def _shared_inputs(members: Sequence[Trained]) -> InputSchema:
    first, *others = (each.manifest.inputs for each in members)
    if any(other != first for other in others):
        raise DataError("stacking: the estimators were trained on different inputs; train them in one run")
    return first
