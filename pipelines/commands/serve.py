"""`serin serve`."""

from components.rollout.deploy import serve_champion
from pipelines.console import Console
from serin.platform import Platform


def run(console: Console, platform: Platform, name: str, port: int | None) -> None:
    """See to it that a use case is served: on this machine in the foreground until Ctrl-C, on a cluster once it is
    ready."""
    case = platform.own_use_case(name)
    attend = platform.attend(case.model_name, port)
    serve_champion(platform, case, console.say)
    console.good(attend(console.say))
