"""The verdict on a measurement of a canary: a pure function of the measurement and the SLO."""

import math
from dataclasses import dataclass
from enum import StrEnum

from components.rollout.measurement import Measurement
from serin.use_case import Slo

_CHANCE = 0.05


class Outcome(StrEnum):
    """What a measurement says of a version."""

    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"


@dataclass(frozen=True)
class Verdict:
    """An outcome and its reason: metric, value and limit.

    `doubt`: an Inconclusive one that saw more errors than the limit allows, though chance may explain them.
    """

    outcome: Outcome
    reason: str
    doubt: bool = False


def judge(measurement: Measurement | None, slo: Slo, min_requests: int) -> Verdict:
    """The verdict on a measurement; None is one that could not be taken. No data is never a pass.

    Too few requests are judged as if the missing ones had succeeded, so a version can fail before there are enough.
    An error rate over its limit that chance may explain is Inconclusive: more requests will tell.
    """
    if measurement is None:
        return Verdict(Outcome.ERROR, "no measurement: its metrics can't be read")
    odd = _odd(measurement)
    if odd:
        return Verdict(Outcome.ERROR, odd)
    requests = max(measurement.requests, min_requests)
    rate = measurement.errors / requests
    doubt = rate > slo.error_rate
    if doubt and beyond_chance(measurement.errors, requests, slo.error_rate):
        return Verdict(Outcome.FAILED, f"error_rate {rate:.4g} > {slo.error_rate:g}")
    if measurement.requests < min_requests:
        return Verdict(Outcome.INCONCLUSIVE, f"requests {measurement.requests:g} < {min_requests}", doubt)
    if measurement.p95 is None:
        return Verdict(Outcome.ERROR, f"no latency was measured in {measurement.requests:g} requests")
    p95 = measurement.p95 * 1000
    if p95 > slo.latency_p95_ms:
        return Verdict(Outcome.FAILED, f"latency_p95_ms {p95:.4g} > {slo.latency_p95_ms:g}")
    if doubt:
        found = f"errors {measurement.errors:g}, requests {requests:g}"
        reason = f"error_rate {rate:.4g} > {slo.error_rate:g} may be chance: {found}"
        return Verdict(Outcome.INCONCLUSIVE, reason, doubt)
    return Verdict(
        Outcome.SUCCESSFUL,
        f"error_rate {rate:.4g} <= {slo.error_rate:g}, latency_p95_ms {p95:.4g} <= {slo.latency_p95_ms:g}",
    )


def beyond_chance(errors: float, requests: float, limit: float) -> bool:
    """Whether a version whose true error rate is `limit` would show so many errors in fewer than 5 % of all cases.

    The exact one-sided binomial test: P(X >= errors) for X ~ B(requests, limit), which is the regularised incomplete
    beta function I_limit(errors, requests - errors + 1) (Abramowitz and Stegun, 26.5.24). At a limit of 1 %, three
    errors in 50 requests are beyond chance and two are not. One error alone never is, except where none is allowed.
    """
    if errors <= 1:
        return errors > 0 and limit == 0
    from scipy.special import betainc

    return bool(betainc(errors, requests - errors + 1, limit) < _CHANCE)


def _odd(measurement: Measurement) -> str:
    """What makes a measurement no measurement: a value that is not a number, or below 0."""
    named = {"requests": measurement.requests, "errors": measurement.errors, "latency_p95": measurement.p95}
    for name, value in named.items():
        if value is not None and (math.isnan(value) or value < 0):
            return f"{name} is {value:g}"
    return ""
