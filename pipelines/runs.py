"""Running the pipelines, and what came out of a run: asked of the registry, wherever the run was."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from components.register.run import RUN_TAG
from pipelines.catalogue import pools_of
from pipelines.schedules import Scheduled
from serin.aliases import CHAMPION
from serin.atomic import write_text
from serin.errors import NotFoundError
from serin.platform import Platform
from serin.ports import RegisteredVersion
from serin.progress import Listener
from serin.use_case import UseCase


@dataclass(frozen=True)
class TrainedVersion:
    """A version that a training run registered, and the page of its evaluation on this machine."""

    registered: RegisteredVersion
    report: Path

    def summary(self) -> dict[str, Any]:
        """What a command tells programs of it."""
        made = self.registered
        return {
            "version": made.version,
            "estimator": made.estimator,
            "as_of": made.as_of,
            "gate": made.gate,
            "metrics": made.metrics,
            "report": self.report,
        }


def train(
    platform: Platform, case: UseCase, data: str, as_of: str, listener: Listener, *, replace_days: bool = False
) -> TrainedVersion:
    """Run the training pipeline; its evaluation report is kept as .serin/report/MODEL-vVERSION.html.

    Raises NotFoundError where the run ended well and the registry has no version of it.
    """
    from pipelines.training import training_on

    _ask_first(platform, case)
    run_id = uuid4().hex
    arguments = {
        "use_case": platform.publish(case),
        "data": platform.pipelines.table(data, listener),
        "as_of": as_of,
        "run_id": run_id,
        "replace_days": replace_days,
    }
    platform.pipelines.run(training_on(pools_of(case)), arguments, listener)
    trained = _trained(platform, case, run_id)
    if trained is None:
        raise NotFoundError(
            f"the training of {case.name} ended well, but the model registry has no version of {case.model_name} "
            f"whose tag {RUN_TAG} is {run_id}; was it deleted meanwhile?"
        )
    return trained


def retrain(
    platform: Platform, case: UseCase, data: str, drift_as_of: str, as_of: str, listener: Listener
) -> TrainedVersion | None:
    """Run the drift pipeline; what it trained, or None where there was no reason to."""
    from pipelines.retraining import retraining_on

    _ask_first(platform, case)
    run_id = uuid4().hex
    arguments = {
        "use_case": platform.publish(case),
        "drift_as_of": drift_as_of,
        "data": platform.pipelines.table(data, listener),
        "as_of": as_of,
        "run_id": run_id,
    }
    platform.pipelines.run(retraining_on(pools_of(case)), arguments, listener)
    return _trained(platform, case, run_id)


def run_scheduled(platform: Platform, each: Scheduled, listener: Listener) -> TrainedVersion | None:
    """Run the pipeline of a schedule; what it trained, where it did."""
    from pipelines.catalogue import pipelines

    arguments = each.arguments(platform.publish(each.case))
    if "data" in arguments:
        arguments["data"] = platform.pipelines.table(arguments["data"], listener)
    run_id = uuid4().hex
    trains = each.name in ("training", "drift")
    if trains:
        _ask_first(platform, each.case)
        arguments["run_id"] = run_id
    platform.pipelines.run(pipelines(pools_of(each.case))[each.pipeline], arguments, listener)
    return _trained(platform, each.case, run_id) if trains else None


def _ask_first(platform: Platform, case: UseCase) -> None:
    """A registry that is away is told before minutes of work that only it could keep."""
    platform.registry.by_alias(case.model_name, CHAMPION)


def _trained(platform: Platform, case: UseCase, run_id: str) -> TrainedVersion | None:
    version = platform.registry.by_tag(case.model_name, RUN_TAG, run_id)
    if version is None:
        return None
    page = platform.workspace.state / "report" / f"{case.model_name}-v{version.version}.html"
    write_text(page, platform.registry.report(version, "report.html"))
    return TrainedVersion(version, page)
