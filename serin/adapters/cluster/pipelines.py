"""Pipelines on Kubeflow: submit one as a version of its content, and follow its run."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from serin.adapters.cluster.following import Pace, follow
from serin.adapters.cluster.kfp import Kubeflow, Version
from serin.adapters.cluster.package import Package, compiled
from serin.adapters.cluster.recurring import KubeflowRecurringRuns
from serin.adapters.cluster.uploads import reachable, uploaded
from serin.progress import Listener, Progress
from serin.workspace import Workspace

# Who a pipeline's steps are in the cluster, by the pipeline's name; manifests/ says what each may do.
ACCOUNTS = {
    "serin-training": "serin-pipeline",
    "serin-retraining": "serin-drift",
    "serin-refresh": "serin-drift",
    "serin-rollout": "serin-rollout",
    "serin-skew": "serin-drift",
    "serin-leak": "serin-drift",
    "serin-score": "serin-drift",
}
_WITHOUT_FEATURES = {"serin-rollout", "serin-skew", "serin-leak", "serin-score"}


@dataclass(frozen=True)
class Submitted:
    """A run that was started."""

    run_id: str
    name: str
    link: str
    version: Version


class KubeflowPipelines:
    """Runs pipelines on a Kubeflow host; `apply` brings the feature registry up to this workspace's definitions."""

    def __init__(
        self, kubeflow: Kubeflow, workspace: Workspace, apply: Callable[[], None], pace: Pace | None = None
    ) -> None:
        self.kubeflow = kubeflow
        self._workspace = workspace
        self._apply = apply
        self._pace = pace or Pace()

    def run(self, pipeline: Any, arguments: Mapping[str, Any], listener: Listener) -> None:
        """See PipelineBackend. Ctrl-C leaves the run, and raises InterruptedRunError, which says how to follow it."""
        submitted = self.submit(compiled(pipeline), arguments)
        listener(Progress("", "said", f"run {submitted.name}: {submitted.link}"))
        self.follow(submitted.run_id, listener)

    def table(self, data: str, listener: Listener) -> str:
        """See PipelineBackend: a table of this machine is uploaded, once, to `uploads/` in the storage."""
        return uploaded(data, f"{reachable(self._workspace.storage)}/uploads", listener)

    def submit(self, package: Package, arguments: Mapping[str, Any]) -> Submitted:
        """Start a run of a compiled pipeline, in the experiment of its use case, as the account that may do its work.

        Raises SerinError as `Package.check` does, UnavailableError, UseCaseError as `FeatureStore.apply` does.
        """
        package.check(arguments)
        self._prepare(features=package.name not in _WITHOUT_FEATURES)
        use_case = str(arguments["use_case"]).partition("-")[0]
        name = f"{package.name}-{use_case.replace('_', '-')}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        experiment = self.kubeflow.experiment(use_case)
        version = self.kubeflow.version(package)
        run = self.kubeflow.start(version, experiment, name, arguments, ACCOUNTS[package.name])
        return Submitted(run.run_id, name, self.kubeflow.link(run.run_id), version)

    def follow(self, run_id: str, listener: Listener) -> None:
        """Follow a run to its end; see `serin.adapters.cluster.following`."""
        follow(self.kubeflow, run_id, listener, self._pace)

    @cached_property
    def recurring(self) -> KubeflowRecurringRuns:
        """See PipelineBackend."""
        return KubeflowRecurringRuns(self.kubeflow, ACCOUNTS, self._prepare)

    def _prepare(self, features: bool = True) -> None:
        reachable(self._workspace.storage)
        if features:
            # A step knows no definitions but those of its image, and those that are in the registry.
            self._apply()
