"""The evaluation report and the loop's page, made from plain data."""

from dataclasses import replace

import pandas as pd
import pytest

from serin.reports.evaluation import Evaluation, evaluation_page
from serin.reports.loop import DriftFound, Loop, loop_page
from serin.reports.page import Link, Moment, Table, Tile
from serin.reports.timelines import Event
from tests.markup import HOSTILE, Reader


@pytest.fixture
def evaluation(scored):
    labels, good, poor = scored
    return Evaluation(
        use_case="card_fraud",
        candidate="xgboost",
        as_of="2018-06-01",
        accepted=True,
        reasons=("roc_auc 0.981 is at least 0.700",),
        metrics={"xgboost": {"roc_auc": 0.981}, "champion v1": {"roc_auc": 0.617, "average_precision": 0.2}},
        labels=labels,
        scores={"xgboost": good, "champion v1": poor},
        threshold=0.5,
        label_names=("genuine", "fraud"),
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
        label_names=(HOSTILE, HOSTILE),
        parameters={HOSTILE: HOSTILE},
    )
    assert "script" not in Reader(evaluation_page(hostile)).tags


@pytest.fixture
def loop(samples):
    values = pd.DataFrame({"AMOUNT": [1.0, 2.0, 3.0], "CHANNEL": ["a", "b", "b"]})
    return Loop(
        use_case="card_fraud",
        summary="one machine",
        tiles=(Tile("Requests lost", "0"),),
        moments=(
            Moment("10:00", "v1 trained"),
            Moment("10:01", "v3 rolled back", "failed (2) > failure limit (1)"),
        ),
        results=Table(("part", "result"), (("champion", "v2"),)),
        versions=Table(("version", "state"), (("v1", "previous"),)),
        drift=DriftFound(
            measures={"AMOUNT": 0.9, "CHANNEL": 0.1, "score": 0.05},
            limits={"AMOUNT": 0.2, "CHANNEL": 0.2, "score": 0.2},
            drifted=("AMOUNT",),
            reasons=("1 of 2 inputs drifted (50%); the limit is 30% (max_share)",),
            reference=values,
            current=values * 2,
            href="drift.html",
        ),
        samples=samples,
        events=(Event(40, "v2: 5 %"),),
        latency_limit_ms=50,
        links=(Link("v1", "v1/report.html"),),
    )


def test_loop_tells_the_story_with_traffic_drift_and_links(loop):
    read = Reader(loop_page(loop))
    assert {
        "card_fraud: the whole loop",
        "v1 trained",
        "failed (2) > failure limit (1)",
        "2,000 requests to 2 versions, 4 failed",
        "1 of 3 columns drifted",
        "1 of 2 inputs drifted (50%); the limit is 30% (max_share)",
        "Median 2 before, 4 now",
        "champion",
        "previous",
    } <= set(read.texts)
    assert {"drift.html", "v1/report.html"} <= set(read.hrefs)


def test_loop_leaves_out_what_is_empty(loop):
    bare = replace(loop, drift=None, samples=pd.DataFrame(), versions=None, links=())
    read = Reader(loop_page(bare))
    assert "What happened" in read.texts
    assert not {"Drift", "Traffic", "Models", "Read on"} & set(read.texts)


def test_loop_with_hostile_names(loop):
    values = pd.DataFrame({HOSTILE: ["a", HOSTILE]})
    drift = DriftFound({HOSTILE: 1.0}, {HOSTILE: 0.2}, (HOSTILE,), (HOSTILE,), values, values, HOSTILE)
    named = loop.samples.assign(version=HOSTILE)
    hostile = replace(loop, use_case=HOSTILE, drift=drift, samples=named, events=(Event(1, HOSTILE),))
    assert "script" not in Reader(loop_page(hostile)).tags
