"""Who fits the many rows of an estimator, told without Spark; tests/spark has the fits."""

import importlib.util

import numpy as np
import pytest

from components.train.spark import Cluster, XgboostOnSpark, elsewhere
from serin.errors import UnavailableError, UseCaseError
from serin.estimators.base import Rows, Unkept
from serin.schema import InputColumn, InputSchema
from serin.use_case import UseCase
from tests.factories import make_case


def toy(**training: object) -> UseCase:
    chosen = {"estimators": {"xgboost": {}, "logistic_regression": {}}, "engine": "spark", **training}
    return make_case({"id": "integer", "x": "number", "y": "integer"}, request=["x"], training=chosen)


def test_xgboost_goes_to_spark_where_the_use_case_says_so(capsys: pytest.CaptureFixture[str]):
    assert isinstance(elsewhere(toy(), "xgboost", "", "/state"), XgboostOnSpark)
    assert "what it is at when it is ended has to be done again" in capsys.readouterr().out


def test_other_estimators_and_other_use_cases_stay_where_they_are():
    assert elsewhere(toy(), "logistic_regression", "", "/state") is None
    assert elsewhere(toy(engine="local"), "xgboost", "spark://host:7077", "/state") is None


def test_spark_connect_is_refused_with_the_reason():
    with pytest.raises(UnavailableError, match=r"SERIN_SPARK is sc://host:15002, a Spark Connect server; .*RDDs"):
        elsewhere(toy(), "xgboost", "sc://host:15002", "s3://serin")


@pytest.mark.parametrize("master", ["spark://host:7077", "k8s://https://host", "local-cluster[2,1,1024]"])
def test_executors_elsewhere_need_a_storage_that_they_can_read(master: str):
    with pytest.raises(UnavailableError, match=r"executors can't read SERIN_STORAGE, a folder of this machine: /state"):
        elsewhere(toy(), "xgboost", master, "/state")
    assert elsewhere(toy(), "xgboost", master, "s3://serin")


@pytest.mark.skipif(importlib.util.find_spec("pyspark") is not None, reason="pyspark is installed")
def test_without_pyspark_it_is_said_what_to_install():
    rows = Rows(np.zeros((2, 1), np.float32), np.array([0, 1], np.int8))
    inputs = InputSchema(columns=(InputColumn(name="x"),))
    with pytest.raises(UnavailableError, match=r"pyspark is not installed: `pip install serin\[spark\]`, and a Java"):
        XgboostOnSpark(Cluster("local", "")).fit(rows, {}, inputs, 0, parts=Unkept())


@pytest.mark.parametrize(
    ("training", "told"),
    {
        "another estimator alone": (
            {"estimators": {"logistic_regression": {}}},
            "training.engine: spark trains xgboost, which training.estimators does not list",
        ),
        "a method for one machine": (
            {"estimators": {"xgboost": {"tree_method": "exact"}}},
            "training.estimators.xgboost.tree_method: exact needs all rows in one place; with spark: hist or approx",
        ),
        "a GPU": (
            {"pool": {"kind": "gpu"}},
            "training.engine: spark trains on the CPUs of its executors; the pool of xgboost must be cpu",
        ),
        "no such engine": ({"engine": "dask"}, "training.engine"),
    }.values(),
)
def test_contradictions_with_spark_are_named(training: dict[str, object], told: str):
    with pytest.raises(UseCaseError) as error:
        toy(**training)
    assert told in str(error.value)
