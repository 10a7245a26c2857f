"""Where a cluster's services are: the variables that the profile `cluster` reads beside those of the workspace."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

from serin.errors import UnavailableError

QuerySet = Literal["serin", "istio"]
_MOUNTED_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Endpoints:
    """What the adapters of a cluster are built with.

    `namespace` is None where neither the variable nor a pod's own account names one: the kubeconfig's context does
    then. `prometheus` and `kfp_host` are base URLs, empty where there is none. `queries` names the set of Prometheus
    queries: of the predictor's own metrics, or of the mesh's.
    """

    namespace: str | None
    gateway: str
    prometheus: str
    queries: QuerySet
    kfp_host: str
    kfp_namespace: str
    kfp_token_file: Path | None
    kfp_ca_file: Path | None = None

    @classmethod
    def from_variables(cls, env: Mapping[str, str]) -> "Endpoints":
        """Read the variables that `serin.environment` lists. Raises UnavailableError: a value that is not allowed."""
        queries = env.get("SERIN_PROMETHEUS_QUERIES") or "serin"
        if queries not in get_args(QuerySet):
            allowed = ", ".join(get_args(QuerySet))
            raise UnavailableError(f"SERIN_PROMETHEUS_QUERIES is {queries!r}; allowed: {allowed}")
        token, authority = env.get("SERIN_KFP_TOKEN_FILE"), env.get("SERIN_KFP_CA_FILE")
        return cls(
            namespace=env.get("SERIN_NAMESPACE") or _mounted_namespace(),
            gateway=_open_url(env, "SERIN_GATEWAY"),
            prometheus=_url(env, "SERIN_PROMETHEUS"),
            queries=cast(QuerySet, queries),
            kfp_host=_open_url(env, "SERIN_KFP_HOST"),
            kfp_namespace=env.get("SERIN_KFP_NAMESPACE", ""),
            kfp_token_file=Path(token) if token else None,
            kfp_ca_file=Path(authority) if authority else None,
        )

    def at(self, kfp_host: str) -> "Endpoints":
        """These endpoints with another Kubeflow. Raises UnavailableError for what is no URL."""
        return replace(self, kfp_host=_open_url({"--host": kfp_host}, "--host"))


def shown(url: str) -> str:
    """A URL as it may be printed: without a user and a password."""
    return re.sub("[^/]*@", "", url)


def _url(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").rstrip("/")
    if value and not value.startswith(("http://", "https://")):
        raise UnavailableError(f"{name} is {shown(value)!r}; allowed: a URL that starts with http:// or https://")
    return value


def _open_url(env: Mapping[str, str], name: str) -> str:
    """A URL that is printed, in links and command lines."""
    value = _url(env, name)
    if shown(value) != value:
        raise UnavailableError(f"{name} is {shown(value)!r} behind a user or password; allowed: a URL without them")
    return value


def _mounted_namespace() -> str | None:
    try:
        return _MOUNTED_NAMESPACE.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
