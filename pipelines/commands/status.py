"""`serin status`."""

from typing import Any

from components.adapters.model_registry import ModelRegistry, RegisteredVersion
from components.adapters.serving_target import INFERENCE_SERVICE, VIRTUAL_SERVICE
from components.serving.logic import version_of, weights_of
from components.serving.run import serving_target
from pipelines.console import Console
from serin import storage, use_case
from serin.workspace import Workspace


def run(console: Console, name: str) -> None:
    """Print versions, aliases and traffic of one use case or of all."""
    workspace = Workspace.from_environment()
    names = [name] if name else sorted(path.stem for path in workspace.use_cases.glob("*.yaml"))
    found = {}
    for each in names:
        case = use_case.load(each, workspace.use_cases)
        found[each] = _look(workspace, case)
        _print(console, case, found[each])
    console.result(found)


def _look(workspace: Workspace, case: use_case.UseCase) -> dict[str, Any]:
    target = serving_target(workspace, case)
    route = target.get(VIRTUAL_SERVICE, case.model_name)
    weights = weights_of(route) if route else {}
    serving = {
        service: {
            "version": version_of(case, service),
            "weight": weights.get(service, 0),
            "ready": target.status(service).ready,
        }
        for service in target.names(INFERENCE_SERVICE)
    }
    return {
        "events": len(storage.files(workspace.events(case.name))),
        "predictions": len(storage.files(workspace.predictions(case.name))),
        "versions": [_describe(version) for version in ModelRegistry(workspace).versions(case.model_name)],
        "serving": serving,
    }


def _describe(version: RegisteredVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "aliases": version.aliases,
        "candidate": version.tags.get("serin.candidate", ""),
        "as_of": version.tags.get("serin.as_of", "")[:10],
        "gate": version.tags.get("serin.gate", ""),
    }


def _print(console: Console, case: use_case.UseCase, found: dict[str, Any]) -> None:
    console.title(case.name)
    if not found["versions"]:
        console.say("  no version yet")
        console.next(f"serin train {case.name} --data TABLE")
        return
    by_version = {served["version"]: served for served in found["serving"].values()}
    rows = []
    for version in found["versions"]:
        served = by_version.get(version["version"])
        traffic = f"{served['weight']} %, {'up' if served['ready'] else 'down'}" if served else ""
        rows.append(
            (
                f"v{version['version']}",
                ", ".join(version["aliases"]),
                version["candidate"],
                version["as_of"],
                version["gate"],
                traffic,
            )
        )
    console.table(("version", "aliases", "candidate", "as of", "gate", "traffic"), rows)
    console.say(f"  {found['events']} event files, {found['predictions']} prediction log files stored")
