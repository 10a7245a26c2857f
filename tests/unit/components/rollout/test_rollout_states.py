"""One test a rule of the state machine."""

from datetime import UTC, datetime, timedelta

import pytest

from components.rollout.states import Judged, RolloutState, advance, parse_state, weights
from components.rollout.verdict import Outcome, Verdict
from serin.errors import ConflictError
from serin.ports import Sample
from serin.use_case import Rollout, Step

START = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = Rollout(
    steps=(Step(weight=10, pause=timedelta(seconds=60)), Step(weight=50, pause=timedelta(seconds=60))),
    failure_limit=1,
    inconclusive_limit=2,
    error_limit=3,
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


def _advance(state: RolloutState, verdict: Verdict, now: datetime, plan: Rollout = PLAN) -> RolloutState:
    return advance(plan, state, verdict, NOW, now)


def _stands(state: RolloutState) -> tuple[str, int]:
    return state.phase, state.step


def test_a_success_during_the_pause_holds() -> None:
    after = _advance(_state(since=BEFORE), GOOD, DURING)
    assert (_stands(after), after.since, after.passed) == (("Progressing", 0), NOW, True)


def test_a_success_after_the_pause_takes_the_next_step() -> None:
    after = _advance(_state(failures=1, inconclusive=2, since=BEFORE), GOOD, AFTER)
    assert (_stands(after), after.step_started, after.inconclusive) == (("Progressing", 1), AFTER, 0)
    assert (after.since, after.passed, after.failures) == (NOW, False, 1)


@pytest.mark.parametrize("verdict", [GOOD, BAD])
def test_requests_that_were_judged_are_not_judged_again(verdict: Verdict) -> None:
    assert _advance(_state(since=BEFORE), verdict, DURING).since == NOW


@pytest.mark.parametrize("verdict", [FEW, DOUBT, BLIND])
@pytest.mark.parametrize("now", [DURING, AFTER])
def test_requests_that_were_not_judged_add_up(verdict: Verdict, now: datetime) -> None:
    assert _advance(_state(since=BEFORE), verdict, now).since == BEFORE


def test_a_failure_without_a_sample_leaves_requests_to_be_judged() -> None:
    assert advance(PLAN, _state(since=BEFORE), BAD, None, DURING).since == BEFORE


def test_too_few_requests_after_the_pause_step_if_others_of_the_step_were_successful() -> None:
    after = _advance(_state(passed=True, since=BEFORE), FEW, AFTER)
    assert (after.step, after.passed, after.since) == (1, False, NOW)


def test_too_few_requests_after_a_failure_do_not_step() -> None:
    after = _advance(_advance(_state(passed=True), BAD, DURING), FEW, AFTER)
    assert (_stands(after), after.inconclusive) == (("Progressing", 0), 1)


def test_errors_that_may_be_chance_do_not_step() -> None:
    after = _advance(_state(passed=True), DOUBT, AFTER)
    assert (_stands(after), after.inconclusive) == (("Progressing", 0), 1)


def test_a_missing_measurement_does_not_step() -> None:
    after = _advance(_state(passed=True), BLIND, AFTER)
    assert (_stands(after), after.errors, after.inconclusive) == (("Progressing", 0), 1, 0)


def test_a_success_after_the_last_pause_promotes() -> None:
    after = _advance(_state(step=1), GOOD, AFTER)
    assert (after.phase, after.reason) == ("Promoted", "fine")


def test_a_promotion_with_requests_that_are_not_judged_says_so() -> None:
    after = _advance(_state(step=1, passed=True), FEW, AFTER)
    assert (after.phase, after.reason) == ("Promoted", "Successful before, since then requests 3 < 50")


def test_failures_up_to_the_limit_hold() -> None:
    after = _advance(_state(), BAD, AFTER)
    assert (after.failures, after.phase) == (1, "Progressing")


@pytest.mark.parametrize("now", [DURING, AFTER])
def test_failures_over_the_limit_roll_back(now: datetime) -> None:
    after = _advance(_state(failures=1), BAD, now)
    assert (after.phase, after.reason) == ("RolledBack", "failed (2) > failure_limit (1): error_rate 0.31 > 0.01")


def test_a_failure_limit_of_zero_rolls_back_at_once() -> None:
    after = _advance(_state(), BAD, DURING, PLAN.model_copy(update={"failure_limit": 0}))
    assert (after.phase, after.reason.partition(":")[0]) == ("RolledBack", "failed (1) > failure_limit (0)")


def test_too_few_requests_during_the_pause_do_not_count() -> None:
    after = _advance(_state(inconclusive=2), FEW, DURING)
    assert (after.inconclusive, after.phase) == (2, "Progressing")


def test_too_few_requests_after_the_pause_hold_and_never_pass() -> None:
    after = _advance(_state(), FEW, AFTER)
    assert (_stands(after), after.inconclusive) == (("Progressing", 0), 1)


def test_too_few_requests_over_the_limit_pause() -> None:
    after = _advance(_state(inconclusive=2), FEW, AFTER)
    assert (after.phase, after.reason) == ("Paused", "inconclusive (3) > inconclusive_limit (2): requests 3 < 50")


def test_doubt_over_the_limit_rolls_back() -> None:
    assert _advance(_state(inconclusive=2), DOUBT, AFTER).phase == "RolledBack"


def test_too_few_requests_after_a_failure_roll_back() -> None:
    assert _advance(_state(inconclusive=2, failures=1), FEW, AFTER).phase == "RolledBack"


def test_an_error_counts_during_the_pause_too_and_by_itself() -> None:
    after = _advance(_state(inconclusive=2), BLIND, DURING)
    assert (after.errors, after.inconclusive, after.phase) == (1, 2, "Progressing")


def test_errors_in_a_row_over_the_limit_roll_back() -> None:
    after = _advance(_state(errors=3), BLIND, DURING)
    assert (after.phase, after.reason) == ("RolledBack", "error (4) > error_limit (3): no measurement")


@pytest.mark.parametrize("verdict", [GOOD, FEW])
def test_errors_that_are_not_in_a_row_do_not_add_up(verdict: Verdict) -> None:
    assert _advance(_advance(_state(errors=3), verdict, DURING), BLIND, DURING).errors == 1


def test_a_clock_that_went_backwards_holds() -> None:
    assert _stands(_advance(_state(), GOOD, START - timedelta(hours=1))) == ("Progressing", 0)


def test_a_measurement_is_kept_as_evidence_with_the_weight_that_it_was_taken_at() -> None:
    (kept,) = _advance(_state(step=1), BAD, DURING).history
    assert kept == Judged(time=DURING, weight=50, outcome=Outcome.FAILED, reason="error_rate 0.31 > 0.01")


def test_only_the_last_measurements_are_kept() -> None:
    state = _state()
    for second in range(25):
        state = _advance(state, GOOD, START + timedelta(seconds=second))
    assert [kept.time.second for kept in state.history] == list(range(15, 25))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"m-v1": 90, "m-v2": 10}),
        ({"step": 1}, {"m-v1": 50, "m-v2": 50}),
        ({"phase": "Promoted"}, {"m-v2": 100}),
        ({"phase": "RolledBack"}, {"m-v1": 100}),
        ({"phase": "Paused"}, {"m-v1": 100}),
        ({"phase": "Promoted", "stable": None}, {"m-v2": 100}),
    ],
)
def test_weights_follow_the_state(changes: dict[str, object], expected: dict[str, int]) -> None:
    assert weights(PLAN, _state(**changes)) == expected


def test_a_plan_that_became_shorter_keeps_its_last_step() -> None:
    assert weights(PLAN, _state(step=7)) == {"m-v1": 50, "m-v2": 50}
    assert _advance(_state(step=7), GOOD, AFTER).phase == "Promoted"


def test_a_state_comes_back_from_its_annotation() -> None:
    state = _state(step=1, failures=1, since=Sample(ok=5, errors=1, buckets={"0.1": 5.0, "+Inf": 6.0}))
    state = _advance(state, BAD, DURING)
    assert parse_state(state.model_dump_json(), "VirtualService m") == state


def test_a_state_of_before_there_was_a_history_is_read() -> None:
    state = _state(failures=1)
    old = state.model_dump_json(exclude={"history", "errors"})
    assert parse_state(old, "VirtualService m") == state


def test_a_state_that_somebody_else_wrote_is_an_error() -> None:
    with pytest.raises(ConflictError, match="VirtualService m: the rollout state can't be read"):
        parse_state('{"phase": "Thinking"}', "VirtualService m")
