"""Batch scoring of raw numeric rows beside the native model's own rows a second, in the same process, turn by turn.

A shared machine is a third slower in one second than in the next, so what counts is the median of the turns' ratios, of
which each is of two neighbours; it is told by processor time, by which it is judged, and by the clock, where reading
goes on beside scoring.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.score.run import score_table
from predictors.load import load
from serin import engines
from serin.artifact import REFERENCE, RequestColumn, seal
from serin.platform import Platform, build
from serin.ports import RegisteredVersion
from serin.schema import InputColumn, InputSchema
from serin.workspace import Workspace
from tests.bench.checks import accept
from tests.factories import make_case, make_manifest

ROWS, COLUMNS, TURNS = 1_000_000, 30, 7
_NAMES = [f"x{place}" for place in range(COLUMNS)]

Seconds = tuple[float, float]


@dataclass(frozen=True)
class _Registry:
    """A registry with one version, whose artifact is a folder."""

    folder: Path

    def by_alias(self, name: str, alias: str) -> RegisteredVersion:
        return RegisteredVersion(name, 1, {}, (alias,))

    def fetch(self, _version: RegisteredVersion, _folder: Path) -> Path:
        return self.folder


def run() -> None:
    """Print rows a second of XGBoost alone, of `serin score` from Parquet to Parquet, and their ratio."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        model = _model(root / "model", random)
        rows = random.normal(size=(ROWS, COLUMNS))
        table = root / "rows.parquet"
        pq.write_table(pa.table({name: rows[:, place] for place, name in enumerate(_NAMES)}), table)
        matrix = rows.astype(np.float32)
        native, platform = load(model).predict, _platform(root / "workspace", model)
        case = make_case({**dict.fromkeys(_NAMES, "number"), "id": "integer", "y": "integer"}, request=_NAMES)
        turns = [
            (
                _seconds(lambda: native(matrix)),
                _seconds(lambda: score_table(platform, case, str(table), str(root / "scores.parquet"))),
            )
            for _ in range(TURNS)
        ]
    print(f"batch scoring: {ROWS:,} raw rows of {COLUMNS} numbers, XGBoost of 200 trees, medians of {TURNS} turns")
    ratios = [_compared(what, *zip(*turns, strict=True), place) for place, what in enumerate(("processor", "clock"))]
    accept(f"serin score at {ratios[0]:.2f} of the native model's rows/s, at least 0.8", ratios[0] >= 0.8)


def _compared(what: str, alone: Sequence[Seconds], scored: Sequence[Seconds], place: int) -> float:
    """Print both by one kind of time, and give their ratio."""
    ours, theirs = [turn[place] for turn in scored], [turn[place] for turn in alone]
    ratio = median(one / other for one, other in zip(theirs, ours, strict=True))
    print(
        f"  by {what}: the model alone {ROWS / median(theirs):,.0f} rows/s, serin score {ROWS / median(ours):,.0f}, "
        f"ratio {ratio:.2f}"
    )
    return ratio


def _model(folder: Path, random: np.random.Generator) -> Path:
    from xgboost import XGBClassifier

    folder.mkdir()
    inputs = random.normal(size=(20_000, COLUMNS)).astype(np.float32)
    labels = (inputs[:, 0] + inputs[:, 1] * inputs[:, 2] > 0.5).astype(int)
    engine = engines.known()["xgboost"]
    engine.save(XGBClassifier(n_estimators=200, max_depth=6, n_jobs=1).fit(inputs, labels), folder / engine.file)
    scores = engine.load(folder / engine.file)(inputs[:64])
    columns = {name: inputs[:64, place].astype(np.float64) for place, name in enumerate(_NAMES)}
    pq.write_table(pa.table({**columns, "score": scores}), folder / REFERENCE)
    request = tuple(RequestColumn(name=name, type="number") for name in _NAMES)
    schema = InputSchema(columns=tuple(InputColumn(name=name) for name in _NAMES))
    seal(folder, make_manifest(entities=(), request=request, calendar=(), timestamp=None, inputs=schema))
    return folder


def _platform(root: Path, model: Path) -> Platform:
    mark = root / "feature_repo" / "feature_store.yaml"
    mark.parent.mkdir(parents=True)
    mark.touch()
    platform = build(Workspace.from_variables({"SERIN_ROOT": str(root)}))
    return replace(platform, registry=_Registry(model))  # type: ignore[arg-type]


def _seconds(work: Callable[[], object]) -> Seconds:
    """Of the processor, all threads together, and by the clock."""
    processor, clock = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - processor, time.perf_counter() - clock


if __name__ == "__main__":
    run()
