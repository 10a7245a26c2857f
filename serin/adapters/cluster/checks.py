"""What `serin doctor` looks at of a cluster."""

from collections.abc import Callable, Iterator

import httpx

from serin.adapters.cluster.api import SERVED, Api
from serin.adapters.cluster.endpoints import Endpoints
from serin.adapters.cluster.prometheus import PrometheusMetrics
from serin.adapters.cluster.rights import SERVING
from serin.errors import SerinError, UnavailableError, first_line
from serin.ports import Check


def checks(api: Api, endpoints: Endpoints, metrics: Callable[[], PrometheusMetrics]) -> Iterator[Check]:
    """The API server, what it serves, this account's rights, and the services beside it."""
    reached = _looked("Kubernetes", lambda: f"{api.host}, namespace {api.namespace}{_served(api)}")
    yield reached
    if reached.ok:
        yield _looked("rights", lambda: _rights(api))
    yield _looked("Prometheus", lambda: f"{metrics().ask()}, queries {endpoints.queries}")
    yield Check(
        bool(endpoints.gateway),
        "gateway",
        endpoints.gateway or "SERIN_GATEWAY is not set",
        "set it to the base URL that clients reach the mesh's gateway by",
    )
    if endpoints.kfp_host:
        yield _looked("Kubeflow Pipelines", lambda: _healthy(endpoints))


def _looked(what: str, look: Callable[[], str]) -> Check:
    try:
        return Check(True, what, look())
    except SerinError as error:
        return Check(False, what, str(error))


def _served(api: Api) -> str:
    for kind in SERVED.values():
        api.served(kind)
    return ", with KServe and Istio"


def _rights(api: Api) -> str:
    lacking = [f"{verb} {kind.plural}" for kind, verbs in SERVING.items() for verb in verbs if not api.may(verb, kind)]
    if lacking:
        raise UnavailableError(
            f"this account may not {', '.join(lacking)} in namespace {api.namespace}; manifests/base has the role"
        )
    return "all that a rollout needs"


def _healthy(endpoints: Endpoints) -> str:
    url = f"{endpoints.kfp_host}/apis/v2beta1/healthz"
    try:
        token = endpoints.kfp_token_file.read_text(encoding="utf-8").strip() if endpoints.kfp_token_file else ""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = httpx.get(url, headers=headers, timeout=10.0)
    except OSError as error:
        raise UnavailableError(f"SERIN_KFP_TOKEN_FILE can't be read: {error}") from None
    except httpx.HTTPError as error:
        raise UnavailableError(f"{url} does not answer: {first_line(error)}") from None
    if not answer.is_success:
        raise UnavailableError(f"{url} answers {answer.status_code}: {answer.text[:200].strip()}")
    return endpoints.kfp_host
