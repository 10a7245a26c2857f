"""The demo's workspace and its calendar."""

import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pandas as pd
import yaml

from serin import use_case
from serin.adapters.mlflow import ModelRegistry
from serin.atomic import replaced, write_text
from serin.use_case import UseCase
from serin.workspace import Workspace

NAME = "card_fraud"
# What a laptop's demo changes in the shipped use case: a canary is watched for seconds instead of minutes, and
# drift is looked for in one day of traffic.
FASTER = {
    "rollout": {
        "steps": [{"weight": 20, "pause": "6s"}, {"weight": 50, "pause": "6s"}],
        "interval": "2s",
        "min_requests": 30,
    },
    "drift": {"window": "1d", "min_rows": 1000, "column_limit": 0.2, "max_share": 0.3},
}
_COPIED = ("feature_repo", "manifests", "istio")


@dataclass(frozen=True)
class Calendar:
    """The days of the story (UTC midnights)."""

    start: date = date(2026, 1, 1)

    def day(self, number: int) -> datetime:
        """The midnight that starts day `number`, the first being 0."""
        return datetime.combine(self.start, time(), UTC) + timedelta(days=number)

    @property
    def days(self) -> int:
        """How many days are simulated."""
        return 101

    @property
    def trained(self) -> datetime:
        """When the first model is trained; it has seen 30-day windows for weeks by then."""
        return self.day(63)

    @property
    def drift(self) -> datetime:
        """From when on customers and fraudsters behave differently."""
        return self.day(65)

    @property
    def a_week_later(self) -> datetime:
        """A day on which the windows are full of the new behaviour."""
        return self.day(72)

    @property
    def labels_known(self) -> datetime:
        """When two weeks of the new behaviour can be trained on: delay, test week and delay lie between."""
        return self.day(100)


def set_up(main: Workspace) -> tuple[Workspace, UseCase]:
    """Make or refresh the demo's workspace: Serin's own declarations and templates, and a faster rollout plan.

    What earlier demos stored there stays: events, features, registered versions.
    """
    root = main.state / "demo"
    for folder in _COPIED:
        with replaced(root / folder) as temporary:
            shutil.copytree(main.root / folder, temporary, ignore=_only_of_the_demo)
    document = yaml.safe_load((main.use_cases / f"{NAME}.yaml").read_text(encoding="utf-8")) | FASTER
    case = use_case.parse(document, "the demo's use case")
    path = root / "pipelines" / "use_cases" / f"{NAME}.yaml"
    write_text(path, "# Written by `serin demo`.\n" + yaml.safe_dump(document, sort_keys=False))
    return Workspace.from_environment({"SERIN_ROOT": str(root)}), case


def start_over(workspace: Workspace, case: UseCase) -> None:
    """Forget who is champion, which features and what was served, so that the story starts at its beginning."""
    registry = ModelRegistry(workspace)
    for version in registry.versions(case.model_name):
        for alias in version.aliases:
            registry.delete_alias(case.model_name, alias)
    for path in workspace.state.glob("feast-*.db"):
        path.unlink()
    shutil.rmtree(workspace.state / "serving" / case.model_name, ignore_errors=True)
    shutil.rmtree(workspace.predictions(case.name), ignore_errors=True)


def table_until(transactions: pd.DataFrame, moment: datetime, folder: Path) -> str:
    """Write the transactions before `moment` to a file, as they would have been exported then."""
    path = folder / f"transactions-until-{moment:%Y-%m-%d}.parquet"
    with replaced(path) as temporary:
        transactions[transactions["TX_DATETIME"] < moment].to_parquet(temporary, index=False)
    return str(path)


def _only_of_the_demo(folder: str, names: list[str]) -> set[str]:
    """Leave out the Feast definitions of other use cases."""
    others = {name for name in names if name.endswith(".py") and name != f"{NAME}.py"}
    return others | {"__pycache__"} if Path(folder).name == "feature_repo" else {"__pycache__"}
