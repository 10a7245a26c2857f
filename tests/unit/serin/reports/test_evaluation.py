"""The evaluation report, made from plain data."""

from dataclasses import replace

import numpy as np
import pytest

from serin.explain import Explanation
from serin.learning.record import DifferingRow, FoldResult, Parity, TrainingRecord, Trial
from serin.reports import evaluation_sections as sections
from serin.reports.estimates import Range
from serin.reports.evaluation import EvaluationFacts, PartFacts, SliceFacts, evaluation_page
from serin.reports.page import Section, render
from tests.markup import HOSTILE, Reader


def about(value, spread=0.01):
    return Range(value, value - spread, value + spread)


def cell(text):
    """As it stands in a table: no line is broken inside."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def record(name="xgboost", **more):
    trials = [Trial(number=n, parameters={}, value=v, state="complete" if v else "pruned", seconds=1)
              for n, v in enumerate((0.6, None, 0.7))]  # fmt: skip
    fold = FoldResult(number=1, start="2018-05-04", end="2018-05-10", fit_rows=9000, rows=1000, positives=50,
                      metrics={"average_precision": 0.66})  # fmt: skip
    usual = {"seed": 7, "parameters": {}, "trials": trials, "folds": [fold], "known_rows": 9876,
             "calibration": {"none": 0.0401, "isotonic": 0.0387}}  # fmt: skip
    return TrainingRecord(estimator=name, **{**usual, **more})


@pytest.fixture
def evaluation(scored):
    labels, good, poor = scored
    return EvaluationFacts(
        use_case="card_fraud",
        candidate="xgboost",
        as_of="2018-06-01",
        primary_metric="average_precision",
        outcome="passed",
        checks=(("passed", "roc_auc 0.981 is at least 0.700"),),
        metrics={
            "xgboost": {"roc_auc": about(0.981), "average_precision": about(0.5)},
            "champion v1": {"roc_auc": about(0.617), "average_precision": about(0.2)},
        },
        differences={"roc_auc": about(0.364)},
        labels=labels,
        scores={"xgboost": good, "champion v1": poor},
        threshold=0.5,
        parts=(PartFacts("fold 1", 1000, 50, "2018-05-04", "2018-05-10"), PartFacts("test", 4000, 200)),
        validation={
            "logistic_regression": {"average_precision": about(0.61)},
            "xgboost": {"average_precision": about(0.66)},
        },
        choice=("xgboost is the best single estimator by average_precision",),
        records=(record(), record("logistic_regression")),
        slices=(
            SliceFacts("channel", "online", 900, 80, {"xgboost": about(0.44), "champion v1": about(0.41)}),
            SliceFacts("channel", "chip", 300, 0),
        ),
        lineage={"data snapshot": "abc123", "seed": 7},
        parameters={"max_depth": 6},
    )


def texts(evaluation, *names):
    """What the sections of these names say; a page draws them all, which takes its time."""
    parts = tuple(part for name in names for part in getattr(sections, name)(evaluation))
    return Reader(render("A title", [Section("A section", parts)])).texts


def with_record(evaluation, **more):
    return replace(evaluation, records=(record(**more),))


def explained(gap=1e-8, missing=False):
    random = np.random.default_rng(0)
    inputs = random.normal(size=(40, 2)).astype(np.float32)
    if missing:
        inputs[::3, 0] = np.nan
    values = random.normal(size=(40, 2)) * [2, 0.1]
    return Explanation(("amount", "hour"), values, 0.1, inputs, "log-odds", "exact", gap)


def test_page_begins_with_the_verdict_and_has_every_section(evaluation):
    read = Reader(evaluation_page(replace(evaluation, explanation=explained())))
    assert {"card_fraud: evaluation of xgboost", "passed", "The candidate passed the gate.", "0.5000"} <= set(
        read.texts
    )
    named = ["Verdict", "Data", "Scores", "Estimators", "Ranking", "Decisions and calibration", "Parts of the rows"]
    assert read.texts.count("champion v1: 0.2000") == 1
    assert set(named) | {"Explanations", "Search and training", "Lineage"} <= set(read.texts)
    assert not {"script", "img", "link"} & set(read.tags)
    assert len(evaluation_page(evaluation)) < 400_000


def test_every_rule_stands_with_its_answer_and_reason(evaluation):
    assert {"passed", "roc_auc 0.981 is at least 0.700"} <= set(texts(evaluation, "verdict"))


@pytest.mark.parametrize(
    ("outcome", "tile", "sentence"),
    [
        ("failed", "not passed", "The candidate did not pass the gate."),
        ("undecided", "undecided", "The gate is undecided: these rows can't tell, which is no pass."),
    ],
)
def test_candidate_that_did_not_pass(outcome, tile, sentence, evaluation):
    doubtful = replace(evaluation, outcome=outcome, checks=((outcome, "too few positives"),))
    assert {sentence, outcome, "too few positives"} <= set(texts(doubtful, "verdict"))
    assert sections.tiles(doubtful)[0].value == tile


def test_scores_stand_with_their_intervals_beside_the_champions_and_the_difference(evaluation):
    assert {
        cell("0.9810 [0.9710, 0.9910]"),
        cell("0.6170 [0.6070, 0.6270]"),
        cell("+0.3640 [+0.3540, +0.3740]"),
    } <= set(texts(evaluation, "scores"))


def test_without_a_champion_there_is_no_difference(evaluation):
    alone = replace(
        evaluation,
        metrics={"xgboost": {"roc_auc": about(0.981)}},
        differences={},
        scores={"xgboost": evaluation.scores["xgboost"]},
    )
    found = texts(alone, "scores")
    assert cell("0.9810 [0.9710, 0.9910]") in found
    assert "difference" not in found


def test_data_are_told_part_by_part(evaluation):
    assert {"fold 1", "2018-05-04", "2018-05-10", "1,000", "4,000", "5"} <= set(texts(evaluation, "data"))


def test_estimators_are_held_against_each_other_on_validation_fold_by_fold(evaluation):
    assert {
        "xgboost is the best single estimator by average_precision",
        "xgboost has the highest average precision on validation",
        cell("0.6100 [0.6000, 0.6200]"),
        "fold 1, 2018-05-04 to 2018-05-10, 50 positives",
        "0.6600",
    } <= set(texts(evaluation, "estimators"))


def test_parts_of_the_rows_are_drawn_and_listed_with_those_that_have_no_value(evaluation):
    found = texts(evaluation, "slices")
    assert {"channel = online", "300 rows, 0 positives", cell("0.4400 [0.4300, 0.4500]")} <= set(found)


def test_search_and_training_tell_trials_and_what_was_interrupted(evaluation):
    found = texts(
        with_record(evaluation, interruptions=3, lost_seconds=41.5, search_note="ended by its budget"), "training"
    )
    assert {"2 finished trials: the lines are the best so far", "9,876", "3", "41.5"} <= set(found)
    assert "xgboost: ended by its budget" in found


def test_calibration_is_told_by_its_loss(evaluation):
    assert {"isotonic", "0.03870"} <= set(texts(evaluation, "decisions"))


def test_onnx_that_passed_says_on_how_many_rows(evaluation):
    found = texts(with_record(evaluation, parity=Parity(passed=True, rows=2300, tolerance=1e-5, worst=3e-7)), "parity")
    assert "The ONNX file gives the same scores on 2,300 rows, and serves small requests." in found


def test_onnx_that_did_not_pass_says_why_and_which_rows_differ_by_how_much(evaluation):
    row = DifferingRow(kind="edge", inputs={"amount": None, "hour": 3.0}, native=0.3, onnx=0.61)
    parity = Parity(passed=False, reason="scores differ", rows=9, tolerance=1e-5, worst=0.31, flipped=1,
                    differing=(row,))  # fmt: skip
    found = texts(with_record(evaluation, parity=parity), "parity")
    assert {
        "The model is served natively, without an ONNX file: scores differ",
        "Largest difference 0.31, allowed 1e-05; 1 decisions flipped; 9 rows compared.",
        "edge",
        "+0.31",
        "amount=missing, hour=3",
    } <= set(found)


@pytest.mark.parametrize("missing", [False, True])
def test_explanations_name_the_inputs_that_matter(missing, evaluation):
    found = texts(replace(evaluation, explanation=explained(missing=missing)), "explanations")
    assert any(text.startswith("amount moves scores most; the first 2 inputs make 100%") for text in found)
    assert any(text.startswith("SHAP values of 40 test rows before calibration, in log-odds: exact.") for text in found)
    assert not any("do not add up" in text for text in found)


def test_explanations_that_miss_the_score_are_told(evaluation):
    found = texts(replace(evaluation, explanation=explained(gap=0.02)), "explanations")
    assert "The values of a row do not add up to its score: they miss it by up to 0.02." in found


def test_explanations_that_could_not_be_had_are_told(evaluation):
    assert "There are no explanations: shap is missing" in texts(
        replace(evaluation, unexplained="shap is missing"), "explanations"
    )


def test_lineage_and_parameters(evaluation):
    assert {"data snapshot", "abc123", "max_depth", "6"} <= set(texts(evaluation, "lineage"))


def test_decisions_are_counted_at_the_threshold(evaluation):
    flagged = (evaluation.scores["xgboost"] >= 0.5) & (evaluation.labels == 1)
    assert any(text.startswith(f"{int(flagged.sum()):,}") for text in texts(evaluation, "decisions"))


def test_facts_that_are_not_there_leave_no_section(evaluation):
    bare = replace(evaluation, parts=(), validation={}, choice=(), records=(), slices=(), lineage={}, parameters={})
    found = Reader(evaluation_page(bare)).texts
    assert "Verdict" in found
    for name in ("Data", "Estimators", "Parts of the rows", "Explanations", "ONNX", "Search and training", "Lineage"):
        assert name not in found


def test_hostile_names_stay_text(evaluation):
    values = np.ones((3, 1))
    hostile = replace(
        evaluation,
        use_case=HOSTILE,
        candidate=HOSTILE,
        metrics={HOSTILE: {HOSTILE: about(0.5)}},
        scores={HOSTILE: evaluation.scores["xgboost"]},
        records=(record(HOSTILE, search_note=HOSTILE),),
        slices=(SliceFacts(HOSTILE, HOSTILE, 3, 1, {HOSTILE: about(0.5)}),),
        explanation=Explanation((HOSTILE,), values, 0.0, values.astype(np.float32), "log-odds", HOSTILE, 0.0),
        parameters={HOSTILE: HOSTILE},
    )
    assert "script" not in Reader(evaluation_page(hostile)).tags
