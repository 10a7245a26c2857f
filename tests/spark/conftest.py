"""One Spark session a module, and the rows that go to it."""

from collections.abc import Iterator

import pandas as pd
import pytest

from serin.estimators.base import Rows
from tests.spark import toy


@pytest.fixture(scope="module", autouse=True)
def no_session_is_left() -> Iterator[None]:
    yield
    from pyspark.sql import SparkSession

    if session := SparkSession.getActiveSession():
        session.stop()


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    return toy.table()


@pytest.fixture(scope="session")
def rows(frame: pd.DataFrame) -> Rows:
    return toy.rows_of(frame)
