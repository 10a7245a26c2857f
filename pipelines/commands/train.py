"""`serin train`."""

from pathlib import Path
from typing import Any

from pipelines.console import Console
from pipelines.local import Run
from serin import use_case
from serin.artifact import Manifest, verify
from serin.atomic import write_text
from serin.storage import filesystem
from serin.workspace import Workspace


def run(console: Console, name: str, data: str, as_of: str) -> None:
    """Run the training pipeline on KFP's local runner and print what came out."""
    workspace = Workspace.from_environment()
    case = use_case.load(name, workspace.use_cases)
    console.title(f"Training {case.name}")
    finished = train(console, workspace, case, data, as_of)
    print_result(console, workspace, case, finished)


def train(console: Console, workspace: Workspace, case: use_case.UseCase, data: str, as_of: str) -> Run:
    """Run the training pipeline; `data` is made absolute, since steps run elsewhere."""
    from pipelines import local
    from pipelines.training import training

    arguments = {"use_case": use_case.dumps(case), "data": absolute(data), "as_of": as_of}
    return local.run(training, arguments, workspace.state / "runs", console.progress)


def print_result(console: Console, workspace: Workspace, case: use_case.UseCase, finished: Run) -> None:
    """The new version, its metrics on the held-back rows, and where to look."""
    manifest, version, gate = outcome(finished)
    console.good(f"{case.model_name} v{version}: {manifest.candidate}, as of {manifest.as_of[:16]}, gate {gate}")
    metrics = {key: value for key, value in manifest.metrics.items() if not key.startswith("validation_")}
    span = "a held-back week" if case.timestamp else "held-back rows"
    console.table(("metric", f"on {span}"), [(key.replace("_", " "), f"{value:.4f}") for key, value in metrics.items()])
    report = keep_report(workspace, case, finished)
    console.say(f"report: {report}")
    console.next(f"serin serve {case.name}" if version == 1 else f"serin rollout {case.name} --version {version}")
    console.result({"version": version, "gate": gate, "metrics": manifest.metrics, "report": report})


def keep_report(workspace: Workspace, case: use_case.UseCase, finished: Run) -> Path:
    """Copy the run's report to where a browser takes it for a page."""
    _, version, _ = outcome(finished)
    path = workspace.state / "report" / f"{case.model_name}-v{version}.html"
    write_text(path, Path(finished.outputs["report"].path).read_text(encoding="utf-8"))
    return path


def outcome(finished: Run) -> tuple[Manifest, int, str]:
    """Manifest, version and gate of a training run."""
    outputs: dict[str, Any] = finished.outputs
    return verify(Path(outputs["model"].path)), int(float(outputs["version"])), str(outputs["gate"])


def absolute(data: str) -> str:
    """A table's location as every process of this machine understands it."""
    return data if not data or "://" in data else filesystem(data)[1]
