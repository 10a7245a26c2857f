"""Exact totals of counters from the raw samples that Prometheus keeps. Pure functions.

PromQL can't say how often a counter was counted: `increase` extrapolates to the edges of its window and misses a
series' first value, `max_over_time` forgets what came before a restart, and an instant vector what a pod counted that
is gone.
A rollout that judges single errors needs them all, so the samples are added up here:

    a series counts from its value before the deployment was made, else from 0: its predictor started it there
    a value below the one before is a restart: all of it is new
    a series that ended keeps what it counted

Such totals never fall, whatever an autoscaler or a restart does.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_SLOWEST, _QUICKEST = 60.0, 5.0  # seconds between two scrapes
_MISSED = 3  # scrapes


@dataclass(frozen=True)
class Series:
    """Labels, and samples as (seconds since 1970, value) in order of time."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]

    @property
    def target(self) -> tuple[str, str]:
        """What Prometheus calls the process that was scraped."""
        return self.labels.get("job", ""), self.labels.get("instance", "")

    def fresh(self, now: float) -> bool:
        """Whether the last samples came at the pace of those before; at most two scrapes may be missing."""
        return now - self.samples[-1][0] <= _MISSED * self._interval

    @property
    def _interval(self) -> float:
        times = [time for time, _ in self.samples[-20:]]
        pauses = [after - before for before, after in pairwise(times)]
        return min(max(statistics.median(pauses), _QUICKEST), _SLOWEST) if pauses else _SLOWEST


def total(found: Iterable[Series], since: float) -> float:
    """What all series counted from `since` on (seconds since 1970)."""
    return math.fsum(_counted(series.samples, since) for series in found)


def buckets(found: Iterable[Series], since: float, seconds: float) -> dict[str, float]:
    """A histogram's totals by upper bound in seconds; the bounds of `found` are in units of `seconds`."""
    sums: dict[str, float] = {}
    for series in found:
        bound = _bound(series.labels["le"], seconds)
        sums[bound] = sums.get(bound, 0.0) + _counted(series.samples, since)
    return sums


def lost(found: Iterable[Series], down: Iterable[Series], now: float) -> tuple[str, str] | None:
    """A target that was scraped once, is still there, and can't be read any more; None where there is none."""
    amiss = {series.target for series in down}
    return next((s.target for s in found if s.target in amiss and not s.fresh(now)), None)


def is_sound(found: Iterable[Series]) -> bool:
    """Whether every value is a number that a counter can have."""
    return all(math.isfinite(value) and value >= 0 for series in found for _, value in series.samples)


def _counted(samples: Sequence[tuple[float, float]], since: float) -> float:
    before, counted = 0.0, 0.0
    for time, value in samples:
        if time > since:
            counted += value if value < before else value - before
        before = value
    return counted


def _bound(text: str, seconds: float) -> str:
    """As Prometheus writes it: 250 ms are "0.25"."""
    value = float(text)
    return "+Inf" if math.isinf(value) else repr(round(value * seconds, 9)).removesuffix(".0")
