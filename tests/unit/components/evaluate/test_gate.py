"""The gate: one test a rule."""

import pytest

from components.evaluate.gate import Incomparable, judge
from serin import use_case
from serin.workspace import Workspace


@pytest.fixture(scope="module")
def case():
    shipped = use_case.load("card_fraud", Workspace.from_variables({}).use_cases)
    return shipped.model_copy(update={"gates": use_case.Gates(minimum={"roc_auc": 0.7}, max_loss=0.01)})


def metrics(precision, auc=0.9):
    return {"average_precision": precision, "roc_auc": auc}


def test_first_model_passes_on_the_minimum_alone(case):
    verdict = judge(metrics(0.1), None, case)
    assert verdict.passed
    assert verdict.reasons == ("roc_auc 0.9000 >= 0.7 (gates.minimum)", "no champion to compare with")


def test_below_the_minimum_fails_and_says_so(case):
    verdict = judge(metrics(0.9, auc=0.69), None, case)
    assert not verdict.passed
    assert "roc_auc 0.6900 < 0.7 (gates.minimum)" in verdict.reasons


def test_loss_within_the_limit_passes(case):
    assert judge(metrics(0.491), metrics(0.50), case).passed


def test_loss_beyond_the_limit_fails_and_names_both(case):
    verdict = judge(metrics(0.489), metrics(0.50), case)
    assert not verdict.passed
    assert "average_precision 0.4890 < the champion's 0.5000 on the same rows less 0.01" in verdict.reasons[1]


def test_nan_never_passes(case):
    assert not judge(metrics(float("nan")), metrics(0.1), case).passed
    assert not judge(metrics(0.9, auc=float("nan")), None, case).passed


def test_champion_that_can_not_be_compared_fails_the_gate(case):
    verdict = judge(metrics(0.9), Incomparable("champion v3 can't be compared: it needs x"), case)
    assert not verdict.passed
    assert "champion v3 can't be compared: it needs x" in verdict.reasons


def test_champion_that_is_lost_stops_no_successor_and_is_named(case):
    lost = Incomparable("champion v3 is lost, and counts as none", lost=True)
    verdict = judge(metrics(0.9), lost, case)
    assert verdict.passed
    assert lost.reason in verdict.reasons
    assert not judge(metrics(0.9, auc=0.69), lost, case).passed
