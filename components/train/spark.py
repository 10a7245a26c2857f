"""XGBoost on Spark: fits on many rows are jobs of a Spark cluster, and the artifact is the same.

The rows of a fit go to Spark as Parquet files, one a worker, and each worker keeps its part to the end of a job. A job
is a chunk of boosting rounds, so a fit that was ended goes on after the last whole one; within a job nothing is kept.
See adr/0024.
"""

import logging
from functools import reduce
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serin.errors import UnavailableError
from serin.estimators.base import Estimator, Parts, Rows
from serin.estimators.chunks import boosted
from serin.estimators.xgboost import ROUNDS, Boosted, Xgboost, core, loaded
from serin.progress import say
from serin.schema import InputSchema
from serin.spark import Cluster, cluster_at, session, stored, told_of_failures
from serin.use_case import UseCase

# Spark sends every file to a worker anew for each job, so a job is as long as chunks may be: 100 rounds.
_LONGEST_CHUNK = (1,)
# What xgboost.spark sets itself, and refuses from others.
_SPARKS_OWN = ("objective", "nthread", "n_jobs")


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
        logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
        spark = session(self._cluster, threads, "training.engine")
        workers = max(1, min(spark.sparkContext.defaultParallelism, len(rows.y)))
        say(f"xgboost: {len(rows.y):,} rows go to Spark at {self._cluster.master}, to {workers} workers")
        given = {name: value for name, value in core(parameters).items() if name not in _SPARKS_OWN}
        tables = (_table(rows, places) for places in np.array_split(np.arange(len(rows.y)), workers))
        with stored(tables, self._cluster) as files:
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
                with told_of_failures(self._cluster):
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
    found = cluster_at(master, state)
    say("xgboost: Spark keeps a fit after every 100 rounds; what it is at when it is ended has to be done again")
    return XgboostOnSpark(found)


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


def _read(spark: Any, file: str) -> Any:
    """A worker's rows, in one partition and in their order."""
    return spark.read.parquet(file).coalesce(1)
