"""The composition root: which adapter stands behind each port, by profile.

Built once, at the entry point (a command, a component's wrapper), and handed in; nothing else asks for the profile.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from serin import environment, storage
from serin.adapters import templates
from serin.adapters.cluster.api import Api
from serin.adapters.cluster.endpoints import Endpoints
from serin.adapters.cluster.lease import KubernetesLease
from serin.adapters.cluster.serving import KubernetesServing
from serin.adapters.feast import FeastStore
from serin.adapters.local.lease import FileLease
from serin.adapters.local.metrics import ScrapedMetrics
from serin.adapters.local.runner import LocalRunner
from serin.adapters.local.serving import LocalServing
from serin.adapters.mlflow import MlflowRegistry
from serin.adapters.templates import Templates
from serin.aliases import Aliases
from serin.deployments import weights_of
from serin.errors import UnavailableError
from serin.ports import Check, FeatureStore, Lease, MetricsSource, ModelRegistry, PipelineBackend, ServingTarget
from serin.use_case import UseCase, dumps, load, loads
from serin.workspace import Workspace

if TYPE_CHECKING:
    from serin.adapters.cluster.prometheus import PrometheusMetrics

Report = Callable[[str], None]
_PORT = 8080


@dataclass(frozen=True)
class Platform:
    """Everything outside that a step or a command works with.

    `serving` and `metrics` take a model's name. `attend` takes one and the gateway's port, None where that is left
    open, and gives what sees to it that the model is served: it takes a function that is told one line an event, and
    returns how it ended. On this machine that is when a signal comes. `checks` looks at what the adapters need.
    """

    workspace: Workspace
    lease: Lease
    registry: ModelRegistry
    features: FeatureStore
    pipelines: PipelineBackend
    serving: Callable[[str], ServingTarget]
    metrics: Callable[[str], MetricsSource]
    attend: Callable[[str, int | None], Callable[[Report], str]]
    checks: Callable[[], Iterable[Check]]

    @cached_property
    def templates(self) -> Templates:
        """The documents that ship with Serin."""
        return templates.load(self.workspace.root)

    def publish(self, case: UseCase) -> str:
        """Store a use case where every step can read it; returns what `use_case` finds it by.

        Pipelines pass this reference: a wide table's use case is longer than a parameter may be.
        """
        text = dumps(case)
        reference = f"{case.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        storage.write_text(text, self.workspace.published(reference))
        return reference

    def use_case(self, reference: str) -> UseCase:
        """The use case that was published as `reference`, else the workspace's own of that name.

        Raises UseCaseError as `serin.use_case.load` does.
        """
        where = self.workspace.published(reference)
        if storage.exists(where):
            return loads(storage.read_text(where))
        return self.own_use_case(reference)

    def own_use_case(self, name: str) -> UseCase:
        """The workspace's own use case. Raises UseCaseError as `serin.use_case.load` does."""
        return load(name, self.workspace.use_cases)

    def aliases(self, model: str) -> Aliases:
        """The aliases of a model."""
        return Aliases(self.registry, self.lease, model)


def build(workspace: Workspace | None = None) -> Platform:
    """The platform of a workspace, else of the one that the environment names.

    Raises UnavailableError as `Workspace.from_variables` does.
    """
    chosen = workspace or Workspace.from_variables(environment.variables())
    return _PROFILES[chosen.profile](chosen)


def _local(workspace: Workspace) -> Platform:
    lease = FileLease(workspace.state / "locks")

    def serving(model: str) -> LocalServing:
        return LocalServing(workspace.state / "serving" / model, lease)

    def attend(model: str, port: int | None) -> Callable[[Report], str]:
        from serin.adapters.local import controller

        runtime = templates.load(workspace.root).serving_runtime
        variables = environment.variables() | workspace.variables()
        return partial(controller.attend, serving(model), lease, runtime, variables, port or _PORT)

    def checks() -> Iterable[Check]:
        from serin.adapters.local import checks

        return checks.checks(_PORT)

    return Platform(
        workspace=workspace,
        lease=lease,
        registry=MlflowRegistry(workspace, lease),
        features=FeastStore(workspace),
        pipelines=LocalRunner(workspace),
        serving=serving,
        metrics=lambda model: ScrapedMetrics(serving(model)),
        attend=attend,
        checks=checks,
    )


def _cluster(workspace: Workspace) -> Platform:
    endpoints = Endpoints.from_variables(environment.variables())
    api = Api(endpoints.namespace)
    lease = KubernetesLease(api)

    def metrics() -> "PrometheusMetrics":
        from serin.adapters.cluster.prometheus import PrometheusMetrics, life
        from serin.adapters.cluster.queries import QUERIES

        if not endpoints.prometheus:
            raise UnavailableError("SERIN_PROMETHEUS is not set; a rollout needs the base URL of Prometheus")
        queries = QUERIES[endpoints.queries]
        return PrometheusMetrics(endpoints.prometheus, queries, lambda: api.namespace, partial(life, api))

    def attend(model: str, port: int | None) -> Callable[[Report], str]:
        from serin.adapters.cluster import attend

        if port is not None:
            raise UnavailableError("--port is for this machine; a cluster's gateway has its own (SERIN_GATEWAY)")
        return partial(attend.attend, KubernetesServing(api, model), model, endpoints.gateway, weights_of)

    def checks() -> Iterable[Check]:
        from serin.adapters.cluster import checks

        return checks.checks(api, endpoints, metrics)

    return Platform(
        workspace=workspace,
        lease=lease,
        registry=MlflowRegistry(workspace, lease),
        features=FeastStore(workspace),
        pipelines=LocalRunner(workspace),
        serving=partial(KubernetesServing, api),
        metrics=lambda _: metrics(),
        attend=attend,
        checks=checks,
    )


_PROFILES: dict[str, Callable[[Workspace], Platform]] = {"local": _local, "cluster": _cluster}
