"""What a deployment's counters say at one moment: read by a metrics source, judged by a rollout."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """Counters since the predictor started.

    `ok` and `errors` are answered prediction requests; requests that were the caller's fault count as neither.
    `buckets` is the latency histogram: upper bound in seconds, as Prometheus writes it ("0.05", "+Inf"), to the
    number of requests at or below it.
    """

    ok: float
    errors: float
    buckets: Mapping[str, float] = field(default_factory=dict)
