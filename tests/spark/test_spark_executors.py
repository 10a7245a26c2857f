"""Executors that are processes of their own (Spark's local-cluster), and share no more than a folder with the step."""

import shutil
import sys
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from components.train.spark import Cluster, XgboostOnSpark
from serin.estimators.base import Rows, Unkept
from tests.spark.toy import INPUTS, PARAMETERS

pytestmark = [
    pytest.mark.spark,
    # PySpark and its bridge leave sockets to the garbage collector; it uses interfaces that are on their way out.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def test_rows_go_to_executors_by_the_storage_and_are_removed_from_there(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyspark
    from pyspark.sql import SparkSession

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    folder = tmp_path / "spark"
    folder.mkdir()
    cluster = Cluster("local-cluster[2,1,1024]", str(folder))
    model = XgboostOnSpark(cluster).fit(rows, PARAMETERS, INPUTS, 0, parts=Unkept())
    session = SparkSession.getActiveSession()
    assert session is not None
    assert session.sparkContext.master == cluster.master
    assert not session.sparkContext._jsc.sc().isLocal()
    assert roc_auc_score(rows.y, model.predict_proba(rows.X)[:, 1]) > 0.85
    assert list(folder.iterdir()) == []
    session.stop()
    # Workers of a local cluster keep their logs in Spark's own folder, whatever SPARK_WORKER_DIR says.
    shutil.rmtree(Path(pyspark.__file__).parent / "work")
