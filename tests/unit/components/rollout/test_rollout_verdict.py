"""One test a rule of the verdict."""

import math

import pytest

from components.rollout.measurement import Measurement
from components.rollout.verdict import Outcome, Verdict, beyond_chance, judge
from serin.use_case import Slo

SLO = Slo(error_rate=0.01, latency_p95_ms=50)


def _judge(requests: float, errors: float, p95: float | None) -> Verdict:
    return judge(Measurement(requests=requests, errors=errors, p95=p95), SLO, 50)


def test_within_all_limits_is_successful() -> None:
    found = _judge(100, 0, 0.0041)
    assert found == Verdict(Outcome.SUCCESSFUL, "error_rate 0 <= 0.01, latency_p95_ms 4.1 <= 50")


def test_exactly_at_the_limits_is_successful() -> None:
    assert _judge(100, 1, 0.05).outcome is Outcome.SUCCESSFUL


def test_error_rate_over_its_limit_is_failed() -> None:
    assert _judge(100, 31, 0.004) == Verdict(Outcome.FAILED, "error_rate 0.31 > 0.01")


def test_latency_over_its_limit_is_failed() -> None:
    assert _judge(100, 0, 0.0842) == Verdict(Outcome.FAILED, "latency_p95_ms 84.2 > 50")


def test_latency_beyond_every_bucket_is_failed() -> None:
    assert _judge(100, 0, math.inf) == Verdict(Outcome.FAILED, "latency_p95_ms inf > 50")


def test_too_few_requests_are_inconclusive() -> None:
    assert _judge(49, 0, 0.004) == Verdict(Outcome.INCONCLUSIVE, "requests 49 < 50")


def test_exactly_enough_requests_are_judged() -> None:
    assert _judge(50, 0, 0.004).outcome is Outcome.SUCCESSFUL


def test_no_request_is_inconclusive() -> None:
    assert _judge(0, 0, None).outcome is Outcome.INCONCLUSIVE


def test_few_requests_without_an_error_raise_no_doubt() -> None:
    assert not _judge(49, 0, 0.004).doubt


def test_one_error_in_few_requests_is_inconclusive() -> None:
    assert _judge(45, 1, 0.004) == Verdict(Outcome.INCONCLUSIVE, "requests 45 < 50", doubt=True)


def test_error_rate_over_its_limit_by_chance_is_inconclusive() -> None:
    reason = "error_rate 0.04 > 0.01 may be chance: errors 2, requests 50"
    assert _judge(50, 2, 0.004) == Verdict(Outcome.INCONCLUSIVE, reason, doubt=True)


def test_error_rate_over_its_limit_beyond_chance_is_failed() -> None:
    assert _judge(50, 3, 0.004) == Verdict(Outcome.FAILED, "error_rate 0.06 > 0.01")


def test_latency_over_its_limit_is_failed_whatever_the_errors_may_be() -> None:
    assert _judge(50, 1, 0.0842).outcome is Outcome.FAILED


def test_few_requests_with_more_errors_than_enough_could_have_are_failed() -> None:
    assert _judge(10, 10, 0.004) == Verdict(Outcome.FAILED, "error_rate 0.2 > 0.01")


@pytest.mark.parametrize(
    ("errors", "requests", "limit", "beyond"),
    [
        (2, 50, 0.01, False),  # P(X >= 2) = 0.089
        (3, 50, 0.01, True),  # P(X >= 3) = 0.014
        (10_164, 1_000_000, 0.01, False),  # P = 0.0505; 1.645 standard deviations above the mean are 10,163.7
        (10_165, 1_000_000, 0.01, True),
        (50, 50, 1.0, False),
    ],
)
def test_errors_beyond_chance_follow_the_binomial_test(
    errors: float, requests: float, limit: float, beyond: bool
) -> None:
    assert beyond_chance(errors, requests, limit) is beyond


@pytest.mark.parametrize("requests", [1, 2, 5, 50])
def test_one_error_alone_is_never_beyond_chance(requests: float) -> None:
    assert not beyond_chance(1, requests, 0.01)


def test_one_error_where_none_is_allowed_is_beyond_chance() -> None:
    assert beyond_chance(1, 50, 0)
    assert not beyond_chance(0, 50, 0)


def test_no_measurement_is_an_error() -> None:
    assert judge(None, SLO, 50) == Verdict(Outcome.ERROR, "no measurement: its metrics can't be read")


@pytest.mark.parametrize(
    ("requests", "errors", "p95", "reason"),
    [
        (math.nan, 0, 0.004, "requests is nan"),
        (100, math.nan, 0.004, "errors is nan"),
        (100, 0, math.nan, "latency_p95 is nan"),
        (-1, 0, 0.004, "requests is -1"),
    ],
)
def test_a_value_that_is_no_number_is_an_error(requests: float, errors: float, p95: float, reason: str) -> None:
    assert _judge(requests, errors, p95) == Verdict(Outcome.ERROR, reason)


def test_requests_without_a_latency_are_an_error() -> None:
    assert _judge(100, 0, None) == Verdict(Outcome.ERROR, "no latency was measured in 100 requests")
