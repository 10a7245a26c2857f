from typing import Any

import numpy as np
import pandas as pd
import pytest

from serin.columns import TypeName
from serin.values import convert


def converted(values: Any, to: TypeName) -> tuple[list[Any], list[bool]]:
    found, misfit = convert(pd.Series(values), to)
    return found.astype(object).where(found.notna(), None).tolist(), misfit.tolist()


@pytest.mark.parametrize(
    ("values", "to", "expected", "misfit"),
    [
        (["1", " 2 ", "-3"], "integer", [1, 2, -3], [0, 0, 0]),
        (["1", "2.0", "1.5"], "integer", [1, 2, None], [0, 0, 1]),
        (["9007199254740993", "x"], "integer", [9007199254740993, None], [0, 1]),
        (["-9223372036854775807", "9999999999999999999", "1e3"], "integer", [-(2**63) + 1, None, None], [0, 1, 1]),
        ([1.0, np.nan, np.inf, 2.5, 1e300], "integer", [1, None, None, None, None], [0, 0, 1, 1, 1]),
        ([2**62 + 1, None], "integer", [2**62 + 1, None], [0, 0]),
        (["true", "False"], "integer", [1, 0], [0, 0]),
        ([True, False], "integer", [1, 0], [0, 0]),
        (["1", None, "null", "NaN"], "integer", [1, None, None, None], [0, 0, 0, 0]),
        (["0.1", "1e3", "1,5", "inf", "1_0"], "number", [0.1, 1000.0, None, None, None], [0, 0, 1, 1, 1]),
        ([1, 2], "number", [1.0, 2.0], [0, 0]),
        (["NA", "", None], "text", ["NA", "", None], [0, 0, 0]),
        ([1, 2], "text", ["1", "2"], [0, 0]),
        ([b"x", "y"], "text", [None, "y"], [1, 0]),
        (["TRUE", "0", "yes"], "boolean", [True, False, None], [0, 0, 1]),
        ([0, 1, 2], "boolean", [False, True, None], [0, 0, 1]),
        ([1522540800, 1522540801], "timestamp", [None, None], [1, 1]),
        (["31/12/2018", "12-31-2018 10:00", "9999-99-99"], "timestamp", [None, None, None], [1, 1, 1]),
    ],
)
def test_values_convert_or_are_misfits(values: Any, to: TypeName, expected: list[Any], misfit: list[int]) -> None:
    assert converted(pd.Series(values, dtype=object) if None in values else values, to) == (
        expected,
        [bool(m) for m in misfit],
    )


def test_numbers_as_text_are_the_nearest_floats() -> None:
    texts = ["57.16", "96.22999999999999", "0.30000000000000004", "123456.789012345"]
    assert converted(texts, "number")[0] == [float(text) for text in texts]


@pytest.mark.parametrize(
    "values",
    [
        ["2018-06-01T12:00:00", "2018-06-01 14:00:00+02:00", "2018-06-01T12:00:00Z"],
        ["2018-06-01 14:00:00+02:00", "2018-06-01T12:00:00", "2018-06-01T06:30:00.000-0530"],
        pd.to_datetime(["2018-06-01 12:00"] * 3),
        pd.to_datetime(["2018-06-01 14:00+02:00"] * 3),
        pd.to_datetime(["2018-06-01 12:00"] * 3).as_unit("ms"),
    ],
)
def test_times_become_utc_microseconds_and_without_an_offset_are_utc(values: Any) -> None:
    found, misfit = convert(pd.Series(values), "timestamp")
    assert found.dtype == "datetime64[us, UTC]"
    assert set(found) == {pd.Timestamp("2018-06-01 12:00", tz="UTC")}
    assert not misfit.any()
