"""Following a run of Kubeflow Pipelines to its end: what its tasks do, and why it failed."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serin.adapters.cluster.kfp import Kubeflow
from serin.adapters.cluster.kfp_errors import DeniedError
from serin.adapters.cluster.package import titles
from serin.errors import InterruptedRunError, NotFoundError, SerinError, UnavailableError
from serin.progress import Listener, Progress

_ENDED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
_EVENTS = {"RUNNING": "started", "SUCCEEDED": "finished", "FAILED": "failed", "CANCELED": "failed"}
# What a step is called; None of what KFP itself runs around the steps.
_Title = Callable[[str], str | None]
_OF_KFP = re.compile(r"^root$|(^|-)(driver|executor)$")


@dataclass(frozen=True)
class Pace:
    """Seconds between two looks, from `first` growing to `longest`, and how long to ask a host that does not answer."""

    first: float = 0.5
    growth: float = 1.5
    longest: float = 15.0
    patience: float = 300.0


def follow(kubeflow: Kubeflow, run_id: str, listener: Listener, pace: Pace) -> None:
    """Tell `listener` of the tasks of a run until it has ended.

    Looks grow rarer while nothing happens. Where the run's pipeline version was deleted meanwhile, which is told, its
    tasks have the names that KFP gives them.
    Raises SerinError with what the failing task said where the run failed or was cancelled, InterruptedRunError on
    Ctrl-C (the run goes on), and as `Kubeflow.call` does.
    """
    try:
        run = kubeflow.run(run_id)
        title = _titles(kubeflow, run, listener)
        run = _to_the_end(kubeflow, run, title, listener, pace)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted; the run goes on: {kubeflow.link(run_id)}\n  follow it again: serin follow {run_id}"
        ) from None
    if run.state not in ("SUCCEEDED", "SKIPPED"):
        ended = "was cancelled" if run.state == "CANCELED" else "failed"
        raise SerinError(f"the run {ended}: {_reason(run, title)}\n  {kubeflow.link(run_id)}")


def _to_the_end(kubeflow: Kubeflow, run: Any, title: _Title, listener: Listener, pace: Pace) -> Any:
    told, pause = dict[str, str](), pace.first
    look = _patient(kubeflow, run.run_id, listener, pace)
    while True:
        news = list(_news(run, title, told))
        for event in news:
            listener(event)
        if run.state in _ENDED:
            return run
        pause = pace.first if news else min(pause * pace.growth, pace.longest)
        time.sleep(pause)
        run = look()


def _patient(kubeflow: Kubeflow, run_id: str, listener: Listener, pace: Pace) -> Callable[[], Any]:
    """A look at the run that waits for a host which does not answer for a while."""

    def look() -> Any:
        since, pause = time.monotonic(), pace.first
        while True:
            try:
                return kubeflow.run(run_id)
            except DeniedError:
                raise
            except UnavailableError as error:
                if time.monotonic() - since > pace.patience:
                    raise
                if pause == pace.first:
                    listener(Progress("", "said", f"{error}; asking again"))
                pause = min(pause * 2, pace.longest)
                time.sleep(pause)

    return look


def _titles(kubeflow: Kubeflow, run: Any, listener: Listener) -> _Title:
    """The display names of the run's steps, as its pipeline version has them, by what KFP may call the tasks."""
    reference = run.pipeline_version_reference
    if not reference:
        return _own_name
    method = kubeflow.pipelines.pipeline_service_get_pipeline_version
    doing = "tell of the pipeline version of the run"
    try:
        version = kubeflow.call(doing, method, reference.pipeline_id, reference.pipeline_version_id)
    except NotFoundError:
        listener(Progress("", "said", "the run's pipeline version was deleted; its steps go by KFP's names for them"))
        return _own_name
    names = titles(version.pipeline_spec.get("pipeline_spec", version.pipeline_spec))
    return (names | {title: title for title in names.values()}).get


def _own_name(name: str) -> str | None:
    return None if _OF_KFP.search(name) else name


def _tasks(run: Any) -> list[Any]:
    return (run.run_details and run.run_details.task_details) or []


def _news(run: Any, title_of: _Title, told: dict[str, str]) -> list[Progress]:
    """What has happened to the steps since `told`, which is brought up to date. KFP lists its own pods, too."""
    found = []
    for task in _tasks(run):
        title = title_of(task.display_name)
        if title is None or told.get(task.task_id) == task.state:
            continue
        before, told[task.task_id] = told.get(task.task_id), task.state
        if event := _EVENTS.get(task.state):
            if before != "RUNNING" and event != "started":
                found.append(Progress(title, "started"))
            found.append(Progress(title, event, seconds=_seconds(task)))
    return found


def _seconds(task: Any) -> float:
    start = task.start_time or task.create_time
    # KFP writes the year 1970 for an end that is not yet.
    return max(0.0, (task.end_time - start).total_seconds()) if task.end_time and start else 0.0


def _reason(run: Any, title_of: _Title) -> str:
    """Which steps failed, and what is known of why: their own errors, those of KFP's pods, the run's."""
    failed = [task for task in _tasks(run) if task.state == "FAILED"]
    steps = sorted({title for task in failed if (title := title_of(task.display_name))})
    messages = [task.error.message for task in failed if task.error and task.error.message]
    if run.error and run.error.message and not messages:
        messages = [run.error.message]
    pods = sorted({pod for task in failed for pod in _pods(task)})
    said = "; ".join(dict.fromkeys(messages)) or "Kubeflow gives no reason"
    log = f"\n  its log: kubectl logs {pods[0]} -c main" if pods else ""
    return (f"step {', '.join(steps)}: " if steps else "") + said + log


def _pods(task: Any) -> list[str]:
    pods = [task.pod_name, *(child.pod_name for child in task.child_tasks or ())]
    return [pod for pod in pods if pod]
