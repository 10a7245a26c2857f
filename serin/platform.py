"""The composition root: which adapter stands behind each port, by profile.

Built once, at the entry point (a command, a component's wrapper), and handed in; nothing else asks for the profile.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

from serin import environment, storage
from serin.adapters import templates
from serin.adapters.cluster.endpoints import Endpoints
from serin.adapters.feast import FeastStore
from serin.adapters.local.lease import FileLease
from serin.adapters.local.metrics import ScrapedMetrics
from serin.adapters.local.runner import LocalRunner
from serin.adapters.local.serving import LocalServing
from serin.adapters.mlflow import MlflowRegistry
from serin.adapters.templates import Templates
from serin.aliases import Aliases
from serin.errors import UnavailableError
from serin.ports import FeatureStore, Lease, MetricsSource, ModelRegistry, PipelineBackend, ServingTarget
from serin.use_case import UseCase, dumps, load, loads
from serin.workspace import Workspace

if TYPE_CHECKING:
    from serin.adapters.cluster.pipelines import KubeflowPipelines


@dataclass(frozen=True)
class Platform:
    """Everything outside that a step or a command works with.

    `serving` and `metrics` take a model's name. `attend` acts on its documents until a signal comes: the name, a
    function that takes one line an event, and the port of the gateway. `kubeflow` takes a host's URL ("" for the one
    that the environment names), and raises UnavailableError where there is none.
    """

    workspace: Workspace
    lease: Lease
    registry: ModelRegistry
    features: FeatureStore
    pipelines: PipelineBackend
    serving: Callable[[str], ServingTarget]
    metrics: Callable[[str], MetricsSource]
    attend: Callable[[str, Callable[[str], None], int], None]
    kubeflow: Callable[[str], "KubeflowPipelines"]

    @cached_property
    def templates(self) -> Templates:
        """The documents that ship with Serin."""
        return templates.load(self.workspace.root)

    def publish(self, case: UseCase) -> str:
        """Store a use case where every step can read it; returns what `use_case` finds it by.

        Pipelines pass this reference: a wide table's use case is longer than a parameter may be.
        """
        reference = reference_of(case)
        storage.write_text(dumps(case), self.workspace.published(reference))
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


def reference_of(case: UseCase) -> str:
    """What `Platform.publish` calls a use case; the same content has the same reference."""
    return f"{case.name}-{hashlib.sha256(dumps(case).encode()).hexdigest()[:12]}"


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

    def attend(model: str, report: Callable[[str], None], port: int) -> None:
        from serin.adapters.local import controller

        runtime = templates.load(workspace.root).serving_runtime
        variables = environment.variables() | workspace.variables()
        controller.run(serving(model), lease, runtime, variables, report, port)

    return Platform(
        workspace=workspace,
        lease=lease,
        registry=MlflowRegistry(workspace, lease),
        features=FeastStore(workspace),
        pipelines=LocalRunner(workspace),
        serving=serving,
        metrics=lambda model: ScrapedMetrics(serving(model)),
        attend=attend,
        kubeflow=_no_kubeflow,
    )


def _no_kubeflow(_: str) -> NoReturn:
    raise UnavailableError(
        "SERIN_PROFILE is local, and Kubeflow's pods can't read what lies on this machine; allowed: cluster, with "
        "SERIN_STORAGE and MLFLOW_TRACKING_URI"
    )


def _cluster(workspace: Workspace) -> Platform:
    """Endpoints of a cluster. Pipelines run on Kubeflow where SERIN_KFP_HOST names one, and on this machine else.
    Kubernetes and Prometheus have their places here, and no adapter yet: leases hold between this machine's processes,
    and serving is refused."""

    def unbuilt(model: str, *_: object) -> NoReturn:
        raise UnavailableError(
            f"{model}: Serin does not talk to Kubernetes yet; apply manifests/ and istio/ to the cluster, or use the "
            "profile local"
        )

    local = _local(workspace)
    endpoints = Endpoints.from_variables(environment.variables())

    def apply() -> None:
        with local.lease.hold("features", wait=True):
            local.features.apply()

    def kubeflow(host: str) -> "KubeflowPipelines":
        from serin.adapters.cluster.kfp import Kubeflow
        from serin.adapters.cluster.pipelines import KubeflowPipelines

        chosen = endpoints.at(host) if host else endpoints
        return KubeflowPipelines(Kubeflow(chosen), workspace, apply)

    return replace(
        local,
        pipelines=kubeflow("") if endpoints.kfp_host else local.pipelines,
        serving=unbuilt,
        metrics=unbuilt,
        attend=unbuilt,
        kubeflow=kubeflow,
    )


_PROFILES: dict[str, Callable[[Workspace], Platform]] = {"local": _local, "cluster": _cluster}
