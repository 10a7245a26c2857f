"""The demo's workspace: the shipped use case, in a hurry, and none of an earlier demo's state."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from serin import use_case
from serin.atomic import replaced, write_text
from serin.errors import ConflictError, UnavailableError
from serin.platform import build
from serin.scaffold.workspace import make
from serin.use_case import UseCase
from serin.workspace import Workspace

NAME = "card_fraud"
# What a laptop's demo changes in the shipped use case: a canary is watched for seconds instead of minutes, drift is
# looked for in one day of traffic, and three trainings have to fit in a few minutes. A week of the demo has some fifty
# frauds, so the gate asks that a new version is not worse by much, rather than not at all. The promise of 100 ms a row
# leaves room for a busy laptop, and asks for no ONNX model, which would answer in time whatever the forest.
_FASTER = {
    "slo": {"error_rate": 0.01, "latency_p95_ms": 100},
    "gates": {"minimum": {"roc_auc": 0.7}, "max_loss": 0.2},
    "rollout": {
        "steps": [{"weight": 20, "pause": "6s"}, {"weight": 50, "pause": "6s"}],
        "interval": "2s",
        "min_requests": 30,
    },
    "drift": {"window": "1d", "min_rows": 1000, "column_limit": 0.2, "max_share": 0.3},
}
_TRAINING = {
    "estimators": {"logistic_regression": {}, "xgboost": {"n_estimators": 150, "learning_rate": 0.1}, "stacking": {}},
    "search": {"trials": 3, "rows": 10_000},
}
# As accurate a forest as you like, and far too many trees to answer in time.
TREES = 2000
_OVERSIZED = {"random_forest": {"n_estimators": TREES, "max_depth": 6, "max_samples": 0.02, "n_jobs": 2}}


def set_up(main: Workspace) -> tuple[Workspace, UseCase]:
    """Make the workspace .serin/demo of a main one, in place of an earlier demo's.

    Raises ConflictError where somebody still serves in it, or it holds use cases that are not the demo's.
    """
    root = main.state / "demo"
    _refuse_to_remove(root)
    with replaced(root) as temporary:
        make(temporary, (NAME,))
        document = _read(temporary) | _FASTER
        document["training"] |= _TRAINING
        _write(temporary, document)
    return Workspace.from_variables({"SERIN_ROOT": str(root)}), use_case.parse(document, "the demo's use case")


@contextmanager
def oversized(workspace: Workspace) -> Iterator[None]:
    """While the block runs, the use case asks for one estimator only: a forest that is far too large to serve."""
    document = _read(workspace.root)
    only = {"estimators": _OVERSIZED, "search": {"trials": 0}}
    _write(workspace.root, document | {"training": document["training"] | only})
    try:
        yield
    finally:
        _write(workspace.root, document)


def _refuse_to_remove(root: Path) -> None:
    others = [path.name for path in _path(root).parent.glob("*.yaml") if path.stem != NAME]
    if others:
        raise ConflictError(
            f"{root} holds {', '.join(others)}; the demo starts over in an empty workspace of its own, so keep use "
            "cases elsewhere"
        )
    # That there is no such workspace yet, or nobody serves in it, is as it should be.
    with suppress(UnavailableError):
        build(Workspace.from_variables({"SERIN_ROOT": str(root)})).serving(NAME.replace("_", "-")).check()
        raise ConflictError(f"`serin serve {NAME}` still runs in {root}; end it: the demo starts over there")


def _path(root: Path) -> Path:
    return root / "pipelines" / "use_cases" / f"{NAME}.yaml"


def _read(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_path(root).read_text(encoding="utf-8"))
    return found


def _write(root: Path, document: dict[str, Any]) -> None:
    write_text(_path(root), "# Written by `serin demo`.\n" + yaml.safe_dump(document, sort_keys=False))
