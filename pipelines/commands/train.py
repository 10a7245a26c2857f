"""`serin train`."""

from pipelines import runs
from pipelines.console import Console
from serin.platform import Platform
from serin.use_case import UseCase


def run(console: Console, platform: Platform, name: str, data: str, as_of: str, replace_days: bool) -> None:
    """Run the training pipeline and print the version, its metrics on held-back rows, and where to look."""
    case = platform.own_use_case(name)
    console.title(f"Training {case.name}")
    trained = runs.train(platform, case, data, as_of, console.progress, replace_days=replace_days)
    console.good(
        f"{case.model_name} v{trained.version}: {trained.estimator}, as of {trained.as_of[:16]}, gate {trained.gate}"
    )
    metrics = {key: value for key, value in trained.metrics.items() if not key.startswith("validation_")}
    span = "a held-back week" if case.timestamp else "held-back rows"
    console.table(("metric", f"on {span}"), [(key.replace("_", " "), f"{value:.4f}") for key, value in metrics.items()])
    console.say(f"report: {trained.report}")
    _next(console, case, trained)
    console.result(trained.summary())


def _next(console: Console, case: UseCase, trained: runs.TrainedVersion) -> None:
    if not trained.passed:
        console.say("the champion stays; the report says why")
    elif trained.version == 1:
        console.next(f"serin serve {case.name}")
    else:
        console.next(f"serin rollout {case.name} --version {trained.version}")
