"""`serin submit` and `serin follow`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines import submission
from pipelines.console import Console
from serin.errors import InterruptedRunError, SerinError
from serin.platform import Platform

if TYPE_CHECKING:
    from serin.adapters.cluster.pipelines import KubeflowPipelines


def run(
    console: Console,
    platform: Platform,
    pipeline: str,
    name: str,
    given: Mapping[str, str],
    host: str,
    stay: bool,
) -> None:
    """Start a run on Kubeflow, print where to see it and, with `stay`, follow it to its end."""
    kubeflow = platform.kubeflow(host)
    case = platform.own_use_case(name)
    console.title(f"Submitting {pipeline} of {case.name} to {kubeflow.kubeflow.host}")
    submitted = submission.submit(platform, kubeflow, pipeline, case, given, console.progress)
    version = submitted.version
    console.good(f"pipeline version {version.name}, {'uploaded' if version.uploaded else 'there already'}")
    console.good(f"run {submitted.name}")
    console.say(f"see it: {submitted.link}")
    told = {"run_id": submitted.run_id, "run": submitted.name, "link": submitted.link, "version": version.name}
    if not stay:
        console.next(f"serin follow {submitted.run_id}")
        console.result({**told, "state": "started"})
        return
    _follow(console, kubeflow, submitted.run_id, told)
    console.next(f"serin status {case.name}")


def follow(console: Console, platform: Platform, run_id: str, host: str) -> None:
    """Follow a run that was submitted before."""
    kubeflow = platform.kubeflow(host)
    link = kubeflow.kubeflow.link(run_id)
    console.say(f"see it: {link}")
    _follow(console, kubeflow, run_id, {"run_id": run_id, "link": link})


def _follow(console: Console, kubeflow: "KubeflowPipelines", run_id: str, told: Mapping[str, Any]) -> None:
    try:
        kubeflow.follow(run_id, console.progress)
    except SerinError as error:
        state = "left" if isinstance(error, InterruptedRunError) else "failed"
        console.result({**told, "state": state, "error": str(error)})
        raise
    console.good("the run succeeded")
    console.result({**told, "state": "succeeded"})
