"""`serin train`."""

from pipelines import runs
from pipelines.console import Console
from serin import use_case
from serin.workspace import Workspace


def run(console: Console, name: str, data: str, as_of: str) -> None:
    """Run the training pipeline and print the version, its metrics on held-back rows, and where to look."""
    workspace = Workspace.from_environment()
    case = use_case.load(name, workspace.use_cases)
    console.title(f"Training {case.name}")
    trained = runs.train(workspace, case, data, as_of, console.progress)
    manifest, version = trained.manifest, trained.version
    console.good(
        f"{case.model_name} v{version}: {manifest.candidate}, as of {manifest.as_of[:16]}, gate {trained.gate}"
    )
    metrics = {key: value for key, value in manifest.metrics.items() if not key.startswith("validation_")}
    span = "a held-back week" if case.timestamp else "held-back rows"
    console.table(("metric", f"on {span}"), [(key.replace("_", " "), f"{value:.4f}") for key, value in metrics.items()])
    report = runs.report_page(workspace, case, trained)
    console.say(f"report: {report}")
    _next(console, case, trained)
    console.result({"version": version, "gate": trained.gate, "metrics": manifest.metrics, "report": report})


def _next(console: Console, case: use_case.UseCase, trained: runs.Trained) -> None:
    if trained.gate != "passed":
        console.say("the champion stays; the report says why")
    elif trained.version == 1:
        console.next(f"serin serve {case.name}")
    else:
        console.next(f"serin rollout {case.name} --version {trained.version}")
