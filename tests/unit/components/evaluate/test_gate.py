"""The gate: one test a rule and a limit."""

from dataclasses import replace

import pytest

from components.evaluate.gate import (
    LEAST_POSITIVES,
    Against,
    Incomparable,
    Latency,
    Measured,
    SliceFound,
    judge,
)
from serin import use_case
from serin.learning.intervals import Estimate
from serin.workspace import Workspace

NAN = float("nan")


def about(value: float, spread: float = 0.02) -> Estimate:
    return Estimate(value, value - spread, value + spread)


def against(low: float, high: float, **more: bool) -> Against:
    return Against("champion v1", 0.5, Estimate((low + high) / 2, low, high), **more)


@pytest.fixture(scope="module")
def case():
    shipped = use_case.load("card_fraud", Workspace.from_variables({}).use_cases)
    return shipped.model_copy(update={"gates": use_case.Gates(minimum={"roc_auc": 0.7}, max_loss=0.01)})


def with_slices(case, **rule):
    slices = use_case.SliceRule(columns=("TX_AMOUNT",), max_loss=0.05, **rule)
    return case.model_copy(update={"gates": case.gates.model_copy(update={"slices": slices})})


@pytest.fixture
def found():
    metrics = {"average_precision": about(0.5), "roc_auc": about(0.9)}
    return Measured(metrics, positives=500, negatives=50_000, champion=None)


def auc(found, estimate):
    return replace(found, metrics={**found.metrics, "roc_auc": estimate})


# gates.minimum


def test_first_model_passes_on_the_minimum_alone(case, found):
    verdict = judge(found, case)
    assert verdict.passed
    assert verdict.reasons == (
        "roc_auc 0.9000 [0.8800, 0.9200] >= 0.7 (gates.minimum)",
        "no champion to compare with",
    )


def test_exactly_the_minimum_passes(case, found):
    assert judge(auc(found, Estimate(0.7, 0.7, 0.7)), case).passed


def test_below_the_minimum_fails_and_says_so(case, found):
    verdict = judge(auc(found, about(0.69)), case)
    assert verdict.outcome == "failed"
    assert "roc_auc 0.6900 [0.6700, 0.7100] < 0.7 (gates.minimum)" in verdict.reasons


def test_minimum_inside_the_interval_passes_and_is_told(case, found):
    verdict = judge(auc(found, about(0.71)), case)
    assert verdict.passed
    assert "the interval reaches below it: it may be above by chance" in verdict.reasons[0]


def test_minimum_of_a_metric_that_is_no_number_fails(case, found):
    assert judge(auc(found, Estimate(NAN, NAN, NAN)), case).outcome == "failed"


# Too few positives


@pytest.mark.parametrize(("positives", "outcome"), [(LEAST_POSITIVES - 1, "undecided"), (LEAST_POSITIVES, "passed")])
def test_a_result_on_a_handful_of_positives_is_undecided(positives, outcome, case, found):
    assert judge(replace(found, positives=positives), case).outcome == outcome


def test_three_positives_are_said_to_be_three(case, found):
    verdict = judge(replace(found, positives=3), case)
    assert "too few positives: the test rows hold 3, and under 30 any result may be chance" in verdict.reasons


def test_a_handful_of_negatives_is_no_better(case, found):
    verdict = judge(replace(found, negatives=4), case)
    assert verdict.outcome == "undecided"
    assert any(reason.startswith("too few negatives: the test rows hold 4") for reason in verdict.reasons)


def test_a_candidate_below_the_minimum_fails_however_few_its_positives(case, found):
    assert judge(replace(auc(found, about(0.6)), positives=3), case).outcome == "failed"


def test_an_interval_with_the_coin_in_it_is_undecided_whatever_the_minimum(case, found):
    lax = case.model_copy(update={"gates": use_case.Gates()})
    verdict = judge(auc(found, Estimate(0.53, 0.49, 0.57)), lax)
    assert verdict.outcome == "undecided"
    assert "roc_auc 0.5300 [0.4900, 0.5700]: a coin has 0.5, and the interval reaches down to it" in verdict.reasons
    assert judge(auc(found, Estimate(0.55, 0.51, 0.59)), lax).passed


# The champion, on the same rows


def test_interval_of_the_difference_above_the_limit_passes_and_names_both(case, found):
    verdict = judge(replace(found, champion=against(-0.005, 0.025)), case)
    assert verdict.passed
    assert verdict.reasons[1] == (
        "average_precision 0.5000, champion v1 0.5000 on the same rows: the difference +0.0100 [-0.0050, +0.0250] is "
        "above -0.01 (gates.max_loss, with 95% confidence)"
    )


def test_interval_of_the_difference_below_the_limit_fails(case, found):
    verdict = judge(replace(found, champion=against(-0.06, -0.02)), case)
    assert verdict.outcome == "failed"
    assert "-0.0400 [-0.0600, -0.0200] is below -0.01 (gates.max_loss" in verdict.reasons[1]


def test_limit_inside_the_interval_is_undecided_and_counts_the_positives(case, found):
    verdict = judge(replace(found, champion=against(-0.02, 0.04), positives=41), case)
    assert (verdict.outcome, verdict.passed) == ("undecided", False)
    assert verdict.reasons[1].endswith(
        "has -0.01 (gates.max_loss, with 95% confidence) inside: 41 positives can't tell"
    )


@pytest.mark.parametrize(("low", "high"), [(-0.01, 0.03), (-0.03, -0.01)])
def test_interval_that_touches_the_limit_is_undecided(low, high, case, found):
    assert judge(replace(found, champion=against(low, high)), case).outcome == "undecided"


def test_without_a_margin_only_a_certain_gain_passes(case, found):
    strict = case.model_copy(update={"gates": use_case.Gates()})
    assert judge(replace(found, champion=against(0.001, 0.03)), strict).passed
    unsure = judge(replace(found, champion=against(-0.001, 0.03)), strict)
    assert unsure.outcome == "undecided"
    assert "has 0 (gates.max_loss" in unsure.reasons[0]


def test_the_same_scores_are_a_tie_which_keeps_the_champion(case, found):
    verdict = judge(replace(found, champion=against(0.0, 0.0, tie=True)), case)
    assert verdict.outcome == "failed"
    assert verdict.reasons[1].endswith("a tie with champion v1, and a tie keeps the champion")


def test_a_difference_of_exactly_nothing_is_a_tie_too(case, found):
    assert judge(replace(found, champion=against(0.0, 0.0)), case).outcome == "failed"


def test_the_champion_trained_once_more_passes_as_itself(case, found):
    verdict = judge(replace(found, champion=against(0.0, 0.0, tie=True, itself=True)), case)
    assert verdict.passed
    assert "the candidate is champion v1: the same model" in verdict.reasons[1]


def test_a_difference_that_is_no_number_never_passes(case, found):
    assert judge(replace(found, champion=against(NAN, NAN)), case).outcome == "undecided"


def test_champion_that_can_not_be_compared_fails_the_gate(case, found):
    verdict = judge(replace(found, champion=Incomparable("champion v3 can't be compared: it needs x")), case)
    assert verdict.outcome == "failed"
    assert "champion v3 can't be compared: it needs x" in verdict.reasons


def test_champion_that_is_lost_stops_no_successor_and_is_named(case, found):
    lost = Incomparable("champion v3 is lost, and counts as none", lost=True)
    verdict = judge(replace(found, champion=lost), case)
    assert verdict.passed
    assert lost.reason in verdict.reasons
    assert not judge(replace(auc(found, about(0.69)), champion=lost), case).passed


# gates.slices


def part(low: float, high: float, positives: int = 60) -> SliceFound:
    return SliceFound(
        "TX_AMOUNT", "over 80", 900, positives, about(0.5), about(0.6), Estimate((low + high) / 2, low, high)
    )


def sliced(found, *parts):
    return replace(found, champion=against(0.01, 0.02), slices=parts)


def test_parts_that_lose_nothing_pass_and_are_counted(case, found):
    verdict = judge(sliced(found, part(-0.02, 0.04), part(0.0, 0.1)), with_slices(case))
    assert verdict.passed
    assert "2 parts of the rows: none loses more than 0.05 (gates.slices)" in verdict.reasons


def test_a_part_that_surely_loses_more_than_allowed_fails_by_name(case, found):
    verdict = judge(sliced(found, part(-0.2, -0.06)), with_slices(case))
    assert verdict.outcome == "failed"
    assert verdict.reasons[-1] == (
        "TX_AMOUNT=over 80: average_precision -0.1300 [-0.2000, -0.0600] against the champion's is below -0.05 "
        "(gates.slices, 900 rows, 60 positives)"
    )


def test_a_part_that_may_lose_more_than_allowed_is_undecided(case, found):
    assert judge(sliced(found, part(-0.2, 0.02)), with_slices(case)).outcome == "undecided"


def test_a_loss_within_the_limit_needs_no_certainty(case, found):
    assert judge(sliced(found, part(-0.15, 0.05)), with_slices(case)).passed


@pytest.mark.parametrize(("positives", "outcome"), [(29, "passed"), (30, "failed")])
def test_a_part_with_few_positives_is_told_and_not_judged(positives, outcome, case, found):
    verdict = judge(sliced(found, part(-0.2, -0.06, positives)), with_slices(case, positives=30))
    assert verdict.outcome == outcome
    if outcome == "passed":
        few = "not judged, with fewer than 30 positives (gates.slices): TX_AMOUNT=over 80 (29)"
        assert few in verdict.reasons


def test_a_part_without_a_difference_is_not_judged(case, found):
    alone = replace(part(0, 0), difference=None, champion=None)
    verdict = judge(replace(found, slices=(alone,)), with_slices(case))
    assert verdict.passed
    assert "no champion to compare parts of the rows with" in verdict.reasons


def test_parts_are_left_alone_where_the_use_case_names_no_column(case, found):
    assert judge(sliced(found, part(-0.2, -0.06)), case).passed


# slo.latency_p95_ms


@pytest.mark.parametrize(("p95", "outcome"), [(50.0, "passed"), (50.1, "failed")])
def test_latency_is_held_to_what_the_service_promises(p95, outcome, case, found):
    verdict = judge(replace(found, latency=Latency(1.0, p95, 400, "xgboost")), case)
    assert verdict.outcome == outcome
    assert f"one row takes {p95:.2f} ms at the 95th percentile of 400 calls" in verdict.reasons[-1]
    assert ("within" if outcome == "passed" else "beyond") + " 50 ms (slo.latency_p95_ms)" in verdict.reasons[-1]


def test_the_worst_answer_counts_and_all_are_told(case, found):
    slow = replace(found, champion=against(-0.02, 0.04), latency=Latency(1.0, 80.0, 400, "sklearn"))
    verdict = judge(auc(slow, about(0.71)), case)
    assert verdict.outcome == "failed"
    assert [check.outcome for check in verdict.checks] == ["passed", "undecided", "failed"]
