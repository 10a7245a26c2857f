"""`serin train`."""

from collections.abc import Mapping

from pipelines import runs
from pipelines.console import Console
from serin.aliases import CHAMPION
from serin.platform import Platform
from serin.ports import RegisteredVersion
from serin.use_case import UseCase


def run(console: Console, platform: Platform, name: str, data: str, as_of: str, replace_days: bool) -> None:
    """Run the training pipeline and print the version, its metrics on held-back rows, and where to look."""
    case = platform.own_use_case(name)
    console.title(f"Training {case.name}")
    trained = runs.train(platform, case, data, as_of, console.progress, replace_days=replace_days)
    made = trained.registered
    console.good(f"{case.model_name} v{made.version}: {made.estimator}, as of {made.as_of[:16]}, gate {made.gate}")
    console.table(("metric", "on held-back rows", "interval"), _metrics(made.metrics))
    console.say(f"report: {trained.report}")
    _next(console, case, made, platform.registry.by_alias(case.model_name, CHAMPION))
    console.result(trained.summary())


def _metrics(found: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Each metric of the test rows, and the interval that stands beside it as NAME_low and NAME_high."""
    ends = {f"{name}_{end}" for name in found for end in ("low", "high")}
    rows = []
    for name, value in found.items():
        if name.startswith("validation_") or name in ends:
            continue
        low, high = (found.get(f"{name}_{end}") for end in ("low", "high"))
        interval = "" if low is None or high is None else f"{low:.4f} to {high:.4f}"
        rows.append((name.replace("_", " "), f"{value:.4f}", interval))
    return rows


def _next(console: Console, case: UseCase, made: RegisteredVersion, champion: RegisteredVersion | None) -> None:
    if made.gate != "passed":
        stays = f"v{champion.version} stays the champion" if champion else "there is no champion yet"
        console.say(f"{stays}; the report says why")
    elif champion and champion.version == made.version:
        console.next(f"serin serve {case.name}")
    else:
        console.next(f"serin rollout {case.name} --version {made.version}")
