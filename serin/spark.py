"""A Spark cluster: the session with it, the files that go to it, and what it says when a job fails.

Who asks for it names the key of the use case that did, such as `training.engine`.
"""

import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from serin import environment, storage
from serin.errors import UnavailableError, first_line

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

    @property
    def is_connect(self) -> bool:
        """Whether the driver is a Spark Connect server."""
        return self.master.startswith("sc://")


def cluster_at(master: str, state: str) -> Cluster:
    """The cluster at `master`, "" for one within this process; `state` is the storage, where a cluster finds files.

    Raises UnavailableError where it would not.
    """
    found = Cluster(master or "local", f"{state}/spark")
    if not (found.is_local or found.is_connect) and "://" not in state:
        raise UnavailableError(
            f"SERIN_SPARK is {master}, whose executors can't read SERIN_STORAGE, a folder of this machine: {state}; "
            "allowed: an s3:// URI"
        )
    return found


def session(cluster: Cluster, threads: int, asked_by: str) -> Any:
    """The process' session, which ends with it; whatever already runs in it is left as it is.

    Raises UnavailableError: Spark is not installed here, or does not answer.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise UnavailableError(
            f"{asked_by} is spark, and pyspark is not installed: `pip install serin[spark]`, and a Java runtime, "
            "17 or later"
        ) from None
    builder = SparkSession.builder.appName("serin")
    if cluster.is_connect:
        builder = builder.remote(cluster.master)
    else:
        for key, value in _settings(cluster, threads).items():
            builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except (PySparkException, OSError) as error:
        needed = "" if cluster.is_connect else "; it needs a Java runtime, 17 or later, on the PATH or in JAVA_HOME"
        raise UnavailableError(f"Spark at {cluster.master} does not start: {first_line(error)}{needed}") from None


def _settings(cluster: Cluster, threads: int) -> dict[str, str]:
    settings = {"spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
    if not cluster.is_local:
        return settings | {"spark.master": cluster.master}
    environment.set_defaults({"PYSPARK_PYTHON": sys.executable})
    master = cluster.master if "[" in cluster.master else f"local[{threads}]"
    return settings | _OF_ONE_PROCESS | {"spark.master": master}


@contextmanager
def told_of_failures(cluster: Cluster) -> Iterator[None]:
    """Turn what Spark says of a job that failed into an UnavailableError, with what the worker said."""
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
def shared_folder(cluster: Cluster) -> Iterator[str]:
    """A folder that the executors can read and write, while the block runs: a location of serin.storage."""
    if cluster.is_local:
        with tempfile.TemporaryDirectory(prefix="serin-spark-") as folder:
            yield folder
        return
    folder = f"{cluster.folder}/{uuid4().hex}"
    try:
        yield folder
    finally:
        storage.remove(folder)


@contextmanager
def stored(tables: Iterable[pa.Table], cluster: Cluster) -> Iterator[list[str]]:
    """The tables as one Parquet file each, while the block runs: addresses as Spark has them."""
    with shared_folder(cluster) as folder:
        yield written(tables, folder)


def written(tables: Iterable[pa.Table], folder: str) -> list[str]:
    """Write the tables as one Parquet file each; returns their addresses as Spark has them."""
    files = []
    for number, table in enumerate(tables):
        files.append(f"{folder}/part-{number:05d}.parquet")
        storage.write_table(table, files[-1])
    return [address(file) for file in files]


def address(file: str) -> str:
    """A location of serin.storage as Spark has it."""
    if "://" not in file:
        return Path(file).absolute().as_uri()
    # Hadoop's name for S3.
    return file.replace("s3://", "s3a://", 1)
