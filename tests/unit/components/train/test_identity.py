"""What makes a checkpoint another training's, and what does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.train import identity
from components.train.identity import training_key
from serin.use_case import UseCase
from tests.factories import make_case

FRAME = pd.DataFrame({"id": [1, 2], "x": [0.5, None], "y": [0, 1], "serin_split": ["known", "test"]})
USUAL: dict[str, Any] = {"estimators": {"xgboost": {"max_depth": 3}, "logistic_regression": {}}}


def case_of(**training: Any) -> UseCase:
    columns = {"id": "integer", "x": "number", "y": "integer"}
    return make_case(columns, request=["x"], training=USUAL | training)


def key(
    case: UseCase | None = None, frame: pd.DataFrame = FRAME, as_of: str = "2026-01-01", device: str = "cpu"
) -> str:
    return training_key(case or case_of(), "xgboost", frame, "snapshot", as_of, device)


@pytest.mark.parametrize(
    "other",
    [
        lambda: key(case_of(estimators={"xgboost": {"max_depth": 4}})),
        lambda: key(case_of(seed=1)),
        lambda: key(case_of(folds=4)),
        lambda: key(case_of(search={"trials": 3})),
        lambda: key(frame=FRAME.assign(x=[0.5, 0.0])),
        lambda: key(as_of="2026-01-02"),
        lambda: key(device="gpu"),
    ],
)
def test_what_the_model_depends_on_makes_another_key(other: Callable[[], str]) -> None:
    assert other() != key()


@pytest.mark.parametrize(
    "training",
    [
        {"pool": {"cpu": 64, "spot": True}},
        {"checkpoint": "5s"},
        {"estimators": {"xgboost": {"max_depth": 3}, "random_forest": {}}},
    ],
)
def test_where_and_beside_what_it_is_trained_does_not(training: dict[str, Any]) -> None:
    assert key(case_of(**training)) == key()


def test_code_is_the_same_until_a_module_that_makes_models_is_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identity.code_digest()
    assert identity.code_digest() == before
    edited = tmp_path / "run.py"
    edited.write_text("# edited\n")
    monkeypatch.setattr(identity, "_sources", lambda: [edited])
    assert identity.code_digest() != before
