"""Which estimators are trained, and on which machines."""

import os

import pytest

from components.train.placement import placements
from serin import environment
from serin.errors import UnavailableError
from serin.estimators.lightgbm import Lightgbm
from serin.use_case import UseCase
from tests.factories import make_case

SPOT = {"kind": "gpu", "spot": True, "cpu": 8, "memory": "16Gi"}


def case_of(*listed: str, **pools: object) -> UseCase:
    training = {"estimators": {name: {} for name in listed}, "pools": pools}
    return make_case({"id": "integer", "x": "number", "y": "integer"}, request=["x"], training=training)


def test_each_estimator_has_a_machine_in_the_words_of_kubernetes_and_a_stack_has_none() -> None:
    plain, spot = placements(case_of("logistic_regression", "xgboost", "stacking", xgboost=SPOT))
    assert plain == {
        "estimator": "logistic_regression", "cpu": "2", "memory": "4Gi", "gpus": "0", "selector": {}, "tolerations": []
    }  # fmt: skip
    toleration = {"key": "serin/pool", "operator": "Equal", "value": "gpu-spot", "effect": "NoSchedule"}
    assert spot == {
        "estimator": "xgboost", "cpu": "8", "memory": "16Gi", "gpus": "1",
        "selector": {"serin/pool": "gpu-spot"}, "tolerations": [toleration],
    }  # fmt: skip


def test_gpu_that_would_stand_idle_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    training = {"estimators": {"random_forest": {}, "xgboost": {}}, "pool": {"kind": "gpu"}}
    placements(make_case({"id": "integer", "x": "number", "y": "integer"}, request=["x"], training=training))
    told = capsys.readouterr().out
    assert "random_forest is trained on a machine of training.pool, and leaves its GPU idle" in told
    assert "xgboost is trained" not in told


@pytest.fixture
def without_lightgbm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lacks what LightGBM needs."""
    monkeypatch.setattr(Lightgbm, "missing", lambda _: "it needs libgomp.so.1; apt-get install libgomp1")


@pytest.mark.usefixtures("without_lightgbm")
def test_on_this_machine_one_that_can_not_be_trained_is_left_out_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    with environment.changed({environment.RUNNER: str(os.getpid())}):
        assert [item["estimator"] for item in placements(case_of("lightgbm", "xgboost"))] == ["xgboost"]
    assert "lightgbm is left out: it needs libgomp.so.1; apt-get install libgomp1" in capsys.readouterr().out


@pytest.mark.usefixtures("without_lightgbm")
def test_in_a_pod_one_that_can_not_be_trained_is_an_error() -> None:
    with pytest.raises(UnavailableError, match="lightgbm can't be trained: it needs libgomp"):
        placements(case_of("lightgbm", "xgboost"))


@pytest.mark.usefixtures("without_lightgbm")
def test_where_none_can_be_trained_that_is_an_error() -> None:
    with (
        environment.changed({environment.RUNNER: str(os.getpid())}),
        pytest.raises(UnavailableError, match="none of lightgbm can be trained here"),
    ):
        placements(case_of("lightgbm"))
