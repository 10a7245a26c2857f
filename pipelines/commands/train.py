"""`serin train`."""

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
    metrics = {key: value for key, value in made.metrics.items() if not key.startswith("validation_")}
    rows = [(key.replace("_", " "), f"{value:.4f}") for key, value in metrics.items()]
    console.table(("metric", "on held-back rows"), rows)
    console.say(f"report: {trained.report}")
    _next(console, case, made, platform.registry.by_alias(case.model_name, CHAMPION))
    console.result(trained.summary())


def _next(console: Console, case: UseCase, made: RegisteredVersion, champion: RegisteredVersion | None) -> None:
    if made.gate != "passed":
        stays = f"v{champion.version} stays the champion" if champion else "there is no champion yet"
        console.say(f"{stays}; the report says why")
    elif champion and champion.version == made.version:
        console.next(f"serin serve {case.name}")
    else:
        console.next(f"serin rollout {case.name} --version {made.version}")
