"""From counters to a measurement: how many requests, how many errors, how slow, between two samples."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from serin.ports import Sample


@dataclass(frozen=True)
class Measurement:
    """One deployment over a window. `p95` is in seconds, None where no request was timed."""

    requests: float
    errors: float
    p95: float | None


def measure(since: Sample | None, sample: Sample) -> Measurement:
    """What happened between two samples; without `since`, from when the predictor started.

    A counter that went down was reset by a restart, and what it says now is all that is known of the window.
    """
    if since is None or _was_reset(since, sample):
        since = Sample(ok=0, errors=0)
    errors = sample.errors - since.errors
    buckets = {bound: count - since.buckets.get(bound, 0) for bound, count in sample.buckets.items()}
    return Measurement(requests=sample.ok - since.ok + errors, errors=errors, p95=quantile(0.95, buckets))


def _was_reset(since: Sample, sample: Sample) -> bool:
    return (
        sample.ok < since.ok
        or sample.errors < since.errors
        or any(sample.buckets.get(bound, 0) < count for bound, count in since.buckets.items())
    )


def quantile(q: float, buckets: Mapping[str, float]) -> float | None:
    """The q-quantile (0 < q <= 1) of cumulative histogram buckets, in the unit of their bounds; None if empty.

    Prometheus' histogram_quantile: the rank q * total falls into a bucket, and observations are taken to lie
    evenly in it, the first one starting at 0:
        lower + (upper - lower) * (rank - count below) / (count in the bucket)
    One difference: a rank in the +Inf bucket gives infinity, where Prometheus gives the highest finite bound.
    A lower bound of the truth must never pass a limit.
    """
    ordered = sorted((float(bound), count) for bound, count in buckets.items())
    if not ordered or not ordered[-1][1] > 0:
        return None
    rank = q * ordered[-1][1]
    lower, below = 0.0, 0.0
    for upper, count in ordered:
        if count >= rank:
            return lower + (upper - lower) * (rank - below) / (count - below) if math.isfinite(upper) else math.inf
        lower, below = upper, count
    return None
