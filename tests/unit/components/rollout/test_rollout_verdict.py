"""One test a rule of the verdict."""

import math

import pytest

from components.rollout.logic import Outcome, Verdict, judge
from components.rollout.measurement import Measurement
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


def test_few_requests_with_more_errors_than_enough_could_have_are_failed() -> None:
    assert _judge(10, 10, 0.004) == Verdict(Outcome.FAILED, "error_rate 0.2 > 0.01")


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
