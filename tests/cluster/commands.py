"""`serin` as on a cluster, in processes of its own and under the service account `serin-rollout`."""

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from components.register.run import register
from serin import environment
from serin.platform import build
from serin.use_case import Rollout, Slo, Step, dumps
from serin.workspace import Workspace
from tests import services
from tests.cluster.containers import CHECKOUT
from tests.cluster.world import World
from tests.integration.serving_world import CASE

QUICK = Rollout(
    steps=(Step(weight=30, pause=timedelta(seconds=2)), Step(weight=60, pause=timedelta(seconds=2))),
    interval=timedelta(seconds=1),
    min_requests=5,
    failure_limit=0,
    inconclusive_limit=30,
)
# Nobody waits for its end.
LONG = QUICK.model_copy(update={"steps": (Step(weight=30, pause=timedelta(hours=1)),)})
# What a busy machine still keeps to, and a forest of 400 trees does not.
STRICT, LENIENT = Slo(error_rate=0, latency_p95_ms=5), Slo(error_rate=0, latency_p95_ms=4000)


@dataclass(frozen=True)
class Commands:
    """A workspace with a plan that is over in seconds; its model registry is an SQLite file, with artifacts on S3."""

    root: Path
    variables: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of `serin`; the caller ends it."""
        return self.module("pipelines", *arguments)

    def module(self, name: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a module with other variables; the caller ends it."""
        line, env = [sys.executable, "-u", "-m", name, *arguments], self.variables | variables
        return subprocess.Popen(
            line, cwd=CHECKOUT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command to its end; its exit code and what it said."""
        with self.start(*arguments) as process:
            try:
                output, _ = process.communicate(timeout=300)
            finally:
                process.kill()
        return process.returncode, output

    def plan(self, slo: Slo = LENIENT, rollout: Rollout = QUICK) -> None:
        """Let the next rollout keep to an SLO and a plan."""
        case = CASE.model_copy(update={"rollout": rollout, "slo": slo})
        (self.root / "pipelines" / "use_cases" / f"{CASE.name}.yaml").write_text(dumps(case))

    def register(self, artifact: Path) -> int:
        """Register an artifact that has passed the gate; returns its version."""
        with environment.changed({key: value for key, value in self.variables.items() if "AWS" in key or "S3" in key}):
            platform = build(Workspace.from_variables({**self.variables, "SERIN_PROFILE": "local"}))
            case = platform.own_use_case(CASE.name)
            return register(platform, case, artifact, "passed", {}, "").version


def commands(world: World, root: Path, prometheus: str) -> Commands:
    """The commands of a workspace in `root`."""
    services.workspace_copy(root)
    made = Commands(
        root,
        {
            **{key: value for key, value in os.environ.items() if not key.startswith("SERIN_")},
            **world.s3,
            "PYTHONPATH": str(CHECKOUT),
            "KUBECONFIG": str(world.plane.kubeconfig("serin-rollout")),
            "MLFLOW_TRACKING_URI": f"sqlite:///{root / 'mlflow.db'}",
            "SERIN_GATEWAY": "https://10.200.0.2",
            "SERIN_NAMESPACE": "serin",
            "SERIN_PROFILE": "cluster",
            "SERIN_PROMETHEUS": prometheus,
            "SERIN_REDIS": "127.0.0.1:6379",
            "SERIN_ROOT": str(root),
            "SERIN_STORAGE": "s3://serin",
        },
    )
    made.plan()
    return made
