"""`serin retrain`."""

from pipelines import runs
from pipelines.console import Console
from serin import use_case
from serin.workspace import Workspace


def run(console: Console, name: str, data: str, drift_as_of: str, as_of: str) -> None:
    """Run the drift pipeline and print what it decided, and the version where it trained one."""
    workspace = Workspace.from_environment()
    case = use_case.load(name, workspace.use_cases)
    console.title(f"Retraining {case.name}, if it has drifted")
    trained = runs.retrain(workspace, case, data, drift_as_of, as_of, console.progress)
    if trained is None:
        console.good("nothing to do: the champion stays")
        console.result({"decision": "keep", "version": None, "gate": None})
        return
    console.good(f"{case.model_name} v{trained.version} was trained, gate {trained.gate}")
    if trained.gate == "passed":
        console.next(f"serin rollout {case.name}")
    console.result({"decision": "retrain", "version": trained.version, "gate": trained.gate})
