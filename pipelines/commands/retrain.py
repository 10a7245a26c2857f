"""`serin retrain`."""

from pipelines.commands.train import absolute
from pipelines.console import Console
from serin import use_case
from serin.workspace import Workspace


def run(console: Console, name: str, data: str, drift_as_of: str, as_of: str) -> None:
    """Run the drift pipeline and print what it decided, and the version where it trained one."""
    workspace = Workspace.from_environment()
    case = use_case.load(name, workspace.use_cases)
    console.title(f"Retraining {case.name}, if it has drifted")
    decision, version = retrain(console, workspace, case, data, drift_as_of, as_of)
    if decision == "keep":
        console.good("nothing to do: the champion stays")
    else:
        console.good(f"{case.model_name} v{version} was trained")
        console.next(f"serin rollout {case.name}")
    console.result({"decision": decision, "version": version})


def retrain(
    console: Console, workspace: Workspace, case: use_case.UseCase, data: str, drift_as_of: str, as_of: str
) -> tuple[str, int | None]:
    """Run the retraining pipeline: its decision, and the newest version where it was to retrain."""
    from components.adapters.model_registry import ModelRegistry
    from pipelines import local
    from pipelines.retraining import retraining

    arguments = {
        "use_case": use_case.dumps(case),
        "drift_as_of": drift_as_of,
        "data": absolute(data),
        "as_of": as_of,
    }
    run = local.run(retraining, arguments, workspace.state / "runs", console.progress)
    decision = str(run.outputs["Output"])
    if decision == "keep":
        return decision, None
    newest = ModelRegistry(workspace).by_alias(case.model_name, "candidate")
    return decision, newest.version if newest else None
