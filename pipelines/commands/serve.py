"""`serin serve`."""

from components.rollout.deploy import serve_champion
from pipelines.console import Console
from serin.platform import Platform


def run(console: Console, platform: Platform, name: str, port: int) -> None:
    """Serve in the foreground until Ctrl-C."""
    case = platform.own_use_case(name)
    serve_champion(platform, case)
    console.title(
        f"Serving {case.name} at http://127.0.0.1:{port}/v1/models/{case.model_name}:predict, gRPC on the same port"
    )
    console.say("Ctrl-C ends it.")
    platform.attend(case.model_name, console.say, port)
    console.good("stopped; no process was left behind")
