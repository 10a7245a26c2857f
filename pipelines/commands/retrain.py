"""`serin retrain`."""

from pipelines import runs
from pipelines.console import Console
from serin.platform import Platform


def run(console: Console, platform: Platform, name: str, data: str, drift_as_of: str, as_of: str) -> None:
    """Run the drift pipeline and print what it decided, and the version where it trained one."""
    case = platform.own_use_case(name)
    console.title(f"Retraining {case.name}, if it has drifted")
    trained = runs.retrain(platform, case, data, drift_as_of, as_of, console.progress)
    if trained is None:
        console.good("nothing to do: the champion stays")
        console.result({"decision": "keep", "version": None, "gate": None})
        return
    made = trained.registered
    console.good(f"{case.model_name} v{made.version} was trained, gate {made.gate}")
    if made.gate == "passed":
        console.next(f"serin rollout {case.name}")
    console.result({"decision": "retrain", **trained.summary()})
