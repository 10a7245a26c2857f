"""From a fitted model to its ONNX file, and what both say of the same rows.

Converters are known to be wrong on some models, without a word (see adr/0021). So no ONNX file is kept that did not
pass the parity gate: real rows, edge rows and random rows, scores within TOLERANCE, and no decision flipped.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.train.graphs import of_lightgbm, of_sklearn, of_xgboost, stacked
from serin.calibration import Calibration
from serin.columns import MAX_NUMBER
from serin.engines import Scorer, calibrated
from serin.engines.onnx import scorer as onnx_scorer
from serin.engines.stack import StackModel
from serin.errors import first_line
from serin.learning.record import DifferingRow, Parity
from serin.schema import InputSchema

TOLERANCE = 1e-5
# Of the real rows as many are compared, and as many random ones are made.
REAL_ROWS, RANDOM_ROWS = 2000, 500
# Real rows that each edge value is put into.
_EDGED_ROWS = 4
# Far beyond what a float32 counts exactly.
_EXTREME = 1e8
_TOLD_ROWS = 20

Rows = NDArray[np.float32]

_GRAPHS: Mapping[str, Callable[[Any, int], Any]] = {
    "logistic_regression": of_sklearn,
    "random_forest": of_sklearn,
    "xgboost": of_xgboost,
    "lightgbm": of_lightgbm,
}


def convert(
    model: Any,
    estimator: str,
    inputs: InputSchema,
    rows: Rows,
    threshold: float,
    calibration: Calibration | None,
    seed: int,
) -> tuple[bytes | None, Parity]:
    """The ONNX model of a fitted one, and how the two compare; no model where they differ or none can be made.

    `rows` are real ones, encoded, shape (n, columns); `threshold` is that of the served score, which is calibrated.
    """
    if estimator not in _GRAPHS:
        return None, Parity(passed=False, reason=f"nothing converts {estimator}; converted: {', '.join(_GRAPHS)}")

    def native(matrix: Rows) -> NDArray[np.float64]:
        return np.asarray(model.predict_proba(matrix)[:, 1], dtype=np.float64)

    def make() -> Any:
        return _GRAPHS[estimator](model, len(inputs.columns))

    return _passed(make, native, inputs, rows, threshold, calibration, seed)


def convert_stack(
    stack: StackModel,
    members: Mapping[str, bytes | None],
    native: Scorer,
    inputs: InputSchema,
    rows: Rows,
    threshold: float,
    calibration: Calibration | None,
    seed: int,
) -> tuple[bytes | None, Parity]:
    """As `convert`, of a stack: `members` are the ONNX models of its members by their estimators, None of one that has
    none; `native` is its scorer.

    A stack with a member of which there is none has none either.
    """
    found = [(member.estimator, members.get(member.estimator)) for member in stack.members]
    if lacking := [name for name, model in found if model is None]:
        return None, Parity(passed=False, reason=f"its members have no ONNX model: {', '.join(lacking)}")

    def make() -> Any:
        return stacked(stack, [model for _, model in found if model], len(inputs.columns))

    return _passed(make, native, inputs, rows, threshold, calibration, seed)


def _passed(
    make: Callable[[], Any],
    native: Scorer,
    inputs: InputSchema,
    rows: Rows,
    threshold: float,
    calibration: Calibration | None,
    seed: int,
) -> tuple[bytes | None, Parity]:
    try:
        with warnings.catch_warnings():
            # What converters say of the versions of each other.
            warnings.simplefilter("ignore")
            model: bytes = make().SerializeToString()
    # A converter fails in the ways of three packages, and with whatever its own mistakes raise.
    except Exception as error:  # noqa: BLE001
        return None, Parity(passed=False, reason=f"the converter failed: {type(error).__name__}: {first_line(error)}")
    found = parity(native, model, inputs, rows, threshold, calibration, seed)
    return (model if found.passed else None), found


def parity(
    native: Scorer,
    model: bytes,
    inputs: InputSchema,
    rows: Rows,
    threshold: float,
    calibration: Calibration | None,
    seed: int,
) -> Parity:
    """Whether an ONNX model gives the scores of `native`, as they are served, on all `probes` of the rows."""
    if not len(rows):
        return Parity(passed=False, reason="there is no real row to compare the two on")
    kinds, matrix = probes(inputs, rows, seed)
    scores: list[NDArray[np.float64]] = []
    scorers: dict[str, Callable[[], Scorer]] = {
        "the native model": lambda: native,
        "ONNX Runtime": lambda: onnx_scorer(model, "the file"),
    }
    for name, scorer in scorers.items():
        try:
            scores.append(calibrated(scorer(), calibration)(matrix))
        # Libraries refuse rows each in their own way, and ONNX Runtime's errors have no base but Exception.
        except Exception as error:  # noqa: BLE001
            return Parity(passed=False, reason=f"{name} can't score the rows: {first_line(error)}")
    return _compared(kinds, matrix, scores[0], scores[1], threshold, inputs)


def _compared(
    kinds: NDArray[Any],
    matrix: Rows,
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    threshold: float,
    inputs: InputSchema,
) -> Parity:
    # A score that is no number differs from any.
    apart = np.nan_to_num(np.abs(ours - theirs), nan=np.inf)
    flipped = (ours >= threshold) != (theirs >= threshold)
    differing = np.flatnonzero((apart > TOLERANCE) | flipped)
    told = differing[np.argsort(-apart[differing], kind="stable")][:_TOLD_ROWS]
    return Parity(
        passed=not len(differing),
        reason=_reason(kinds[differing], len(kinds), float(apart.max()), int(flipped.sum())),
        rows=len(matrix),
        tolerance=TOLERANCE,
        worst=float(apart.max()),
        flipped=int(flipped.sum()),
        differing=tuple(
            DifferingRow(
                kind=str(kinds[place]),
                inputs=_told(inputs, matrix[place]),
                native=float(ours[place]),
                onnx=float(theirs[place]),
            )
            for place in told
        ),
    )


def _reason(kinds: NDArray[Any], rows: int, worst: float, flipped: int) -> str:
    if not len(kinds):
        return ""
    parts = ", ".join(f"{int((kinds == kind).sum())} {kind}" for kind in ("real", "edge", "random") if kind in kinds)
    return (
        f"{len(kinds)} of {rows} rows differ ({parts}): by up to {worst:.2g}, allowed {TOLERANCE:g}; "
        f"{flipped} decisions flipped, allowed 0"
    )


def _told(inputs: InputSchema, row: Rows) -> dict[str, float | None]:
    return {
        name: None if np.isnan(value) else float(value) for name, value in zip(inputs.names, row.tolist(), strict=True)
    }


def probes(inputs: InputSchema, rows: Rows, seed: int) -> tuple[NDArray[Any], Rows]:
    """The rows to compare on, and the kind of each: "real", "edge" or "random"."""
    rng = np.random.default_rng(seed)
    real = rows if len(rows) <= REAL_ROWS else rows[np.sort(rng.choice(len(rows), REAL_ROWS, replace=False))]
    made = {"real": real, "edge": edge_rows(inputs, real), "random": random_rows(inputs, real, rng)}
    kinds = np.repeat(list(made), [len(part) for part in made.values()])
    return kinds, np.concatenate(list(made.values())).astype(np.float32)


def edge_rows(inputs: InputSchema, real: Rows) -> Rows:
    """Real rows with an extreme, a zero or nothing in each of the columns in turn, and rows of nothing else.

    A category is nothing where it is missing or was never seen; its other edges are its first and last code.
    """
    edges = [_edges(len(column.categories)) if column.kind == "category" else _EDGES for column in inputs.columns]
    bases = real[np.linspace(0, len(real) - 1, min(_EDGED_ROWS, len(real))).astype(int)]
    made = [np.array(each, dtype=np.float32)[None, :] for each in zip(*edges, strict=True)]
    for place, values in enumerate(edges):
        for value in values:
            edged = bases.copy()
            edged[:, place] = value
            made.append(edged)
    return np.concatenate(made)


_EDGES = (np.nan, 0.0, _EXTREME, -_EXTREME)


def _edges(categories: int) -> tuple[float, float, float, float]:
    last = float(max(categories - 1, 0))
    return np.nan, 0.0, last, np.nan


def random_rows(inputs: InputSchema, real: Rows, rng: np.random.Generator) -> Rows:
    """Rows whose columns are drawn one by one: numbers from a little beyond their real span, categories from all of
    their codes; a tenth of all values is missing."""
    drawn = [_drawn(len(column.categories), real[:, place], column.kind, rng)
             for place, column in enumerate(inputs.columns)]  # fmt: skip
    made = np.stack(drawn, axis=1)
    made[rng.random(made.shape) < 0.1] = np.nan
    return made.astype(np.float32)


def _drawn(categories: int, values: Rows, kind: str, rng: np.random.Generator) -> NDArray[np.float64]:
    if kind == "category":
        return rng.integers(0, max(categories, 1), RANDOM_ROWS).astype(np.float64)
    known = values[np.isfinite(values)].astype(np.float64)
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    margin = (high - low) / 10
    drawn = rng.uniform(low - margin, high + margin, RANDOM_ROWS)
    # Beyond the largest input there is none, and a native model may refuse it.
    return np.clip(drawn, -MAX_NUMBER, MAX_NUMBER)
