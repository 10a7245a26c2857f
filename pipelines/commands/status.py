"""`serin status`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipelines.console import Console
from pipelines.freshness import freshness, in_words
from serin import aliases, storage, use_case
from serin.deployments import version_of, versions_of, weights_of
from serin.errors import NotFoundError, SerinError
from serin.platform import Platform
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE, RegisteredVersion
from serin.use_case import UseCase


def run(console: Console, platform: Platform, name: str) -> None:
    """Print versions, aliases, traffic and the age of the features of one use case or of all."""
    names = [name] if name else use_case.names(platform.workspace.use_cases)
    found = {}
    for each in names:
        case = platform.own_use_case(each)
        found[each] = _look(platform, case)
        _print(console, case, found[each])
    console.result(found)


def _look(platform: Platform, case: UseCase) -> dict[str, Any]:
    try:
        serving, problem = _serving(platform, case), ""
    except SerinError as error:
        serving, problem = {}, str(error)
    return {
        "events": len(storage.files(platform.workspace.events(case.name))),
        "predictions": len(storage.files(platform.workspace.predictions(case.name))),
        "versions": [_describe(version) for version in platform.registry.versions(case.model_name)],
        "lost": list(aliases.lost(platform.registry, case.model_name).values()),
        "serving": serving,
        "serving_problem": problem,
        "features": freshness(platform, case, datetime.now(UTC)),
    }


def _serving(platform: Platform, case: UseCase) -> dict[str, Any]:
    target = platform.serving(case.model_name)
    try:
        weights = weights_of(target.get(VIRTUAL_SERVICE, case.model_name))
    except NotFoundError:
        weights = {}
    # Traffic may go to what somebody has deleted.
    deployed = {name: version_of(case, name) for name, weight in weights.items() if weight}
    found = {}
    for name, version in (deployed | versions_of(case, target.list(INFERENCE_SERVICE))).items():
        state = target.status(name)
        problem = "" if state.ready else state.message
        found[name] = {"version": version, "weight": weights.get(name, 0), "ready": state.ready, "problem": problem}
    return found


def _describe(version: RegisteredVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "aliases": version.aliases,
        "estimator": version.estimator,
        "as_of": version.as_of[:10],
        "gate": version.gate,
    }


def _print(console: Console, case: UseCase, found: dict[str, Any]) -> None:
    console.title(case.name)
    if not found["versions"]:
        console.say("  no version yet")
        _print_features(console, found["features"])
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
                version["estimator"],
                version["as_of"],
                version["gate"],
                traffic,
            )
        )
    console.table(("version", "aliases", "estimator", "as of", "gate", "traffic"), rows)
    console.say(f"  {found['events']} event files, {found['predictions']} prediction log files stored")
    _print_features(console, found["features"])
    for name, served in found["serving"].items():
        if served["problem"]:
            console.say(f"  {name}: {served['problem']}")
    for cause in found["lost"]:
        console.say(f"  {cause}")
    if found["serving_problem"]:
        console.say(f"  serving: {found['serving_problem']}")


def _print_features(console: Console, found: Mapping[str, Any]) -> None:
    if found["views"]:
        rows = [(view["view"], _time(view["as_of"]), in_words(view["age_seconds"])) for view in found["views"]]
        console.table(("features", "as of", "age"), rows)
    for log in found["logs"]:
        pushed = f", pushed events up to {_time(log['pushed'])}" if log["pushed"] else ""
        age = f" ({in_words(log['age_seconds'])} ago)" if log["age_seconds"] is not None else ""
        console.say(f"  events of {log['entity']}: as of {_time(log['as_of'])}{pushed}{age}")
    if found["problem"]:
        console.say(f"  features: {found['problem']}")


def _time(text: str | None) -> str:
    return text[:16].replace("T", " ") if text else "never"
