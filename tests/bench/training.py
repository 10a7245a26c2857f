"""Training on public data against scikit-learn at its defaults, on the same rows.

`card_transactions_2018-04_2018-05.parquet` has two months of the Fraud Detection Handbook's simulated transactions,
`bank_churn.csv` the 10,000 customers of a bank. The folder with both is named by SERIN_DATA; where it is absent, that
is said. Serin goes its own way from the ingest to the choice of the candidate; what differs from the shipped use cases
is told.
"""

import contextlib
import io
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serin.learning.assessed import Assessed
from serin.learning.intervals import Estimate
from serin.platform import Platform
from serin.use_case import UseCase
from tests.bench.checks import accept

CARDS, BANK = "card_transactions_2018-04_2018-05.parquet", "bank_churn.csv"
# The test part ends a label's delay before: 2018-05-18 to 24, after a delay of a week, and a week of history.
CARDS_AS_OF, HISTORY = datetime(2018, 6, 1, tzinfo=UTC), timedelta(days=7)
CARDS_PARTS = {"known": ("2018-05-04", "2018-05-10"), "test": ("2018-05-18", "2018-05-24")}
CARDS_TRIALS, BANK_TRIALS, BANK_SPLITS, BANK_FOLDS = 3, 1, 5, 3
_SLOW = 1000.0  # ms: no promise that ONNX models are made for

Rows = NDArray[np.float32]
Labels = NDArray[np.int8]


@dataclass(frozen=True)
class Trained:
    """Serin's models on one training set: their scores of its test rows, shape (rows,), and the one that is selected.

    `known` and `test` are inputs and labels as the models took them.
    """

    scores: dict[str, NDArray[np.float64]]
    selected: str
    known: tuple[Rows, Labels]
    test: tuple[Rows, Labels]
    on: Assessed


def run() -> None:
    """Print both comparisons."""
    folder = Path(os.environ.get("SERIN_DATA") or Path(__file__).parents[3] / "shared" / "data")
    for name, compare in ((CARDS, _cards), (BANK, _bank)):
        if (folder / name).is_file():
            with tempfile.TemporaryDirectory() as root:
                compare(folder / name, Path(root))
        else:
            print(f"training: left out, for {folder} has no {name} (SERIN_DATA names the folder)")


def _cards(table: Path, root: Path) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    from components.features.run import make_training_set
    from components.ingest.store import ingest

    platform, case = _workspace(root, "card_fraud", trials=CARDS_TRIALS, history=HISTORY)
    with _quiet("card_fraud: ingest and features"):
        ingest(platform.workspace, case, str(table), CARDS_AS_OF)
        frame = make_training_set(platform, case, CARDS_AS_OF).frame
    _check_days(frame, case)
    found = _trained(platform, case, frame, CARDS_AS_OF, root / "models")
    forest = make_pipeline(SimpleImputer(strategy="median"), RandomForestClassifier(random_state=0, n_jobs=2))
    with _quiet("card_fraud: scikit-learn's forest"):
        theirs = forest.fit(*found.known).predict_proba(found.test[0])[:, 1]
    _tell_cards(case, found, {**found.scores, "scikit-learn's forest": theirs})


def _check_days(frame: pd.DataFrame, case: UseCase) -> None:
    """Raises AssertionError where a part has other days than those that are asked for."""
    from serin.learning.split import EVENT_TIME, SPLIT, known_rows

    places = {"known": known_rows(frame, case), "test": np.flatnonzero(frame[SPLIT] == "test")}
    for part, asked in CARDS_PARTS.items():
        times = frame[EVENT_TIME].iloc[places[part]]
        found = (f"{times.min():%Y-%m-%d}", f"{times.max():%Y-%m-%d}")
        assert found == asked, f"{part}: {found}, asked for {asked}"


def _tell_cards(case: UseCase, found: Trained, scores: Mapping[str, NDArray[np.float64]]) -> None:
    from serin.learning.assessed import metrics
    from serin.learning.paired import paired

    *ours, forest = scores
    chosen, metric = found.selected, case.training.primary_metric
    values = {name: metrics(found.on, each, 0.5) for name, each in scores.items()}
    best = max(set(ours) - {"stacking"}, key=lambda name: values[name][metric])
    beside = paired(found.on, scores, best, confidence=case.gates.confidence, seed=case.training.seed)
    daily = found.on.daily
    assert daily is not None
    count = len(found.on.labels)
    print(
        f"card_fraud: fitted on 2018-05-04 to 10 ({len(found.known[1]):,} rows, {found.known[1].sum():,} positive), "
        f"tested on 2018-05-18 to 24 ({count:,} rows, {found.on.labels.sum():,} positive); "
        f"trials an estimator: {CARDS_TRIALS}; * is selected, on validation"
    )
    print(f"  {'':24}{'average precision':>24}{'ROC AUC':>24}{'card precision@100':>20}{'Handbook, chapter 4':>21}")
    for name in scores:
        each, intervals = values[name], beside[name].metrics
        print(
            f"  {name + (' *' if name == chosen else ''):24}{_text(intervals['average_precision']):>24}"
            f"{_text(intervals['roc_auc']):>24}{each[daily.plain]:20.4f}{each[daily.known_left_out]:21.4f}"
        )
    for name in ("average_precision", daily.plain, daily.known_left_out):
        own, theirs = values[chosen][name], values[forest][name]
        accept(f"{name} {own:.4f}, at least the forest's {theirs:.4f}", own >= theirs)
    gap = beside[chosen].differences[metric]
    told = f"less {best}'s, the best single estimator's on the test rows, {_text(gap)}: not surely below 0"
    accept(f"{chosen}'s {metric} {told}", gap.high >= 0)


def _bank(table: Path, root: Path) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    from components.features.run import refresh, view_features
    from components.features.training_set import training_set
    from components.ingest.store import ingest

    platform, case = _workspace(root, "bank_churn", trials=BANK_TRIALS, folds=BANK_FOLDS)
    as_of = datetime.now(UTC)
    with _quiet("bank_churn: ingest and features"):
        ingest(platform.workspace, case, str(table), as_of)
        features = refresh(platform, case, as_of)
        found_views = view_features(platform, case, features, as_of)
    results, key = [], case.data.key[0]
    for seed in range(BANK_SPLITS):
        # The test part goes by a hash of the customer's number: with other numbers it is another fifth.
        events = _renumbered(features.events, key, seed)
        views = [replace(view, table=_renumbered(view.table, key, seed)) for view in found_views]
        seeded = _with_training(case, seed=seed)
        with _quiet(""):
            frame = training_set(events, views, seeded, as_of)
        told = f"split {seed + 1} of {BANK_SPLITS}, "
        found = _trained(platform, seeded, frame, as_of, root / f"models-{seed}", told)
        rows, truth = found.test
        theirs = HistGradientBoostingClassifier(random_state=seed).fit(*found.known).predict_proba(rows)[:, 1]
        own = {name: float(roc_auc_score(truth, scores)) for name, scores in found.scores.items()}
        results.append((found.selected, own, float(roc_auc_score(truth, theirs))))
    _tell_bank(results)


def _tell_bank(results: list[tuple[str, dict[str, float], float]]) -> None:
    names = list(results[0][1])
    print(
        f"bank_churn: ROC AUC on {len(results)} splits of the customers, a fifth for the test; trials an estimator: "
        f"{BANK_TRIALS}; folds: {BANK_FOLDS}; * is selected, on validation"
    )
    print(f"  {'':12}{'Serin':>9}{'HistGradientBoosting':>22}" + "".join(f"{name:>21}" for name in names))
    for number, (selected, own, theirs) in enumerate(results, start=1):
        cells = "".join(f"{('* ' if name == selected else '') + format(own[name], '.4f'):>21}" for name in names)
        print(f"  {f'split {number}':12}{own[selected]:9.4f}{theirs:22.4f}{cells}")
    serin, reference = mean(own[selected] for selected, own, _ in results), mean(theirs for *_, theirs in results)
    cells = "".join(f"{mean(own[name] for _, own, _ in results):21.4f}" for name in names)
    print(f"  {'mean':12}{serin:9.4f}{reference:22.4f}{cells}")
    accept(f"mean ROC AUC {serin:.4f}, at least HistGradientBoosting's {reference:.4f}", serin >= reference)


def _trained(
    platform: Platform, case: UseCase, frame: pd.DataFrame, as_of: datetime, folder: Path, told: str = ""
) -> Trained:
    """Train every estimator, and the stack, select one, and score the test rows with each."""
    from components.evaluate.comparison import test_of
    from components.evaluate.run import choice_of
    from components.train.sealing import Origin
    from components.train.stacking import stack_estimators
    from components.train.task import train_task
    from serin import estimators
    from serin.engines import load
    from serin.learning.encoding import encode, labels
    from serin.learning.split import known_rows

    origin = Origin("bench", f"{as_of:%Y-%m-%dT%H:%M:%SZ}", case.features.service)
    known, test = frame.iloc[known_rows(frame, case)], test_of(frame, case)
    folders: dict[str, Path] = {}
    for name in sorted(case.training.estimators, key=lambda each: estimators.known()[each].combines):
        folders[name] = folder / name
        with _quiet(f"{case.name}: {told}{name}"):
            if estimators.known()[name].combines:
                stack_estimators(frame, case, [folders[one] for one in folders if one != name], folders[name], origin)
            else:
                train_task(platform, frame, case, name, folders[name], origin)
    with _quiet(""):
        choice, _ = choice_of(case, frame, folders)
    manifest, _ = load(folders[choice.name])
    scores = {name: load(path)[1](encode(test.rows, manifest.inputs)) for name, path in folders.items()}
    for reason in choice.reasons:
        print(f"  {reason}", flush=True)
    return Trained(
        scores=scores,
        selected=choice.name,
        known=(encode(known, manifest.inputs), labels(known, case)),
        test=(encode(test.rows, manifest.inputs), test.on.labels),
        on=test.on,
    )


def _workspace(root: Path, name: str, *, trials: int, **training: Any) -> tuple[Platform, UseCase]:
    """A new workspace, and the shipped use case with another search, and without a promise that asks for ONNX."""
    from serin import environment
    from serin.platform import build
    from tests.services import workspace_copy

    os.environ["SERIN_ROOT"] = str(workspace_copy(root / "workspace"))
    # With two threads on a machine that has other work, each waits for the other: XGBoost took 217 s, and 52 with one.
    os.environ.setdefault(environment.THREADS, "1")
    platform = build()
    case = platform.own_use_case(name)
    case = case.model_copy(update={"slo": case.slo.model_copy(update={"latency_p95_ms": _SLOW})})
    return platform, _with_training(case, search=case.training.search.model_copy(update={"trials": trials}), **training)


def _with_training(case: UseCase, **changes: Any) -> UseCase:
    return case.model_copy(update={"training": case.training.model_copy(update=changes)})


def _renumbered(table: pa.Table, key: str, seed: int) -> pa.Table:
    numbers = pc.add(table[key], pa.scalar(seed * 100_000_000, table[key].type))
    return table.set_column(table.schema.get_field_index(key), key, numbers)


@contextlib.contextmanager
def _quiet(task: str) -> Iterator[None]:
    """Leave out what Serin says of a task, and tell how long it took."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        yield
    if task:
        print(f"  {task}: {time.perf_counter() - start:.1f} s", flush=True)


def _text(found: Estimate) -> str:
    return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"
