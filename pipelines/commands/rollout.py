"""`serin rollout`."""

from components.rollout.controller import Event
from pipelines.console import Console
from serin import use_case
from serin.errors import SerinError
from serin.workspace import Workspace


def run(console: Console, name: str, version: int | None, force: bool) -> None:
    """Roll out, one line a measurement. Exit code 1 when the version was rolled back."""
    from components.rollout.run import roll_out_version

    workspace = Workspace.from_environment()
    case = use_case.load(name, workspace.use_cases)
    console.title(f"Rolling out {case.model_name} {f'v{version}' if version else '@challenger'}")
    state = roll_out_version(workspace, case, version, lambda event: tell(console, event), force=force)
    console.result({"canary": state.canary, "stable": state.stable, "phase": state.phase, "reason": state.reason})
    if state.phase != "Promoted":
        raise SerinError(f"{state.canary} was rolled back: {state.reason}")
    console.good(f"{state.canary} is the champion and has all traffic")
    console.next(f"serin status {case.name}")


def tell(console: Console, event: Event) -> None:
    """One line: time, weights, verdict and its reason."""
    shares = " ".join(f"{name}={weight}%" for name, weight in event.weights.items())
    console.say(f"  {event.time:%H:%M:%S} {event.phase:<11} {shares}  {event.verdict} {event.reason}".rstrip())
