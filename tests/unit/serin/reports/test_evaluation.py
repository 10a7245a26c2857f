"""The evaluation report, made from plain data."""

from dataclasses import replace

import pytest

from serin.reports.evaluation import EvaluationFacts, evaluation_page
from tests.markup import HOSTILE, Reader


@pytest.fixture
def evaluation(scored):
    labels, good, poor = scored
    return EvaluationFacts(
        use_case="card_fraud",
        candidate="xgboost",
        as_of="2018-06-01",
        accepted=True,
        reasons=("roc_auc 0.981 is at least 0.700",),
        metrics={"xgboost": {"roc_auc": 0.981}, "champion v1": {"roc_auc": 0.617, "average_precision": 0.2}},
        labels=labels,
        scores={"xgboost": good, "champion v1": poor},
        threshold=0.5,
        snapshot={"rows": 4000},
        parameters={"max_depth": 6},
    )


def test_evaluation_shows_verdict_metrics_data_and_parameters(evaluation):
    read = Reader(evaluation_page(evaluation))
    assert {
        "card_fraud: evaluation of xgboost",
        "passed",
        "The candidate passed the gate.",
        "roc_auc 0.981 is at least 0.700",
        "0.9810",
        "0.6170 (-0.3640)",
        "4000",
        "max_depth",
    } <= set(read.texts)
    assert read.tags.count("svg") == 3


def test_evaluation_holds_estimators_of_the_validation_rows_against_each_other_alone(evaluation):
    validation = {"logistic_regression": {"roc_auc": 0.9}, "xgboost": {"roc_auc": 0.95}}
    read = Reader(evaluation_page(replace(evaluation, validation=validation)))
    assert {"on the validation rows", "0.9500", "0.9000 (-0.0500)"} <= set(read.texts)
    one = replace(evaluation, validation={"xgboost": {"roc_auc": 0.95}})
    assert "on the validation rows" not in Reader(evaluation_page(one)).texts


def test_evaluation_of_a_candidate_that_failed_the_gate(evaluation):
    page = evaluation_page(replace(evaluation, accepted=False, reasons=("roc_auc 0.6 is below 0.7",)))
    assert {"not passed", "The candidate did not pass the gate.", "roc_auc 0.6 is below 0.7"} <= set(Reader(page).texts)


def test_evaluation_without_a_champion(evaluation):
    alone = replace(evaluation, metrics={"xgboost": {"roc_auc": 0.981}}, scores={"m": evaluation.scores["xgboost"]})
    assert "0.9810" in Reader(evaluation_page(alone)).texts


def test_evaluation_counts_decisions_at_the_threshold(evaluation):
    flagged = (evaluation.scores["xgboost"] >= 0.5) & (evaluation.labels == 1)
    assert f"{int(flagged.sum()):,}" in Reader(evaluation_page(evaluation)).texts


def test_evaluation_with_hostile_names(evaluation):
    hostile = replace(
        evaluation,
        use_case=HOSTILE,
        candidate=HOSTILE,
        metrics={HOSTILE: {HOSTILE: 0.5}},
        scores={HOSTILE: evaluation.scores["xgboost"]},
        parameters={HOSTILE: HOSTILE},
    )
    assert "script" not in Reader(evaluation_page(hostile)).tags
