"""Training and retraining through the pipelines, from a use case that `serin new` made: nothing is played here."""

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines import runs
from serin import environment
from serin.artifact import REFERENCE
from serin.platform import Platform, build
from serin.progress import Progress
from serin.storage import write_table
from serin.use_case import Search, UseCase
from serin.workspace import Workspace
from tests import services

pytestmark = [
    # MLflow and KFP use interfaces of other libraries that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS, MORE_DAYS = 45, 10


def sales(start: datetime, days: int, factor: float = 1.0) -> pd.DataFrame:
    """Events of 40 shops, 160 a day; large amounts are fraud."""
    rng = np.random.default_rng(days)
    size = 160 * days
    amount = rng.gamma(2.0, 30.0, size)
    return pd.DataFrame(
        {
            "at": pd.date_range(start, periods=size, freq="9min").as_unit("us"),
            "shop": rng.integers(1, 41, size),
            "amount": amount * factor,
            "fraud": (amount > rng.normal(120, 60, size)).astype(int),
        }
    )


@dataclass(frozen=True)
class Shop:
    """A use case with a champion, and where further tables go."""

    platform: Platform
    case: UseCase
    champion: runs.TrainedVersion
    folder: Path

    def log(self, day: datetime, rows: pd.DataFrame) -> None:
        """A day's prediction log of the champion, as a predictor writes it."""
        version, size = str(self.champion.registered.version), len(rows)
        moments = [day + timedelta(seconds=i) for i in range(size)]
        fixed = {"logged_at": moments, "event_timestamp": moments, "model_version": [version] * size}
        log = self.platform.workspace.predictions(self.case.name)
        write_table(pa.table(fixed | rows.to_dict("list")), f"{log}/date={day:%Y-%m-%d}/{version}.parquet")

    def reference(self) -> pd.DataFrame:
        """The champion's inputs and scores on its test rows, drawn 1,500 times."""
        folder = self.platform.registry.fetch(self.champion.registered, self.folder / "fetched")
        return pd.read_parquet(folder / REFERENCE).sample(1500, replace=True, random_state=0)

    def aliases(self) -> dict[str, int]:
        versions = self.platform.registry.versions(self.case.model_name)
        return {alias: version.version for version in versions for alias in version.aliases}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    root = services.workspace_copy(folder / "workspace")
    workspace = Workspace.from_variables({"SERIN_ROOT": str(root)})
    table = folder / "sales.parquet"
    sales(START, DAYS).to_parquet(table)
    new = ["new", "shop", "--data", table, "--label", "fraud", "--entity", "shop", "--timestamp", "at"]
    before = {path for path in root.rglob("*") if path.is_file() and ".serin" not in path.parts}
    subprocess.run(
        [sys.executable, "-m", "pipelines", *map(str, new)],
        env=environment.variables() | workspace.variables() | {"PYTHONPATH": str(services.CHECKOUT)},
        check=True,
        capture_output=True,
    )
    after = {path for path in root.rglob("*") if path.is_file() and ".serin" not in path.parts}
    written = {str(path.relative_to(root)) for path in after - before if path.suffix != ".pyc"}
    # A use case is its YAML, and the Feast definitions that go with it; nothing else knows of it.
    assert written == {"pipelines/use_cases/shop.yaml", "feature_repo/shop.py"}
    platform = build(workspace)
    case = platform.own_use_case("shop")
    # What is looked at here is when it trains, not how well.
    short = {"estimators": {"xgboost": {"n_estimators": 50}}, "search": Search(trials=1)}
    case = case.model_copy(update={"training": case.training.model_copy(update=short)})
    return Shop(platform, case, runs.train(platform, case, str(table), "", ignore), folder)


def ignore(progress: Progress) -> None:
    """Nobody follows the run."""


class Listener:
    """Keeps the tasks that started."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def __call__(self, progress: Progress) -> None:
        if progress.event == "started":
            self.started.append(progress.task)


def test_use_case_that_was_proposed_trains_a_champion(shop):
    assert shop.champion.registered.gate == "passed"
    assert shop.champion.registered.estimator in shop.case.training.estimators
    assert shop.champion.registered.metrics["roc_auc"] > 0.8
    assert set(shop.champion.registered.aliases) >= {"champion"}
    assert shop.champion.report.read_text().startswith("<!")


def test_predictions_like_the_reference_keep_the_champion_and_train_nothing(shop):
    day = START + timedelta(days=DAYS)
    shop.log(day, shop.reference())
    listener, before = Listener(), shop.aliases()
    as_of = (day + timedelta(days=1)).isoformat()
    assert runs.retrain(shop.platform, shop.case, "", as_of, "", listener) is None
    assert listener.started == ["drift"]
    assert shop.aliases() == before


def test_drifted_predictions_train_a_version_that_the_registry_finds_by_its_run(shop):
    end = START + timedelta(days=DAYS)
    drifted = shop.reference()
    drifted[[name for name in drifted if name not in (*shop.case.features.calendar, "score")]] *= 3
    shop.log(end + timedelta(days=20), drifted)
    table = shop.folder / "later.parquet"
    sales(end, MORE_DAYS, factor=3).to_parquet(table)
    listener, before = Listener(), shop.platform.registry.versions(shop.case.model_name)
    as_of = (end + timedelta(days=21)).isoformat()
    trained: Any = runs.retrain(shop.platform, shop.case, str(table), as_of, "", listener)
    (new,) = (
        v for v in shop.platform.registry.versions(shop.case.model_name) if v.version not in {b.version for b in before}
    )
    assert trained.registered == new
    assert trained.registered.as_of > shop.champion.registered.as_of
    assert listener.started[0] == "drift"
    assert {f"train {name}" for name in shop.case.training.estimators} <= set(listener.started)
    assert "champion" in trained.report.read_text()
    assert shop.aliases()["candidate"] == new.version
    assert shop.aliases()["champion"] == shop.champion.registered.version
