"""One test a rule of the state machine."""

from datetime import UTC, datetime, timedelta

import pytest

from components.rollout.states import Action, Outcome, RolloutState, Verdict, advance, parse_state, weights
from serin.errors import ConflictError
from serin.ports import Sample
from serin.use_case import Rollout, Step

START = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = Rollout(
    steps=(Step(weight=10, pause=timedelta(seconds=60)), Step(weight=50, pause=timedelta(seconds=60))),
    failure_limit=1,
    inconclusive_limit=2,
)
DURING, AFTER = START + timedelta(seconds=59), START + timedelta(seconds=60)
GOOD = Verdict(Outcome.SUCCESSFUL, "fine")
BAD = Verdict(Outcome.FAILED, "error_rate 0.31 > 0.01")
FEW = Verdict(Outcome.INCONCLUSIVE, "requests 3 < 50")
DOUBT = Verdict(Outcome.INCONCLUSIVE, "error_rate 0.02 > 0.01 may be chance", doubt=True)
BLIND = Verdict(Outcome.ERROR, "no measurement")
BEFORE, NOW = Sample(ok=100, errors=1), Sample(ok=200, errors=2)


def _state(**changes: object) -> RolloutState:
    first = RolloutState(phase="Progressing", canary="m-v2", stable="m-v1", step_started=START)
    return first.model_copy(update=changes)


def _advance(state: RolloutState, verdict: Verdict, now: datetime) -> tuple[RolloutState, Action]:
    return advance(PLAN, state, verdict, NOW, now)


def test_a_success_during_the_pause_holds() -> None:
    assert _advance(_state(since=BEFORE), GOOD, DURING) == (_state(since=NOW, passed=True), "hold")


def test_a_success_after_the_pause_takes_the_next_step() -> None:
    after, action = _advance(_state(failures=1, inconclusive=2, since=BEFORE), GOOD, AFTER)
    assert action == "step"
    assert (after.step, after.step_started, after.inconclusive) == (1, AFTER, 0)
    assert (after.since, after.passed, after.failures) == (NOW, False, 1)


@pytest.mark.parametrize("verdict", [GOOD, BAD])
def test_requests_that_were_judged_are_not_judged_again(verdict: Verdict) -> None:
    assert _advance(_state(since=BEFORE), verdict, DURING)[0].since == NOW


@pytest.mark.parametrize("verdict", [FEW, DOUBT, BLIND])
@pytest.mark.parametrize("now", [DURING, AFTER])
def test_requests_that_were_not_judged_add_up(verdict: Verdict, now: datetime) -> None:
    assert _advance(_state(since=BEFORE), verdict, now)[0].since == BEFORE


def test_a_failure_without_a_sample_leaves_requests_to_be_judged() -> None:
    assert advance(PLAN, _state(since=BEFORE), BAD, None, DURING)[0].since == BEFORE


def test_too_few_requests_after_the_pause_step_if_others_of_the_step_were_successful() -> None:
    after, action = _advance(_state(passed=True, since=BEFORE), FEW, AFTER)
    assert (after.step, after.passed, after.since, action) == (1, False, NOW, "step")


def test_too_few_requests_after_a_failure_do_not_step() -> None:
    failed, _ = _advance(_state(passed=True), BAD, DURING)
    after, action = _advance(failed, FEW, AFTER)
    assert (after.step, after.inconclusive, action) == (0, 1, "hold")


def test_errors_that_may_be_chance_do_not_step() -> None:
    after, action = _advance(_state(passed=True), DOUBT, AFTER)
    assert (after.step, after.inconclusive, action) == (0, 1, "hold")


def test_a_missing_measurement_does_not_step() -> None:
    after, action = _advance(_state(passed=True), BLIND, AFTER)
    assert (after.step, after.inconclusive, action) == (0, 1, "hold")


def test_a_success_after_the_last_pause_promotes() -> None:
    after, action = _advance(_state(step=1), GOOD, AFTER)
    assert (after.phase, after.reason, action) == ("Promoted", "fine", "promote")


def test_a_promotion_with_requests_that_are_not_judged_says_so() -> None:
    after, action = _advance(_state(step=1, passed=True), FEW, AFTER)
    assert (after.reason, action) == ("Successful before, since then requests 3 < 50", "promote")


def test_failures_up_to_the_limit_hold() -> None:
    after, action = _advance(_state(), BAD, AFTER)
    assert (after.failures, after.phase, action) == (1, "Progressing", "hold")


@pytest.mark.parametrize("now", [DURING, AFTER])
def test_failures_over_the_limit_roll_back(now: datetime) -> None:
    after, action = _advance(_state(failures=1), BAD, now)
    assert (after.phase, action) == ("RolledBack", "roll_back")
    assert after.reason == "failed (2) > failure_limit (1): error_rate 0.31 > 0.01"


def test_a_failure_limit_of_zero_rolls_back_at_once() -> None:
    after, action = advance(PLAN.model_copy(update={"failure_limit": 0}), _state(), BAD, NOW, DURING)
    assert action == "roll_back"
    assert after.reason.startswith("failed (1) > failure_limit (0)")


def test_too_few_requests_during_the_pause_do_not_count() -> None:
    after, action = _advance(_state(inconclusive=2), FEW, DURING)
    assert (after.inconclusive, action) == (2, "hold")


def test_too_few_requests_after_the_pause_hold_and_never_pass() -> None:
    after, action = _advance(_state(), FEW, AFTER)
    assert (after.inconclusive, after.step, action) == (1, 0, "hold")


def test_inconclusive_over_the_limit_rolls_back() -> None:
    after, action = _advance(_state(inconclusive=2), FEW, AFTER)
    assert action == "roll_back"
    assert after.reason == "inconclusive (3) > inconclusive_limit (2): requests 3 < 50"


def test_an_error_counts_during_the_pause_too() -> None:
    after, action = _advance(_state(), BLIND, DURING)
    assert (after.inconclusive, after.phase, action) == (1, "Progressing", "hold")


def test_errors_over_the_limit_roll_back() -> None:
    after, action = _advance(_state(inconclusive=2), BLIND, DURING)
    assert (after.phase, action) == ("RolledBack", "roll_back")


def test_a_clock_that_went_backwards_holds() -> None:
    assert _advance(_state(), GOOD, START - timedelta(hours=1))[1] == "hold"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"m-v1": 90, "m-v2": 10}),
        ({"step": 1}, {"m-v1": 50, "m-v2": 50}),
        ({"phase": "Promoted"}, {"m-v2": 100}),
        ({"phase": "RolledBack"}, {"m-v1": 100}),
        ({"phase": "Promoted", "stable": None}, {"m-v2": 100}),
    ],
)
def test_weights_follow_the_state(changes: dict[str, object], expected: dict[str, int]) -> None:
    assert weights(PLAN, _state(**changes)) == expected


def test_a_plan_that_became_shorter_keeps_its_last_step() -> None:
    assert weights(PLAN, _state(step=7)) == {"m-v1": 50, "m-v2": 50}
    assert _advance(_state(step=7), GOOD, AFTER)[1] == "promote"


def test_a_state_comes_back_from_its_annotation() -> None:
    state = _state(step=1, failures=1, since=Sample(ok=5, errors=1, buckets={"0.1": 5.0, "+Inf": 6.0}))
    assert parse_state(state.model_dump_json(), "VirtualService m") == state


def test_a_state_that_somebody_else_wrote_is_an_error() -> None:
    with pytest.raises(ConflictError, match="VirtualService m: the rollout state can't be read"):
        parse_state('{"phase": "Paused"}', "VirtualService m")
