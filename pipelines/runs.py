"""Running the pipelines on this machine, and what came out of a run: for the commands and the demo."""

from dataclasses import dataclass
from pathlib import Path

from components.adapters.model_registry import ModelRegistry
from pipelines import local
from pipelines.local import Report
from serin import use_case
from serin.artifact import Manifest, verify
from serin.atomic import write_text
from serin.storage import filesystem
from serin.use_case import UseCase
from serin.workspace import Workspace


@dataclass(frozen=True)
class Trained:
    """A version that a training run registered, and the gate's answer: passed or failed."""

    version: int
    manifest: Manifest
    gate: str


def train(workspace: Workspace, case: UseCase, data: str, as_of: str, report: Report) -> Trained:
    """Run the training pipeline; its evaluation report is kept as .serin/report/MODEL-vVERSION.html."""
    from pipelines.training import training

    arguments = {"use_case": use_case.dumps(case), "data": absolute(data), "as_of": as_of}
    outputs = local.run(training, arguments, workspace.state / "runs", report).outputs
    trained = Trained(int(float(outputs["version"])), verify(Path(outputs["model"].path)), str(outputs["gate"]))
    # A browser takes it for a page there; the run's own copy has no suffix.
    write_text(report_page(workspace, case, trained), Path(outputs["report"].path).read_text(encoding="utf-8"))
    return trained


def retrain(
    workspace: Workspace, case: UseCase, data: str, drift_as_of: str, as_of: str, report: Report
) -> Trained | None:
    """Run the drift pipeline; what it trained, or None where there was no reason to."""
    from pipelines.retraining import retraining

    arguments = {
        "use_case": use_case.dumps(case),
        "drift_as_of": drift_as_of,
        "data": absolute(data),
        "as_of": as_of,
    }
    run = local.run(retraining, arguments, workspace.state / "runs", report)
    if run.outputs["Output"] == "keep":
        return None
    registry = ModelRegistry(workspace)
    newest = registry.by_alias(case.model_name, "candidate")
    if newest is None:
        return None
    folder = registry.fetch(newest, workspace.state / "fetched" / f"{case.model_name}-v{newest.version}")
    return Trained(newest.version, verify(folder), newest.tags["serin.gate"])


def report_page(workspace: Workspace, case: UseCase, trained: Trained) -> Path:
    """Where the evaluation report of a version is kept."""
    return workspace.state / "report" / f"{case.model_name}-v{trained.version}.html"


def absolute(data: str) -> str:
    """A table's location as every process of this machine understands it."""
    return data if not data or "://" in data else filesystem(data)[1]
