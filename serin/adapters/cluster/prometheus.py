"""The counters of a deployment on a cluster, asked of Prometheus."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from string import Template
from typing import Any

import httpx

from serin.adapters.cluster.api import SERVED, Api
from serin.adapters.cluster.endpoints import shown
from serin.adapters.cluster.queries import Queries
from serin.adapters.cluster.readiness import ready_since
from serin.adapters.cluster.series import Series, buckets, is_sound, lost, restarts, total
from serin.adapters.cluster.serving import pods
from serin.errors import SerinError, UnavailableError, first_line
from serin.ports import INFERENCE_SERVICE, Sample

_LOG = logging.getLogger(__name__)
_TIMEOUT = httpx.Timeout(10.0, connect=3.0)
# Long enough for the last scrape before a deployment was made, and for clocks that differ.
_MARGIN = 300
# A pod that is ready for less may not have been scraped yet.
_GRACE = 60.0


@dataclass(frozen=True)
class Life:
    """Since when a deployment is there, and since when each of its ready pods is ready (seconds since 1970)."""

    created: float
    pods: Mapping[str, float]


class PrometheusMetrics:
    """Reads the raw samples of a deployment's counters since it was made, and adds them up.

    That is some 30 series a replica, of one sample a scrape: for a rollout of an hour with five replicas and a scrape
    every 15 s about 1 MB a measurement.
    """

    def __init__(self, url: str, queries: Queries, namespace: Callable[[], str], life: Callable[[str], Life]) -> None:
        self._url, self._queries, self._namespace, self._life = url, queries, namespace, life

    def sample(self, deployment: str) -> Sample | None:
        """See MetricsSource. Why there is none is logged as a warning.

        None: Prometheus does not answer or not fully; a value is no number; the last samples are older than three
        scrapes; a process that was scraped can't be any more; or a ready pod never was.
        """
        try:
            with httpx.Client(timeout=_TIMEOUT) as client:
                return self._sample(deployment, client)
        except SerinError as error:
            _LOG.warning("%s: no measurement: %s", deployment, error)
            return None

    def ask(self) -> str:
        """A word on the Prometheus that answers. Raises UnavailableError where none does."""
        with httpx.Client(timeout=_TIMEOUT) as client:
            found = self._query(client, "prometheus_build_info", time.time())
        versions = ", ".join(sorted({series.labels.get("version", "") for series in found}))
        return f"{shown(self._url)}, {versions or 'no version told'}"

    def _sample(self, deployment: str, client: httpx.Client) -> Sample:
        life, now = self._life(deployment), time.time()
        names = {"namespace": self._namespace(), "deployment": deployment}

        def read(*selectors: str) -> list[Series]:
            # The window begins at one moment of the deployment's life, so no sample ever leaves it.
            window = max(round(now) - int(life.created), 0) + _MARGIN
            filled = [Template(selector).substitute(names) for selector in selectors if selector]
            found = [series for one in filled for series in self._query(client, f"{one}[{window}s]", round(now))]
            if not is_sound(found):
                raise UnavailableError(f"{' or '.join(filled)} has a value that no counter can have")
            return found

        queries = self._queries
        ok, errors, latency = read(*queries.ok), read(*queries.errors), read(queries.latency)
        down = self._query(client, "up == 0", round(now))
        self._check(life, read(queries.witness), [*ok, *errors, *latency], down, now)
        restarted = restarts([*ok, *errors, *latency], read(queries.starts))
        return Sample(
            ok=total(ok, life.created, restarted),
            errors=total(errors, life.created, restarted),
            buckets=buckets(latency, life.created, restarted, queries.seconds),
        )

    def _check(self, life: Life, witnesses: list[Series], found: list[Series], down: list[Series], now: float) -> None:
        """Raises UnavailableError where what was read is not all, or not of now."""
        fresh = [series for series in witnesses if series.fresh(now)]
        if not fresh:
            latest = max((series.samples[-1][0] for series in witnesses), default=None)
            raise UnavailableError(
                f"the last sample is {now - latest:.0f} s old"
                if latest
                else "nothing was scraped yet; are these counters there at all (SERIN_PROMETHEUS_QUERIES)?"
            )
        if target := lost([*witnesses, *found], down):
            raise UnavailableError(f"job {target[0]}, instance {target[1]} can't be scraped any more")
        seen = {series.labels.get("pod") for series in fresh}
        unseen = [name for name, since in life.pods.items() if now - since > _GRACE and name not in seen]
        if self._queries.each_pod and unseen:
            raise UnavailableError(f"pod {', '.join(unseen)} is ready, and not scraped")

    def _query(self, client: httpx.Client, query: str, at: float) -> list[Series]:
        """The series of an instant query; of a vector each has one sample."""
        try:
            answer = client.post(f"{self._url}/api/v1/query", data={"query": query, "time": at})
            found = answer.json()
            if answer.is_success and found["status"] == "success" and not found.get("warnings"):
                return [_series(one) for one in found["data"]["result"]]
            problem = found.get("error") or found.get("warnings") or answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problem = first_line(error)
        except json.JSONDecodeError:
            problem = f"HTTP {answer.status_code} without JSON"
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            problem = f"an answer of another form ({first_line(error)})"
        raise UnavailableError(f"Prometheus at {shown(self._url)} failed on {query}: {problem}")


def life(api: Api, deployment: str) -> Life:
    """A deployment's life so far. Raises NotFoundError where there is none, UnavailableError as `Api` does."""
    made = api.get(SERVED[INFERENCE_SERVICE], deployment)["metadata"]["creationTimestamp"]
    ready = {pod["metadata"]["name"]: since for pod in pods(api, deployment) if (since := ready_since(pod))}
    return Life(_seconds(made), {name: _seconds(since) for name, since in ready.items()})


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _series(found: Any) -> Series:
    samples = found["values"] if "values" in found else [found["value"]]
    return Series(dict(found["metric"]), [(float(time), float(value)) for time, value in samples])
