"""What `serin doctor` looks at of a cluster."""

from collections.abc import Callable, Iterator

from serin.adapters.cluster.api import SERVED, Api
from serin.adapters.cluster.endpoints import Endpoints
from serin.adapters.cluster.prometheus import PrometheusMetrics
from serin.adapters.cluster.rights import SERVING
from serin.errors import SerinError, UnavailableError
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
        yield _looked("Kubeflow Pipelines", lambda: _kubeflow(endpoints))


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


def _kubeflow(endpoints: Endpoints) -> str:
    from serin.adapters.cluster.kfp import Kubeflow

    kubeflow = Kubeflow(endpoints)
    return f"{kubeflow.host}, " + (f"namespace {kubeflow.namespace}" if kubeflow.namespace else "a single user")
