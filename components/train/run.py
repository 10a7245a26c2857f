"""The train step: one estimator, from the training set to a sealed model artifact."""

from pathlib import Path

import pandas as pd

from components.train.conversion import convert
from components.train.fitting import train
from components.train.judgement import judge
from components.train.memory import Memory
from components.train.sealing import Made, Origin, manifest_of, real_rows, sealed, wants_onnx
from serin import engines, estimators
from serin.engines.onnx import Onnx
from serin.estimators.base import Estimator
from serin.learning.encoding import labels
from serin.learning.record import Parity, TrainingRecord
from serin.learning.split import folds
from serin.progress import say
from serin.use_case import UseCase


def train_estimator(
    frame: pd.DataFrame,
    case: UseCase,
    name: str,
    folder: Path,
    origin: Origin,
    memory: Memory,
    threads: int = 1,
    full: Estimator | None = None,
) -> Made:
    """Train the estimator `name` and write its artifact to `folder`; the manifest's metrics are those on validation.

    `full` is who fits on all rows, where that is not the estimator itself.

    Raises InterruptedStepError where the process was told to end: `memory` has what was done.
    """
    fitted = train(frame, case, name, memory, threads, full)
    judged = judge(name, fitted.validation, tuple(folds(frame, case)), case)
    engine = engines.known()[estimators.known()[name].engine]
    found = fitted.found
    manifest = manifest_of(case, frame, name, engine, fitted.inputs, judged, origin, fitted.parameters)
    record = TrainingRecord(
        estimator=name,
        seed=case.training.seed,
        parameters=fitted.parameters,
        trials=found.trials,
        search_note=found.note,
        folds=judged.folds,
        calibration=judged.log_losses,
        known_rows=len(fitted.known),
        known_positives=int(labels(frame.iloc[fitted.known], case).sum()),
        seconds=round(memory.seconds, 1),
        interruptions=memory.interruptions,
        lost_seconds=round(memory.lost_seconds, 1),
    )
    seed = case.training.seed

    def save(target: Path) -> tuple[dict[str, str], Parity | None]:
        engine.save(fitted.model, target / engine.file)
        if not wants_onnx(case):
            return {engine.name: engine.file}, None
        rows = real_rows(frame, fitted.validation, fitted.inputs, seed)
        found, parity = convert(fitted.model, name, fitted.inputs, rows, manifest.threshold, manifest.calibration, seed)
        if found is None:
            say(f"{name}: no ONNX model: {parity.reason}")
            return {engine.name: engine.file}, parity
        (target / Onnx.file).write_bytes(found)
        return {engine.name: engine.file, Onnx.name: Onnx.file}, parity

    made = sealed(folder, manifest, record, fitted.validation, frame, fitted.known, save, seed)
    memory.forget("fit-final")
    return made
