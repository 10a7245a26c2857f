"""XGBoost on Spark: fits on many rows are jobs of a Spark cluster, and the artifact is the same.

The rows of a fit go to Spark as Parquet files, one a worker, and each worker keeps its part to the end of a job. A job
is a chunk of boosting rounds, so a fit that was ended goes on after the last whole one; within a job nothing is kept.
See adr/0024.
"""

import logging
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serin import environment, storage
from serin.errors import UnavailableError, first_line
from serin.estimators.base import Estimator, Parts, Rows
from serin.estimators.chunks import boosted
from serin.estimators.xgboost import ROUNDS, Boosted, Xgboost, core, loaded
from serin.progress import say
from serin.schema import InputSchema
from serin.use_case import UseCase

# Spark sends every file to a worker anew for each job, so a job is as long as chunks may be: 100 rounds.
_LONGEST_CHUNK = (1,)
# What xgboost.spark sets itself, and refuses from others.
_SPARKS_OWN = ("objective", "nthread", "n_jobs")
# Nothing of a driver within this process listens on more than the loopback; for few rows 200 partitions are many.
_OF_ONE_PROCESS = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
}
_ERROR = re.compile(r"^[\w.]+(?:Error|Exception): .+$", re.MULTILINE)


@dataclass(frozen=True)
class Cluster:
    """A Spark master (a URL; `local[2]` runs in this process), and a folder that its executors can read."""

    master: str
    folder: str

    @property
    def is_local(self) -> bool:
        """Whether the executors are threads of this process' driver."""
        return self.master == "local" or self.master.startswith("local[")


class XgboostOnSpark(Xgboost):
    """Fits of xgboost.spark on a cluster; in all else the estimator that it replaces."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def fit(
        self,
        rows: Rows,
        parameters: dict[str, Any],
        inputs: InputSchema,
        seed: int,
        *,
        parts: Parts,
        device: Literal["cpu", "cuda"] = "cpu",
        threads: int = 1,
    ) -> Boosted:
        """See Estimator. Another number of workers may add in another order: the last digits differ.

        Raises UnavailableError: Spark is not installed here, can't be reached, or a job failed there.
        """
        del device
        types = ["c" if column.kind == "category" else "q" for column in inputs.columns]
        spark = _session(self._cluster, threads)
        workers = max(1, min(spark.sparkContext.defaultParallelism, len(rows.y)))
        say(f"xgboost: {len(rows.y):,} rows go to Spark at {self._cluster.master}, to {workers} workers")
        given = {name: value for name, value in core(parameters).items() if name not in _SPARKS_OWN}
        with _stored(rows, self._cluster, workers) as files:
            frame = reduce(lambda one, other: one.union(other), (_read(spark, file) for file in files))

            def train(model: bytes | None, rounds: int, chunk_seed: int) -> bytes:
                from xgboost.spark import SparkXGBClassifier

                estimator = SparkXGBClassifier(
                    features_col="features",
                    label_col="label",
                    weight_col="weight" if rows.weight is not None else None,
                    feature_types=types,
                    n_estimators=rounds,
                    num_workers=workers,
                    random_state=chunk_seed,
                    xgb_model=loaded(model) if model else None,
                    verbose=False,
                    **given,
                )
                with _told_of_failures(self._cluster):
                    return bytes(estimator.fit(frame).get_booster().save_raw("ubj"))

            kept = boosted(parameters.get("n_estimators", ROUNDS), _LONGEST_CHUNK, seed, parts, train=train)
        booster = loaded(kept)
        # What serving does, see serin.engines.xgboost.
        booster.set_param({"nthread": 1})
        return Boosted(booster)


def elsewhere(case: UseCase, name: str, master: str, state: str) -> Estimator | None:
    """Who fits the many rows of an estimator, where that is not the estimator itself on this machine.

    `master` is the Spark master, "" for one within this process; `state` the storage, where a cluster finds the rows.
    Raises UnavailableError where it would not.
    """
    if case.training.engine != "spark" or name != Xgboost.name:
        return None
    if master.startswith("sc://"):
        raise UnavailableError(
            f"SERIN_SPARK is {master}, a Spark Connect server; xgboost.spark needs the RDDs of a driver, which Connect "
            "does not offer. Allowed: a master's URL, such as spark://HOST:7077, k8s://... or local[2]"
        )
    cluster = Cluster(master or "local", f"{state}/spark")
    if not cluster.is_local and "://" not in state:
        raise UnavailableError(
            f"SERIN_SPARK is {master}, whose executors can't read SERIN_STORAGE, a folder of this machine: {state}; "
            "allowed: an s3:// URI"
        )
    say("xgboost: Spark keeps a fit after every 100 rounds; what it is at when it is ended has to be done again")
    return XgboostOnSpark(cluster)


def _session(cluster: Cluster, threads: int) -> Any:
    """The process' session, which ends with it; whatever already runs in it is left as it is."""
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise UnavailableError(
            "training.engine is spark, and pyspark is not installed: `pip install serin[spark]`, and a Java runtime, "
            "17 or later"
        ) from None
    settings = {"spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
    if cluster.is_local:
        environment.set_defaults({"PYSPARK_PYTHON": sys.executable})
        settings |= _OF_ONE_PROCESS | {"spark.master": cluster.master if "[" in cluster.master else f"local[{threads}]"}
    else:
        settings |= {"spark.master": cluster.master}
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    builder = SparkSession.builder.appName("serin")
    for key, value in settings.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except (PySparkException, OSError) as error:
        raise UnavailableError(
            f"Spark at {cluster.master} does not start: {first_line(error)}; it needs a Java runtime, 17 or later, on "
            "the PATH or in JAVA_HOME"
        ) from None


@contextmanager
def _told_of_failures(cluster: Cluster) -> Iterator[None]:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException) as error:
        raise UnavailableError(f"Spark at {cluster.master}: a job failed: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    """What a worker said, where it said something: Spark wraps it into its own errors and Java's."""
    said = [found for found in _ERROR.findall(str(error)) if not found.startswith(("org.", "java.", "py4j."))]
    return said[0] if said else first_line(error)


@contextmanager
def _stored(rows: Rows, cluster: Cluster, workers: int) -> Iterator[list[str]]:
    """The rows as one Parquet file a worker, while the block runs: addresses as Spark has them."""
    with tempfile.TemporaryDirectory(prefix="serin-spark-") as own:
        folder = own if cluster.is_local else f"{cluster.folder}/{uuid4().hex}"
        files = [f"{folder}/part-{number:05d}.parquet" for number in range(workers)]
        try:
            for file, places in zip(files, np.array_split(np.arange(len(rows.y)), workers), strict=True):
                storage.write_table(_table(rows, places), file)
            yield [_address(file) for file in files]
        finally:
            if not cluster.is_local:
                storage.remove(folder)


def _table(rows: Rows, places: NDArray[np.int64]) -> pa.Table:
    inputs = rows.X[places[0] : places[-1] + 1]
    offsets = pa.array(np.arange(len(places) + 1, dtype=np.int32) * inputs.shape[1])
    columns = {
        "features": pa.ListArray.from_arrays(offsets, pa.array(inputs.ravel(), from_pandas=False)),
        "label": pa.array(rows.y[places].astype(np.int32)),
    }
    if rows.weight is not None:
        columns["weight"] = pa.array(rows.weight[places])
    return pa.table(columns)


def _address(file: str) -> str:
    if "://" not in file:
        return Path(file).as_uri()
    # Hadoop's name for S3.
    return file.replace("s3://", "s3a://", 1)


def _read(spark: Any, file: str) -> Any:
    """A worker's rows, in one partition and in their order."""
    return spark.read.parquet(file).coalesce(1)
