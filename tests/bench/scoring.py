"""Batch scoring of raw numeric rows beside the native model's own rows a second of processor time, in the same process,
turn by turn."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

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

ROWS, COLUMNS, TURNS = 500_000, 30, 5
_NAMES = [f"x{place}" for place in range(COLUMNS)]


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
        alone, scored = [], []
        for _ in range(TURNS):
            alone.append(_seconds(lambda: native(matrix)))
            scored.append(_seconds(lambda: score_table(platform, case, str(table), str(root / "scores.parquet"))))
    print(f"batch scoring: {ROWS:,} raw rows of {COLUMNS} numbers, XGBoost of 200 trees, by processor time")
    print(f"  the model alone {ROWS / min(alone):>12,.0f} rows/s (median {ROWS / float(np.median(alone)):,.0f})")
    print(f"  serin score     {ROWS / min(scored):>12,.0f} rows/s (median {ROWS / float(np.median(scored)):,.0f})")
    print(f"  ratio {min(alone) / min(scored):.2f} (of the medians {np.median(alone) / np.median(scored):.2f})")
    ratio = min(alone) / min(scored)
    accept(f"serin score at {ratio:.2f} of the native model's rows/s, at least 0.8", ratio >= 0.8)


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


def _seconds(work: Callable[[], object]) -> float:
    """Of the processor, all threads together: what else the machine does counts little."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    run()
