"""From counters to measurements."""

import math

import pytest

from components.rollout.measurement import measure, quantile
from serin.ports import Sample

BUCKETS = {"0.01": 0.0, "0.05": 80.0, "0.1": 100.0, "+Inf": 100.0}


def test_quantile_lies_evenly_within_its_bucket() -> None:
    # Rank 95 is the 15th of the 20 requests between 50 and 100 ms.
    assert quantile(0.95, BUCKETS) == pytest.approx(0.05 + 0.05 * 15 / 20)


def test_quantile_in_the_first_bucket_starts_at_zero() -> None:
    assert quantile(0.5, {"0.01": 10.0, "+Inf": 10.0}) == pytest.approx(0.005)


def test_quantile_does_not_depend_on_the_order_of_buckets() -> None:
    assert quantile(0.95, dict(reversed(BUCKETS.items()))) == quantile(0.95, BUCKETS)


def test_quantile_beyond_the_last_bound_is_infinite() -> None:
    assert quantile(0.95, {"0.1": 90.0, "+Inf": 100.0}) == math.inf


@pytest.mark.parametrize("buckets", [{}, {"0.1": 0.0, "+Inf": 0.0}, {"+Inf": math.nan}])
def test_quantile_of_nothing_is_none(buckets: dict[str, float]) -> None:
    assert quantile(0.95, buckets) is None


def test_measurement_covers_what_came_after_the_baseline() -> None:
    before = Sample(ok=100, errors=5, buckets={"0.01": 105.0, "0.1": 105.0, "+Inf": 105.0})
    now = Sample(ok=190, errors=15, buckets={"0.01": 105.0, "0.1": 205.0, "+Inf": 205.0})
    found = measure(before, now)
    assert (found.requests, found.errors) == (100, 10)
    assert found.p95 == pytest.approx(0.01 + 0.09 * 0.95)


def test_measurement_without_baseline_covers_everything() -> None:
    found = measure(None, Sample(ok=9, errors=1, buckets={"0.1": 10.0, "+Inf": 10.0}))
    assert (found.requests, found.errors) == (10, 1)


@pytest.mark.parametrize(
    "before",
    [
        Sample(ok=100, errors=0),
        Sample(ok=0, errors=100),
        Sample(ok=0, errors=0, buckets={"0.1": 100.0, "+Inf": 100.0}),
    ],
)
def test_measurement_after_a_counter_reset_covers_what_is_known(before: Sample) -> None:
    found = measure(before, Sample(ok=19, errors=1, buckets={"0.1": 20.0, "+Inf": 20.0}))
    assert (found.requests, found.errors) == (20, 1)
    assert found.p95 == pytest.approx(0.095)


def test_measurement_of_no_request_has_no_latency() -> None:
    sample = Sample(ok=5, errors=0, buckets={"0.1": 5.0, "+Inf": 5.0})
    found = measure(sample, sample)
    assert (found.requests, found.errors, found.p95) == (0, 0, None)
