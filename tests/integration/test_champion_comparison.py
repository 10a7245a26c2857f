"""The evaluate step against a champion in a real registry: compared on the same rows, or named with the reason."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.drift.run import check_drift
from components.evaluate.run import Evaluation, evaluate_models
from components.register.run import register
from components.rollout.deploy import serve_champion
from components.train.run import train_estimator
from serin.errors import NotFoundError, UnavailableError
from serin.learning.split import EVENT_TIME, SPLIT
from serin.platform import Platform, build
from serin.use_case import UseCase
from serin.workspace import Workspace
from tests import services
from tests.factories import make_case

pytestmark = [
    # MLflow uses interfaces of SQLAlchemy, Pydantic and others that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
GOOD = {"xgboost": {"n_estimators": 30, "max_depth": 3}}
POOR = {"xgboost": {"n_estimators": 1, "max_depth": 1, "learning_rate": 0.01}}


def case_of(listed: dict[str, Any], inputs: tuple[str, ...] = ("x", "z"), **gates: Any) -> UseCase:
    columns = {"id": "integer", "at": "timestamp", "x": "number", "z": "number", "y": "integer"}
    return make_case(columns, request=inputs, timestamp="at", training={"estimators": listed}, gates=gates)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=900), rng.normal(size=900)
    part = np.repeat(["fit", "validation", "test"], 300)
    times = pd.date_range("2026-01-01", periods=900, freq="h", tz="UTC")
    label = (x + z > rng.normal(scale=0.3, size=900)).astype(int)
    return pd.DataFrame({"id": range(900), "x": x, "z": z, "y": label, SPLIT: part, EVENT_TIME: times})


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    root = services.workspace_copy(tmp_path / "workspace")
    return build(Workspace.from_variables({"SERIN_ROOT": str(root)}))


class Rounds:
    """Trains, evaluates and registers, as the steps of a pipeline do one after the other."""

    def __init__(self, platform: Platform, frame: pd.DataFrame, folder: Path) -> None:
        self.platform, self.frame, self.folder = platform, frame, folder

    def run(self, case: UseCase, as_of: str) -> Evaluation:
        folder = self.folder / as_of
        for name in case.training.estimators:
            train_estimator(self.frame, case, name, folder / name, "snapshot", as_of, case.features.service)
        models = [folder / name for name in case.training.estimators]
        found = evaluate_models(self.platform, case, self.frame, models, folder / "winner")
        self.registered = register(self.platform, case, folder / "winner", found.verdict.passed, {}, as_of)
        return found


@pytest.fixture
def rounds(platform: Platform, frame: pd.DataFrame, tmp_path: Path) -> Rounds:
    return Rounds(platform, frame, tmp_path / "rounds")


def test_better_candidate_passes_against_the_champion_on_the_same_rows(rounds):
    first = rounds.run(case_of(POOR), "2026-01-01T00:00:00+00:00")
    assert first.verdict.reasons == ("no champion to compare with",)
    second = rounds.run(case_of(GOOD), "2026-02-01T00:00:00+00:00")
    assert second.verdict.passed
    assert second.champion.name == "champion v1"
    # The champion is scored anew on the rows at hand, and they are the rows of its own test.
    assert second.champion.metrics == pytest.approx(first.candidate.metrics)
    assert second.champion.scores.shape == second.candidate.scores.shape == (300,)
    assert rounds.registered.aliases == ("candidate", "challenger")


def test_candidate_that_loses_more_than_allowed_fails_and_one_within_passes(rounds):
    rounds.run(case_of(GOOD), "2026-01-01T00:00:00+00:00")
    worse = rounds.run(case_of(POOR, max_loss=0.01), "2026-02-01T00:00:00+00:00")
    assert not worse.verdict.passed
    assert "on the same rows less 0.01 (gates.max_loss)" in worse.verdict.reasons[0]
    assert rounds.registered.aliases == ("candidate",)
    assert rounds.run(case_of(POOR, max_loss=0.9), "2026-02-02T00:00:00+00:00").verdict.passed


def test_best_estimator_on_validation_is_the_candidate(rounds):
    found = rounds.run(case_of({"logistic_regression": {"C": 1e-9}, **GOOD}), "2026-01-01T00:00:00+00:00")
    on_validation = {name: metrics["average_precision"] for name, metrics in found.validation.items()}
    assert found.manifest.estimator == max(on_validation, key=lambda name: on_validation[name])
    assert found.manifest.metrics["average_precision"] == found.candidate.metrics["average_precision"]
    assert set(on_validation) == {"logistic_regression", "xgboost"}


def test_champion_that_has_seen_the_held_back_rows_is_not_compared(rounds):
    rounds.run(case_of(GOOD), "2026-02-01T00:00:00+00:00")
    found = rounds.run(case_of(GOOD), "2026-01-01T00:00:00+00:00")
    assert not found.verdict.passed
    assert found.champion is None
    assert found.verdict.reasons == (
        "champion v1 can't be compared: it was trained as of 2026-02-01T00:00 and has seen the rows that are held back "
        "as of 2026-01-01T00:00",
    )


def test_champion_that_needs_a_column_no_longer_declared_is_not_compared(rounds):
    rounds.run(case_of(GOOD), "2026-01-01T00:00:00+00:00")
    rounds.frame = rounds.frame.drop(columns="z")
    found = rounds.run(case_of(GOOD, ("x",)), "2026-02-01T00:00:00+00:00")
    assert found.verdict.reasons == (
        "champion v1 can't be compared: it needs z, which the use case no longer declares",
    )


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda artifact: shutil.rmtree(artifact), "the artifact of toy version 1 is lost: nothing is stored at file:"),
        (lambda artifact: (artifact / "model.ubj").unlink(), "files and manifest differ on model.ubj"),
        (lambda artifact: (artifact / "model.ubj").write_bytes(b"cut"), "model.ubj was changed"),
    ],
    ids=["deleted", "incomplete", "truncated"],
)
def test_lost_champion_is_named_and_a_new_version_can_take_its_place(damage, told, rounds, platform):
    rounds.run(case_of(GOOD), "2026-01-01T00:00:00+00:00")
    (artifact,) = (Path(platform.workspace.storage) / "mlflow" / "artifacts").rglob("model")
    damage(artifact)
    with pytest.raises(UnavailableError, match=rf"toy: champion v1 is lost, .*{told}.*; `serin train toy` and"):
        check_drift(platform, case_of(GOOD), None)
    found = rounds.run(case_of(POOR), "2026-02-01T00:00:00+00:00")
    assert found.verdict.passed
    (reason,) = found.verdict.reasons
    assert reason.startswith("champion v1 is lost, and counts as none: ")
    assert told in reason
    platform.aliases("toy").promote(2, served_before=None)
    assert platform.registry.by_alias("toy", "champion").version == 2


def test_lost_champion_is_named_before_anything_is_served(rounds, platform):
    rounds.run(case_of(GOOD), "2026-01-01T00:00:00+00:00")
    shutil.rmtree(Path(platform.workspace.storage) / "mlflow" / "artifacts")
    with pytest.raises(NotFoundError, match="the artifact of toy version 1 is lost"):
        serve_champion(platform, case_of(GOOD))
    assert platform.serving("toy").list("InferenceService") == ()
    rounds.run(case_of(GOOD), "2026-02-01T00:00:00+00:00")
    serve_champion(platform, case_of(GOOD))
    (service,) = platform.serving("toy").list("InferenceService")
    assert service["metadata"]["name"] == "toy-v2"
