"""Series that are counted for each request: a Prometheus client's own take longer to count than some models to score.

They are added to by one thread, the event loop's, and read by whoever is asked for /metrics.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry


class Tally(Collector):
    """Counts by the values of one label, beside those labels that all have."""

    def __init__(
        self,
        name: str,
        text: str,
        own: Mapping[str, str],
        label: str,
        values: Iterable[str],
        registry: CollectorRegistry,
    ) -> None:
        self._family = name, text, [*own, label]
        self._own = tuple(own.values())
        self.counts = dict.fromkeys(values, 0)
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        name, text, labels = self._family
        family = CounterMetricFamily(name, text, labels=labels)
        for value, count in self.counts.items():
            family.add_metric([*self._own, value], count)
        yield family


class Distribution(Collector):
    """A histogram: how many values are at most as great as each of `buckets`, and their sum."""

    def __init__(
        self, name: str, text: str, own: Mapping[str, str], buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._family = name, text, list(own)
        self._own = tuple(own.values())
        self._buckets = tuple(buckets)
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._buckets, value)] += 1
        self._sum += value

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        name, text, labels = self._family
        family = HistogramMetricFamily(name, text, labels=labels)
        limits = [*map(_limit, self._buckets), "+Inf"]
        counts = list(zip(limits, accumulate(self._counts), strict=True))
        family.add_metric(self._own, counts, self._sum)
        yield family


def _limit(value: float) -> str:
    """As the client writes it: whole numbers as 1.0."""
    return repr(float(value))
