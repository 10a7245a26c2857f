"""What a training task tells of its work beside the model: read by the stack, the evaluation and the report.

It stands in the artifact that the train step makes, as record.json, and not in the one that is served.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

RECORD = "record.json"


class _Part(BaseModel):
    # A number that is none, as the difference of two infinite scores, is read back as what it was.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Trial(_Part):
    """One trial of a search: its value is the mean of the primary metric over the folds that it came to."""

    number: int
    parameters: dict[str, Any]
    value: float | None
    state: Literal["complete", "pruned", "failed"]
    seconds: float


class FoldResult(_Part):
    """One validation fold: the rows fitted on and assessed, and the metrics of the latter."""

    number: int
    start: str
    end: str
    fit_rows: int
    rows: int
    positives: int
    metrics: dict[str, float]


class DifferingRow(_Part):
    """A row on which the ONNX file disagrees with the model that it was converted from."""

    kind: str
    inputs: dict[str, float | None]
    native: float
    onnx: float


class Parity(_Part):
    """Whether the ONNX file gives the scores of the native model; `reason` says why there is no such file.

    `rows` were compared: of the validation rows ("real"), with missing, extreme and unseen values ("edge"), and random.
    """

    passed: bool
    reason: str = ""
    rows: int = 0
    tolerance: float = 0.0
    worst: float = 0.0
    flipped: int = 0
    differing: tuple[DifferingRow, ...] = ()


class TrainingRecord(_Part):
    """How one estimator was trained."""

    estimator: str
    seed: int
    parameters: dict[str, Any]
    trials: tuple[Trial, ...] = ()
    search_note: str = ""
    folds: tuple[FoldResult, ...] = ()
    calibration: dict[str, float] = {}  # log loss on validation by kind, "none" among them
    parity: Parity | None = None
    known_rows: int = 0
    known_positives: int = 0
    seconds: float = 0.0
    interruptions: int = 0
    lost_seconds: float = 0.0
