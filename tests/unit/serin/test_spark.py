"""Which Spark cluster it is, and what it needs, told without Spark; tests/spark has the jobs."""

import importlib.util

import pyarrow as pa
import pytest

from components.features.spark import window_features_on_spark
from serin.errors import UnavailableError
from serin.spark import Cluster, cluster_at
from serin.use_case import WindowFeature, WindowView
from serin.windows.query import Columns

VIEW = WindowView(
    entity="card", features=(WindowFeature.model_validate({"name": "n", "aggregation": "count", "window": "1d"}),)
)


@pytest.mark.parametrize(
    ("master", "local", "connect"),
    [
        ("", True, False),
        ("local[2]", True, False),
        ("sc://host:15002", False, True),
        ("spark://host:7077", False, False),
    ],
)
def test_cluster_is_told_by_its_master(master: str, local: bool, connect: bool) -> None:
    found = cluster_at(master, "s3://serin")
    assert (found.is_local, found.is_connect, found.folder) == (local, connect, "s3://serin/spark")


def test_spark_connect_needs_no_storage_in_common_and_other_clusters_do() -> None:
    assert cluster_at("sc://host:15002", "/state").is_connect
    with pytest.raises(UnavailableError, match=r"executors can't read SERIN_STORAGE, a folder of this machine: /state"):
        cluster_at("spark://host:7077", "/state")


@pytest.mark.skipif(importlib.util.find_spec("pyspark") is not None, reason="pyspark is installed")
def test_windows_without_pyspark_say_which_key_asked_for_it() -> None:
    events = pa.table({"card": [1], "at": pa.array([0], pa.timestamp("us", tz="UTC"))})
    with pytest.raises(UnavailableError, match=r"features\.engine is spark, and pyspark is not installed: `pip"):
        window_features_on_spark(events, VIEW, Columns("card", "at", ()), cluster=Cluster("local", ""))
