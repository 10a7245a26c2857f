"""The evaluate step against a champion in a real registry: compared on the same rows, or named with the reason."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.drift.run import check_drift
from components.evaluate.report import html, markdown
from components.evaluate.run import Evaluation, evaluate_models
from components.register.run import register
from components.rollout.deploy import serve_champion
from serin.artifact import MANIFEST, verify
from serin.errors import NotFoundError, UnavailableError
from serin.platform import Platform, build
from serin.use_case import UseCase
from serin.workspace import Workspace
from tests import services
from tests.markup import Reader
from tests.trained import AS_OF, POOR, SMALL, case_of, frame_of, stack, train, trials

pytestmark = [
    # MLflow uses interfaces of SQLAlchemy, Pydantic and others that are on their way out, and shap of matplotlib.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
EARLIER, LATER = "2026-02-28T00:00:00+00:00", "2026-03-02T00:00:00+00:00"
GOOD = SMALL["xgboost"]
CASE = case_of("xgboost", gates={"max_loss": 0.02})


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return frame_of(CASE)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    root = services.workspace_copy(tmp_path / "workspace")
    return build(Workspace.from_variables({"SERIN_ROOT": str(root)}))


class Rounds:
    """Trains, evaluates and registers, as the steps of a pipeline do one after the other."""

    def __init__(self, platform: Platform, frame: pd.DataFrame, folder: Path) -> None:
        self.platform, self.frame, self.folder = platform, frame, folder
        self.count = 0

    def run(self, parameters: Any = GOOD, as_of: str = AS_OF, case: UseCase = CASE) -> Evaluation:
        """One round with the estimator xgboost alone."""
        self.count += 1
        folder = self.folder / str(self.count)
        model = train(folder / "xgboost", case, self.frame, "xgboost", as_of=as_of, parameters=parameters)
        return self.evaluate(case, [model], folder / "winner")

    def evaluate(self, case: UseCase, models: list[Path], winner: Path) -> Evaluation:
        found = evaluate_models(self.platform, case, self.frame, models, winner)
        self.registered = register(
            self.platform, case, winner, found.verdict.outcome, {}, str(self.count),
            against=found.against or 0, facts=found.facts,
        )  # fmt: skip
        return found


@pytest.fixture
def rounds(platform: Platform, frame: pd.DataFrame, tmp_path: Path) -> Rounds:
    return Rounds(platform, frame, tmp_path / "rounds")


def test_better_candidate_passes_against_the_champion_on_the_same_rows(rounds):
    first = rounds.run(POOR, EARLIER)
    assert first.verdict.reasons[0] == "no champion to compare with"
    second = rounds.run(GOOD)
    assert second.verdict.passed
    assert second.champion.name == "champion v1"
    # The champion is scored anew on the rows at hand, and they are the rows of its own test.
    assert second.champion.metrics["roc_auc"].value == pytest.approx(first.candidate.metrics["roc_auc"].value)
    assert second.champion.scores.shape == second.candidate.scores.shape == second.labels.shape
    gap = second.differences["average_precision"]
    assert 0 < gap.low < gap.value < gap.high
    assert rounds.registered.aliases == ("candidate", "challenger")


def test_candidate_that_surely_loses_more_than_allowed_fails(rounds):
    rounds.run(GOOD, EARLIER)
    worse = rounds.run(POOR)
    assert worse.verdict.outcome == "failed"
    assert "is below -0.02 (gates.max_loss" in worse.verdict.reasons[0]
    assert rounds.registered.aliases == ("candidate",)


def test_candidate_whose_difference_these_rows_can_not_tell_is_undecided(rounds, platform):
    rounds.run(GOOD, EARLIER)
    strict = case_of("xgboost")
    found = rounds.run({**GOOD, "n_estimators": 21}, case=strict)
    assert found.verdict.outcome == "undecided"
    assert f"{int(found.labels.sum()):,} positives can't tell" in found.verdict.reasons[0]
    assert rounds.registered.aliases == ("candidate",)
    assert platform.registry.version("toy", 2).gate == "undecided"


def test_same_model_of_other_data_is_a_tie_which_keeps_the_champion(rounds):
    rounds.run(GOOD, EARLIER)
    found = rounds.run(GOOD)
    assert found.verdict.outcome == "failed"
    assert "a tie keeps the champion" in found.verdict.reasons[0]


def test_same_training_once_more_is_the_champion_itself_and_stays_what_it_is(rounds, platform):
    rounds.run(GOOD)
    before = platform.registry.version("toy", 1)
    found = rounds.run(GOOD)
    assert "the candidate is champion v1: the same model" in found.verdict.reasons[0]
    after = platform.registry.version("toy", rounds.registered.version)
    assert (after.version, after.gate, after.aliases) == (1, "passed", before.aliases)


def test_best_estimator_on_validation_is_the_candidate_and_all_are_told(rounds, frame, tmp_path):
    case = case_of("logistic_regression", "xgboost", "stacking")
    singles = [train(tmp_path / name, case, frame, name, trials=trials(0.5, None, 0.7), interruptions=2,
                     lost_seconds=3.5, seconds=9) for name in ("logistic_regression", "xgboost")]  # fmt: skip
    models = [*singles, stack(tmp_path / "stacking", case, frame, singles)]
    found = rounds.evaluate(case, models, tmp_path / "winner")
    values = {name: metrics["average_precision"].value for name, metrics in found.validation.items()}
    single = max(set(values) - {"stacking"}, key=lambda name: values[name])
    assert found.manifest.estimator in (single, "stacking")
    assert set(values) == {"logistic_regression", "xgboost", "stacking"}
    assert found.facts["interruptions"] == 4
    assert found.facts["lost_seconds"] == 7
    assert found.explanation.adds_up
    assert found.manifest.metrics["average_precision"] == found.candidate.metrics["average_precision"].value
    assert found.manifest.metrics["average_precision_low"] < found.manifest.metrics["average_precision"]


def test_served_artifact_is_whole_and_carries_nothing_of_the_training_alone(rounds, tmp_path):
    rounds.run(GOOD)
    manifest = verify(rounds.folder / "1" / "winner")
    assert set(manifest.files) == {"model.ubj", "background.parquet", "reference.parquet"}
    assert manifest.parameters == dict(GOOD)


def test_interruptions_do_not_change_what_is_registered(rounds, frame, platform, tmp_path):
    for name, count in (("calm", 0), ("rough", 5)):
        model = train(tmp_path / name, CASE, frame, interruptions=count, lost_seconds=count * 10.0)
        rounds.evaluate(CASE, [model], tmp_path / f"{name}-winner")
    calm, rough = ((tmp_path / f"{name}-winner" / MANIFEST).read_text() for name in ("calm", "rough"))
    assert json.loads(calm) == json.loads(rough)
    assert rounds.registered.version == 1
    assert platform.registry.version("toy", 1).tags["serin.interruptions"] == "5"


def test_report_and_summary_of_an_evaluation_hold_what_was_found(rounds, frame):
    rounds.run(POOR, EARLIER)
    case = case_of("xgboost", gates={"max_loss": 0.02, "slices": {"columns": ["kind"], "positives": 10}})
    found = rounds.run(GOOD, case=case)
    texts = Reader(html(found, case, frame)).texts
    assert {"toy: evaluation of xgboost", "passed", "kind = b", "fitted only", "test", "snapshot"} <= set(texts)
    assert any(text.startswith("3 parts of the rows: none loses more than 0.05") for text in texts)
    summary = markdown(found)
    assert summary.startswith("**xgboost** passed the gate.\n\n- passed: average_precision")
    assert "| roc_auc | " in summary


def test_test_rows_of_other_estimators_are_never_scored(rounds, frame, tmp_path):
    """Only the candidate's model file is opened: the other one could not even be read."""
    case = case_of("logistic_regression", "xgboost")
    weak = train(tmp_path / "weak", case, frame, "logistic_regression", parameters={"C": 1e-9})
    good = train(tmp_path / "good", case, frame, "xgboost")
    manifest = verify(weak)
    (weak / "model.skops").write_bytes(b"no model")
    from serin.artifact import seal

    seal(weak, manifest)
    assert rounds.evaluate(case, [weak, good], tmp_path / "winner").manifest.estimator == "xgboost"


def test_champion_that_has_seen_the_held_back_rows_is_not_compared(rounds):
    rounds.run(GOOD, LATER)
    found = rounds.run(GOOD, AS_OF)
    assert found.verdict.outcome == "failed"
    assert found.champion is None
    assert found.against == 1
    assert found.verdict.reasons[0] == (
        "champion v1 can't be compared: it was trained as of 2026-03-02T00:00 and has seen the rows that are held back "
        "as of 2026-03-01T00:00"
    )


def test_champion_that_needs_a_column_no_longer_declared_is_not_compared(rounds):
    rounds.run(GOOD, EARLIER)
    rounds.frame = rounds.frame.drop(columns="z")
    found = rounds.run(GOOD, case=case_of("xgboost", inputs=("x", "kind")))
    assert found.verdict.reasons[0] == (
        "champion v1 can't be compared: it needs z, which the use case no longer declares; declare that again, or take "
        "the new version without a comparison: serin rollout toy --version N --force"
    )


def test_champion_that_was_fitted_on_what_a_longer_test_holds_back_is_not_compared(rounds, frame):
    short = case_of("xgboost", training={"test": "5d"})
    rounds.frame = frame_of(short)
    rounds.run(GOOD, EARLIER, short)
    rounds.frame = frame
    assert rounds.run(GOOD, AS_OF).verdict.reasons[0] == (
        "champion v1 can't be compared: it was fitted on rows up to 2026-02-24T00:00, and the test begins on "
        "2026-02-22; a shorter training.test or a later --as-of begins after that"
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
    rounds.run(GOOD, EARLIER)
    (artifact,) = (Path(platform.workspace.storage) / "mlflow" / "artifacts").rglob("model")
    damage(artifact)
    with pytest.raises(UnavailableError, match=rf"toy: champion v1 is lost, .*{told}.*; `serin train toy` and"):
        check_drift(platform, CASE, None)
    found = rounds.run(POOR)
    assert found.verdict.passed
    reason = found.verdict.reasons[0]
    assert reason.startswith("champion v1 is lost, and counts as none: ")
    assert told in reason
    platform.aliases("toy").promote(2, served_before=None)
    assert platform.registry.by_alias("toy", "champion").version == 2


def test_lost_champion_is_named_before_anything_is_served(rounds, platform):
    rounds.run(GOOD, EARLIER)
    shutil.rmtree(Path(platform.workspace.storage) / "mlflow" / "artifacts")
    with pytest.raises(NotFoundError, match="the artifact of toy version 1 is lost"):
        serve_champion(platform, CASE)
    assert platform.serving("toy").list("InferenceService") == ()
    rounds.run(GOOD)
    serve_champion(platform, CASE)
    (service,) = platform.serving("toy").list("InferenceService")
    assert service["metadata"]["name"] == "toy-v2"
