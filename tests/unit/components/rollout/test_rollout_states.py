"""One test a rule of the state machine."""

from datetime import UTC, datetime, timedelta

import pytest

from components.rollout.logic import Outcome, RolloutState, Verdict, advance, parse_state, weights
from serin.errors import ConflictError
from serin.samples import Sample
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
BLIND = Verdict(Outcome.ERROR, "no measurement")


def _state(**changes: object) -> RolloutState:
    first = RolloutState(phase="Progressing", canary="m-v2", stable="m-v1", step_started=START)
    return first.model_copy(update=changes)


def test_a_success_during_the_pause_holds() -> None:
    assert advance(PLAN, _state(), GOOD, DURING) == (_state(), "hold")


def test_a_success_after_the_pause_takes_the_next_step() -> None:
    before = _state(failures=1, inconclusive=2, baseline=Sample(ok=1, errors=0))
    after, action = advance(PLAN, before, GOOD, AFTER)
    assert action == "step"
    assert (after.step, after.step_started, after.inconclusive, after.baseline) == (1, AFTER, 0, None)
    assert after.failures == 1


def test_a_success_after_the_last_pause_promotes() -> None:
    after, action = advance(PLAN, _state(step=1), GOOD, AFTER)
    assert (after.phase, after.reason, action) == ("Promoted", "fine", "promote")


def test_failures_up_to_the_limit_hold() -> None:
    after, action = advance(PLAN, _state(), BAD, AFTER)
    assert (after.failures, after.phase, action) == (1, "Progressing", "hold")


@pytest.mark.parametrize("now", [DURING, AFTER])
def test_failures_over_the_limit_roll_back(now: datetime) -> None:
    after, action = advance(PLAN, _state(failures=1), BAD, now)
    assert (after.phase, action) == ("RolledBack", "roll_back")
    assert after.reason == "failed (2) > failure_limit (1): error_rate 0.31 > 0.01"


def test_a_failure_limit_of_zero_rolls_back_at_once() -> None:
    after, action = advance(PLAN.model_copy(update={"failure_limit": 0}), _state(), BAD, DURING)
    assert action == "roll_back"
    assert after.reason.startswith("failed (1) > failure_limit (0)")


def test_too_few_requests_during_the_pause_do_not_count() -> None:
    after, action = advance(PLAN, _state(inconclusive=2), FEW, DURING)
    assert (after.inconclusive, action) == (2, "hold")


def test_too_few_requests_after_the_pause_hold_and_never_pass() -> None:
    after, action = advance(PLAN, _state(), FEW, AFTER)
    assert (after.inconclusive, after.step, action) == (1, 0, "hold")


def test_inconclusive_over_the_limit_rolls_back() -> None:
    after, action = advance(PLAN, _state(inconclusive=2), FEW, AFTER)
    assert action == "roll_back"
    assert after.reason == "inconclusive (3) > inconclusive_limit (2): requests 3 < 50"


def test_an_error_counts_during_the_pause_too() -> None:
    after, action = advance(PLAN, _state(), BLIND, DURING)
    assert (after.inconclusive, after.phase, action) == (1, "Progressing", "hold")


def test_errors_over_the_limit_roll_back() -> None:
    after, action = advance(PLAN, _state(inconclusive=2), BLIND, DURING)
    assert (after.phase, action) == ("RolledBack", "roll_back")


def test_a_clock_that_went_backwards_holds() -> None:
    assert advance(PLAN, _state(), GOOD, START - timedelta(hours=1))[1] == "hold"


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
    assert advance(PLAN, _state(step=7), GOOD, AFTER)[1] == "promote"


def test_a_state_comes_back_from_its_annotation() -> None:
    state = _state(step=1, failures=1, baseline=Sample(ok=5, errors=1, buckets={"0.1": 5.0, "+Inf": 6.0}))
    assert parse_state(state.model_dump_json(), "VirtualService m") == state


def test_a_state_that_somebody_else_wrote_is_an_error() -> None:
    with pytest.raises(ConflictError, match="VirtualService m: the rollout state can't be read"):
        parse_state('{"phase": "Paused"}', "VirtualService m")
