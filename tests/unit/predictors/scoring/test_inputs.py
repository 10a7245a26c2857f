"""What the predictor makes of rows is what training makes of columns."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from predictors.requests.by_column import ByColumn
from predictors.scoring.inputs import InputReader
from serin.artifact import Manifest
from serin.derived import derived
from serin.schema import InputColumn, InputSchema, calendar
from serin.use_case import DerivedFeature
from tests.factories import make_manifest

NAMES = ("CUSTOMER", "AMOUNT", "CHANNEL", "OPENED", "LIMIT", "hour", "weekend", "night", "count", "mean")
INPUTS = ("count", "hour", "CHANNEL", "AMOUNT", "of_limit", "weekday", "weekend", "KIND", "days", "mean", "of_mean")
CATEGORIES = {"CHANNEL": ("chip", "online"), "KIND": ("1", "True", "2")}
MANIFEST = make_manifest(
    inputs=InputSchema(
        columns=tuple(
            InputColumn(name=name, kind="category", categories=CATEGORIES[name])
            if name in CATEGORIES
            else InputColumn(name=name)
            for name in INPUTS
        )
    ),
    calendar=("hour", "weekday", "weekend", "night"),
    derived=(
        DerivedFeature(name="of_limit", ratio=("AMOUNT", "LIMIT")),
        DerivedFeature(name="of_mean", ratio=("AMOUNT", "mean")),
        DerivedFeature(name="days", elapsed=("OPENED", "TIME")),
    ),
)
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda moment: moment.replace(tzinfo=UTC))
finite = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.none() | finite | st.integers(-(2**53), 2**53) | st.just(float("nan"))
texts = st.none() | st.sampled_from(["chip", "online", "Chip", "nan", "None", "1"])
records = st.tuples(
    st.none() | st.integers(0, 9),
    numbers,
    texts,
    st.none() | moments,
    numbers,
    st.none() | st.integers(0, 23),
    st.none() | st.integers(0, 1),
    st.none(),
    numbers,
    numbers,
    st.none() | st.booleans() | st.integers(1, 3) | st.just(float("nan")),
)


def as_trained(manifest: Manifest, names: tuple[str, ...], rows: list[Any], times: list[datetime]) -> Any:
    """The matrix by the definitions: `InputSchema.encode`, `calendar` and `derived` on columns."""
    values: dict[str, Any] = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    for name in manifest.calendar:
        computed, own = calendar(name, times), values.get(name, [None] * len(rows))
        values[name] = [mine if mine is not None else value for mine, value in zip(own, computed, strict=True)]
    for feature in manifest.derived:
        values[feature.name] = derived(feature, values | {str(manifest.timestamp): times})
    return manifest.inputs.encode(values), values


@given(st.lists(st.tuples(records, moments), min_size=1, max_size=5))
def test_matrix_is_what_training_encodes(drawn: list[tuple[Any, datetime]]) -> None:
    rows, times = [row for row, _ in drawn], [time for _, time in drawn]
    names = (*NAMES, "KIND")
    expected, values = as_trained(MANIFEST, names, rows, times)
    found = InputReader(MANIFEST, names).read(rows, times)
    np.testing.assert_array_equal(found.single, expected)
    np.testing.assert_array_equal(found.matrix.astype(np.float32), expected)
    assert not np.isinf(expected).any()
    assert list(found.nothing) == np.flatnonzero(np.isnan(expected).all(axis=1)).tolist()
    by_column = ByColumn([_by_column(values) for values in zip(*rows, strict=True)], len(rows))
    same = InputReader(MANIFEST, names).read(by_column, times)
    np.testing.assert_array_equal(same.matrix, found.matrix)
    assert (same.texts, same.unknown) == (found.texts, found.unknown)
    for name, known in CATEGORIES.items():
        told = [None if value is None or value != value else str(value) for value in values[name]]
        assert found.texts[name] == told
        wrong = [text if text is not None and text not in known else None for text in told]
        assert [(row or {}).get(name) for row in found.unknown or [{}] * len(rows)] == wrong


def _by_column(values: tuple[Any, ...]) -> Any:
    """A column as a large request has it: numbers as an array."""
    return np.array(values, np.float64) if all(isinstance(value, float) for value in values) else list(values)


def test_numbers_alone_are_read_in_the_models_order_and_as_exactly_as_they_were_given() -> None:
    manifest = make_manifest(inputs=InputSchema(columns=tuple(InputColumn(name=name) for name in "cab")), calendar=())
    rows = [(7, 0.1, 2, None), (8, 1.5, float("nan"), 2**53)]
    times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(2)]
    found = InputReader(manifest, ("id", "a", "b", "c")).read(rows, times)
    np.testing.assert_array_equal(found.matrix, [[np.nan, 0.1, 2], [2.0**53, 1.5, np.nan]])
    assert (found.texts, list(found.unknown)) == ({}, [])
    by_column = ByColumn([[7, 8], np.array([0.1, 1.5]), np.array([2, np.nan]), [None, 2**53]], 2)
    same = InputReader(manifest, ("id", "a", "b", "c")).read(by_column, times)
    np.testing.assert_array_equal(same.matrix, found.matrix)


def test_column_that_is_named_twice_counts_as_where_it_is_last() -> None:
    manifest = make_manifest(inputs=InputSchema(columns=(InputColumn(name="a"),)), calendar=())
    found = InputReader(manifest, ("a", "b", "a")).read([(1, 2, 3)], [datetime(2026, 1, 1, tzinfo=UTC)])
    assert found.matrix.tolist() == [[3.0]]


def test_sums_and_ratios_that_single_precision_can_not_hold_are_missing() -> None:
    manifest = make_manifest(
        inputs=InputSchema(columns=tuple(InputColumn(name=name) for name in ("sum", "share"))),
        calendar=(),
        derived=(DerivedFeature(name="share", ratio=("sum", "part")),),
    )
    rows = [(6e38, 1.0), (80.5, 2e-226), (-6e38, -1e38), (3.4e38, 1.0)]
    found = InputReader(manifest, ("sum", "part")).read(rows, [datetime(2026, 1, 1, tzinfo=UTC)] * 4)
    nan = float("nan")
    np.testing.assert_array_equal(found.matrix, [[nan, nan], [80.5, nan], [nan, 6.0], [3.4e38, 3.4e38]])
    assert (found.single.flags.c_contiguous, found.nothing) == (True, [0])
