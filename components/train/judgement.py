"""What validation says of raw scores: how good they are, whether to calibrate them, and from where on to alarm."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from serin.calibration import Calibration
from serin.learning.calibrating import calibrate
from serin.learning.metrics import ranking_metrics
from serin.learning.record import FoldResult
from serin.learning.split import Fold
from serin.learning.thresholds import choose
from serin.progress import say
from serin.times import DAY
from serin.use_case import UseCase


@dataclass(frozen=True)
class Judgement:
    """The metrics of each fold and their means; a calibration with the log loss by kind; the threshold of what is
    served, which is the calibrated score."""

    folds: tuple[FoldResult, ...]
    metrics: dict[str, float]
    calibration: Calibration | None
    log_losses: dict[str, float]
    threshold: float


def judge(name: str, validation: pd.DataFrame, parts: Sequence[Fold], case: UseCase) -> Judgement:
    """Judge the estimator `name` by `validation` (place, fold, label, score), whose folds are among `parts`."""
    judged = [part for part in parts if part.number in set(validation["fold"])]
    results = tuple(_result(part, validation) for part in judged)
    metrics = {key: float(np.mean([result.metrics[key] for result in results])) for key in results[0].metrics}
    truth, scores, number = (validation[column].to_numpy() for column in ("label", "score", "fold"))
    in_time = case.timestamp is not None
    found = calibrate(truth, scores, number, asked=case.training.calibration, in_time=in_time)
    say(f"{name}: calibration: {found.note}")
    served = found.calibration.apply(scores) if found.calibration else scores
    threshold = choose(truth, served, case.training.threshold, _days(judged) if in_time else None)
    say(f"{name}: {threshold.note}")
    return Judgement(results, metrics, found.calibration, found.log_loss, threshold.value)


def _result(part: Fold, validation: pd.DataFrame) -> FoldResult:
    rows = validation[validation["fold"] == part.number]
    return FoldResult(
        number=part.number,
        start=_text(part.start),
        end=_text(part.end),
        fit_rows=len(part.fit),
        rows=len(rows),
        positives=int(rows["label"].sum()),
        metrics=ranking_metrics(rows["label"].to_numpy(), rows["score"].to_numpy()),
    )


def _text(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def _days(parts: Sequence[Fold]) -> float:
    """How long the periods of the folds are together."""
    return sum((part.end - part.start) / DAY for part in parts if part.start and part.end)
