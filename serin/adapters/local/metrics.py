"""The counters of a deployment on this machine, asked of its predictor."""

import math

from serin.adapters.local import loopback
from serin.ports import Sample, ServingTarget

_REQUESTS = "model_predictions_total"
_BUCKETS = "model_prediction_latency_seconds_bucket"
_TIMEOUT = 5.0


class ScrapedMetrics:
    """Reads /metrics of the predictor behind a deployment of `target`."""

    def __init__(self, target: ServingTarget) -> None:
        self._target = target

    def sample(self, deployment: str) -> Sample | None:
        """See MetricsSource."""
        url = self._target.status(deployment).url
        answer = loopback.get(f"{url}/metrics", _TIMEOUT) if url else None
        return parse(answer.text, deployment) if answer and answer.is_success else None


def parse(text: str, deployment: str) -> Sample | None:
    """The counters of a deployment in Prometheus' text format, summed over all other labels.

    None: the text is broken, lacks the deployment, or has a value that is no number.
    """
    from prometheus_client.parser import text_string_to_metric_families

    counts: dict[str, float] = {}
    buckets: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families(text):
            for found in family.samples:
                if found.labels.get("deployment") != deployment:
                    continue
                if found.name == _REQUESTS:
                    _add(counts, found.labels["status"], found.value)
                elif found.name == _BUCKETS:
                    _add(buckets, found.labels["le"], found.value)
    except (ValueError, KeyError):
        return None
    if not counts or any(math.isnan(value) for value in [*counts.values(), *buckets.values()]):
        return None
    # What a predictor refuses because it has too much to do is no less an error to the caller.
    errors = counts.get("error", 0) + counts.get("overloaded", 0)
    return Sample(ok=counts.get("ok", 0), errors=errors, buckets=buckets)


def _add(sums: dict[str, float], key: str, value: float) -> None:
    sums[key] = sums.get(key, 0) + value
