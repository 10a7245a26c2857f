"""Window features: DuckDB's result is held against the definition, written out row by row."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.features.windows import window_features
from serin.errors import DataError
from serin.use_case import WindowFeature, WindowView

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
VIEW = WindowView(
    entity="card",
    features=(
        WindowFeature(name="n_1d", aggregation="count", window="1d"),
        WindowFeature(name="n_3d_late", aggregation="count", window="3d", delay="2d"),
        WindowFeature(name="mean_2d", aggregation="mean", column="amount", window="2d"),
        WindowFeature(name="sum_2d", aggregation="sum", column="amount", window="2d"),
        WindowFeature(name="max_3d", aggregation="max", column="amount", window="3d"),
        WindowFeature(name="min_1d_late", aggregation="min", column="amount", window="1d", delay="1d"),
    ),
)


def events(rows: list[tuple[str, datetime, float | None]]) -> pa.Table:
    card, time, amount = zip(*rows, strict=True)
    return pa.table(
        {
            "card": pa.array(card),
            "time": pa.array(time, pa.timestamp("us", tz="UTC")),
            "amount": pa.array(amount, pa.float64()),
        }
    )


def computed(rows, as_of, view=VIEW) -> pd.DataFrame:
    frame = window_features(events(rows), view, "card", "time", as_of).to_pandas()
    return frame.set_index(["card", "event_timestamp"]).sort_index()


def expected(rows, as_of, view=VIEW) -> dict:
    """The definition: for each entity and refresh time after it was first seen, look at every event."""
    found = {}
    rows = [row for row in rows if row[1] < as_of]
    for card in {row[0] for row in rows}:
        own = [row for row in rows if row[0] == card]
        first = min(row[1] for row in own)
        t = datetime(first.year, first.month, first.day, tzinfo=UTC) + view.refresh
        while t <= as_of:
            found[(card, pd.Timestamp(t))] = {f.name: _aggregate(f, own, t) for f in view.features}
            t += view.refresh
    return found


def _aggregate(feature, rows, t):
    inside = [row for row in rows if t - feature.delay - feature.window <= row[1] < t - feature.delay]
    if feature.aggregation == "count":
        return float(len(inside))
    amounts = [row[2] for row in inside if row[2] is not None]
    if not amounts:
        return None
    return {"sum": sum, "max": max, "min": min, "mean": lambda v: sum(v) / len(v)}[feature.aggregation](amounts)


moments = st.integers(0, 6 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes))
amounts = st.none() | st.integers(0, 1000).map(float)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), moments, amounts), min_size=1, max_size=20), st.integers(1, 9))
def test_every_row_is_what_the_definition_says(rows, days):
    as_of = START + days * DAY
    wanted = expected(rows, as_of)
    if not wanted:
        return
    frame = computed(rows, as_of)
    assert set(frame.index) == set(wanted)
    for key, features in wanted.items():
        for name, value in features.items():
            assert frame.loc[key, name] == pytest.approx(value) if value is not None else pd.isna(frame.loc[key, name])


def test_event_at_midnight_counts_for_the_day_that_it_starts():
    frame = computed([("a", START, 1.0), ("a", START + DAY, 5.0)], START + 2 * DAY)
    assert frame["n_1d"].tolist() == [1, 1]
    assert frame["max_3d"].tolist() == [1, 5]


def test_event_at_or_after_as_of_is_not_looked_at():
    frame = computed([("a", START, 1.0), ("a", START + DAY, 99.0)], START + DAY)
    assert frame["max_3d"].tolist() == [1]


def test_quiet_days_have_rows_and_their_counts_fall():
    frame = computed([("a", START, 1.0)], START + 4 * DAY)
    assert frame["n_1d"].tolist() == [1, 0, 0, 0]
    assert frame["n_3d_late"].tolist() == [0, 0, 1, 1]


def test_hourly_refresh_has_a_row_an_hour():
    view = WindowView(
        entity="card", refresh="1h", features=(WindowFeature(name="n", aggregation="count", window="2h"),)
    )
    frame = computed([("a", START, 1.0)], START + timedelta(hours=4), view)
    assert frame["n"].tolist() == [1, 1, 0, 0]


def test_hostile_column_names_are_only_names():
    name = 'x"; drop table events; --'
    table = events([("a", START, 1.0)]).rename_columns(["card", "time", name])
    view = WindowView(entity="card", features=(WindowFeature(name="s", aggregation="sum", column=name, window="1d"),))
    assert window_features(table, view, "card", "time", START + DAY)["s"].to_pylist() == [1.0]


def test_one_event_time_far_off_is_an_error_not_a_full_memory():
    view = WindowView(
        entity="card", refresh="1s", features=(WindowFeature(name="n", aggregation="count", window="2s"),)
    )
    with pytest.raises(
        DataError, match=r"1 entities from 2026-01-01 to 2099-01-01 every 1s would be 2,303,\d+,\d+ rows"
    ):
        computed([("a", START, 1.0)], datetime(2099, 1, 1, tzinfo=UTC), view)


# Each stands, or once stood, for something else in the SQL or in the table that it makes.
TAKEN = ("bucket", "entity", "first", "rows", "seen", "time", "refreshed", "f1", "c0", "event", "sum c0", "as_of")


@pytest.mark.parametrize("name", TAKEN)
def test_feature_of_any_name_has_its_own_values(name):
    features = (
        WindowFeature(name=name, aggregation="count", window="1d"),
        WindowFeature(name="mean", aggregation="mean", column="amount", window="1d"),
    )
    frame = computed([("a", START, 4.0), ("a", START, 2.0)], START + DAY, WindowView(entity="card", features=features))
    assert frame[name].tolist() == [2.0]
    assert frame["mean"].tolist() == [3.0]


@pytest.mark.parametrize("name", [*TAKEN, "event_timestamp", "Card", "CARD"])
def test_column_and_key_of_any_name_are_aggregated_and_kept(name):
    table = events([("a", START, 4.0), ("b", START, 2.0)])
    view = WindowView(entity="card", features=(WindowFeature(name="s", aggregation="sum", column=name, window="1d"),))
    summed = window_features(table.rename_columns(["card", "at", name]), view, "card", "at", START + DAY)
    assert summed["s"].to_pylist() == [4.0, 2.0]
    counted = (WindowFeature(name="n", aggregation="count", window="1d"),)
    keyed = window_features(
        table.rename_columns([name, "at", "amount"]),
        WindowView(entity="card", features=counted),
        name,
        "at",
        START + DAY,
    )
    assert keyed.column(0).to_pylist() == ["a", "b"]


def test_features_and_columns_that_differ_by_case_stay_apart():
    table = events([("a", START, 4.0)])
    table = table.append_column("AMOUNT", pa.array([9.0]))
    view = WindowView(
        entity="card",
        features=(
            WindowFeature(name="total", aggregation="sum", column="amount", window="1d"),
            WindowFeature(name="Total", aggregation="sum", column="AMOUNT", window="1d"),
        ),
    )
    found = window_features(table, view, "card", "time", START + DAY)
    assert (found["total"].to_pylist(), found["Total"].to_pylist()) == ([4.0], [9.0])
