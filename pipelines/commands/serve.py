"""`serin serve`."""

import os

from components.adapters import local_controller, templates
from components.serving.run import serve_champion, serving_target
from pipelines.console import Console
from serin import use_case
from serin.workspace import Workspace


def run(console: Console, name: str, port: int) -> None:
    """Serve in the foreground until Ctrl-C."""
    workspace = Workspace.from_environment()
    case = use_case.load(name, workspace.use_cases)
    target = serving_target(workspace, case)
    serve_champion(workspace, case, target)
    console.title(
        f"Serving {case.name} at http://127.0.0.1:{port}/v1/models/{case.model_name}:predict, gRPC on the same port"
    )
    console.say("Ctrl-C ends it.")
    local_controller.run(
        target,
        templates.load(workspace.root).serving_runtime,
        dict(os.environ) | {"SERIN_ROOT": str(workspace.root)},
        console.say,
        port,
    )
    console.good("stopped; no process was left behind")
