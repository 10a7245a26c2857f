"""Where a rollout reads the counters of a deployment.

`ScrapedMetrics` asks the predictor itself; a cluster's source will ask Prometheus for the sum over its pods.
"""

import http.client
import math
from typing import Protocol
from urllib.parse import urlsplit

from components.adapters.serving_target import ServingTarget
from serin.samples import Sample

_REQUESTS = "model_predictions_total"
_BUCKETS = "model_prediction_latency_seconds_bucket"
_TIMEOUT = 5.0


class MetricsSource(Protocol):
    """The counters of deployments."""

    def sample(self, deployment: str) -> Sample | None:
        """The counters just now; None where they can't be had."""


class ScrapedMetrics:
    """Reads /metrics of the predictor behind a deployment of `target`."""

    def __init__(self, target: ServingTarget) -> None:
        self._target = target

    def sample(self, deployment: str) -> Sample | None:
        """See MetricsSource."""
        url = self._target.status(deployment).url
        text = _get(f"{url}/metrics") if url else None
        return None if text is None else parse(text, deployment)


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
    return Sample(ok=counts.get("ok", 0), errors=counts.get("error", 0), buckets=buckets)


def _add(sums: dict[str, float], key: str, value: float) -> None:
    sums[key] = sums.get(key, 0) + value


def _get(url: str) -> str | None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
        return text if response.status == http.client.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
