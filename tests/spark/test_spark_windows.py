"""Windows on Spark in local mode, held against the query on one machine; serin.windows' own tests say what they are."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.features.spark import window_features_on_spark
from serin.errors import UnavailableError
from serin.spark import Cluster
from serin.use_case import WindowFeature, WindowView
from serin.windows.query import Columns, window_features

pytestmark = [
    pytest.mark.spark,
    # PySpark and its bridge leave sockets to the garbage collector; it uses interfaces that are on their way out.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
HERE = Cluster("local", "")
COLUMNS = Columns("Card", "at", ("id",))


def feature(aggregation: str, column: str | None = None, window: str = "7d", delay: str = "0s") -> WindowFeature:
    name = f"{aggregation}_{column}_{window}_{delay}"
    return WindowFeature(name=name, aggregation=aggregation, column=column, window=window, delay=delay)


VIEW = WindowView(
    entity="card",
    features=(
        feature("count", window="1d"),
        feature("count"),
        feature("mean", "amount"),
        feature("sum", "amount", "30d"),
        feature("max", "amount"),
        feature("distinct", "shop"),
        feature("matches", "shop"),
        feature("since_last"),
        feature("mean", "fraud", "7d", "7d"),
    ),
)


def table(rows: int, *, cards: int = 5_000, seed: int = 0) -> pa.Table:
    """Events of 60 days. Names differ by their case alone here and there, values are missing, and times are tied."""
    rng = np.random.default_rng(seed)
    seconds = rng.integers(0, 60 * 86_400, rows) // 60 * 60
    amount = np.where(rng.random(rows) < 0.05, np.nan, rng.lognormal(3, 1, rows))
    return pa.table(
        {
            "id": pa.array(rng.permutation(rows)),
            "at": pa.array(seconds * 1_000_000 + 1_500_000_000_000_000, pa.timestamp("us", tz="UTC")),
            "Card": pa.array(rng.integers(0, cards, rows)),
            "card": pa.array(np.zeros(rows)),
            "amount": pa.array(amount, from_pandas=True),
            "shop": pa.array([f"shop {number}" for number in rng.integers(0, 50, rows)]),
            "fraud": pa.array((rng.random(rows) < 0.1).astype(np.int64)),
        }
    )


def assert_equal(found: pa.Table, wanted: pa.Table) -> None:
    assert found.column_names == wanted.column_names
    for name in wanted.column_names:
        there, expected = (t[name].to_numpy(zero_copy_only=False).astype(float) for t in (found, wanted))
        np.testing.assert_allclose(there, expected, rtol=1e-9, atol=1e-9, equal_nan=True, err_msg=name)


def test_a_million_events_have_the_values_of_one_machine() -> None:
    events = table(1_000_000)
    wanted = window_features(events, VIEW, COLUMNS)
    assert wanted["mean_amount_7d_0s"].null_count < 100_000, "the windows are not empty"
    assert_equal(window_features_on_spark(events, VIEW, COLUMNS, cluster=HERE), wanted)


def test_rows_asked_about_have_the_values_of_one_machine() -> None:
    events = table(20_000, cards=200)
    times = events["at"].cast(pa.int64()).to_numpy() + 1_000_000
    later = events.set_column(1, "at", pa.array(times, pa.timestamp("us", tz="UTC")))
    asked = pa.concat_tables([events.slice(0, 300), later.slice(500, 300)]).drop_columns(["fraud"])
    wanted = window_features(events, VIEW, COLUMNS, asked)
    assert_equal(window_features_on_spark(events, VIEW, COLUMNS, asked, cluster=HERE), wanted)


def test_entities_with_text_keys_and_events_without_one() -> None:
    events = table(3_000, cards=20)
    keys = [None if number == 0 else f"c{number}" for number in events["Card"].to_pylist()]
    events = events.set_column(2, "Card", pa.array(keys).dictionary_encode())
    assert_equal(window_features_on_spark(events, VIEW, COLUMNS, cluster=HERE), window_features(events, VIEW, COLUMNS))


def test_no_rows_need_no_cluster() -> None:
    found = window_features_on_spark(table(0), VIEW, COLUMNS, cluster=Cluster("spark://nowhere:7077", "s3://nowhere"))
    assert (len(found), found.column_names) == (0, [feature.name for feature in VIEW.features])


def test_job_that_fails_is_told_with_what_the_worker_said() -> None:
    events = table(2_000, cards=1)
    with pytest.raises(UnavailableError, match=r"Spark at local: a job failed: .*memory: 'much' is no size"):
        window_features_on_spark(events, VIEW, COLUMNS, memory="much", cluster=HERE)


def test_events_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    window_features_on_spark(table(100), VIEW, COLUMNS, cluster=HERE)
    assert not list(tmp_path.glob("serin-*"))
