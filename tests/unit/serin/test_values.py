from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serin.columns import TypeName
from serin.scaffold.columns import describe_key
from serin.use_case import Label, UseCase, parse
from serin.values import Notation, convert, outcomes, typed
from tests.examples import examples


def converted(values: Any, to: TypeName, **notation: Any) -> tuple[list[Any], list[bool]]:
    found, misfit = convert(pd.Series(values), to, Notation(**notation))
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
        (["   12", "      ", "7 "], "integer", [12, None, 7], [0, 0, 0]),
        (["   1.5", "      ", ""], "number", [1.5, None, None], [0, 0, 0]),
        (["9999-12-31", "0001-01-01"], "timestamp", [None, None], [1, 1]),
        (["0.1", "1e3", "1,5", "inf", "1_0"], "number", [0.1, 1000.0, None, None, None], [0, 0, 1, 1, 1]),
        ([1, 2], "number", [1.0, 2.0], [0, 0]),
        (["NA", "", "  ", None], "text", ["NA", None, None, None], [0, 0, 0, 0]),
        ([" a", "a ", "a"], "text", [" a", "a ", "a"], [0, 0, 0]),
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


@pytest.mark.parametrize("odd", ["2018-06-01T12:00:00+05:30:15", "2018-06-01T12:00:00+05:30[Asia/Kolkata]"])
def test_a_time_that_is_refused_leaves_its_offset_to_no_other(odd: str) -> None:
    found, misfit = convert(pd.Series([odd, "2018-06-01T12:00:00.5"]), "timestamp")
    assert misfit.tolist() == [True, False]
    assert found[1] == pd.Timestamp("2018-06-01 12:00:00.5", tz="UTC")


@pytest.mark.parametrize("word", ["now", "today", "NOW"])
def test_words_for_the_time_of_the_run_are_no_times(word: str) -> None:
    assert converted([word, None], "timestamp") == ([None, None], [True, False])


@pytest.mark.parametrize(
    ("values", "notation", "expected"),
    [
        (["1.234,56", "512,3", "-7", "1234,5"], {"decimal": ",", "thousands": "."}, [1234.56, 512.3, -7.0, 1234.5]),
        (["82,041.00", "1,000,000", ".5"], {"thousands": ","}, [82041.0, 1e6, 0.5]),
        (["1 234,5", "1\u00a0234,5", "1\u202f234,5"], {"decimal": ",", "thousands": " "}, [1234.5, 1234.5, 1234.5]),
        (["1'234.5", "1\u2019234.5"], {"thousands": "'"}, [1234.5, 1234.5]),
        (["41.0%", "0.1 %", "23.1", "-100%"], {"percent": True}, [0.41, 0.001, 0.231, -1.0]),
        (["41,5 %"], {"percent": True, "decimal": ","}, [0.415]),
        (["1,5e3"], {"decimal": ","}, [1500.0]),
    ],
)
def test_numbers_are_read_in_their_notation(values: list[str], notation: Any, expected: list[float]) -> None:
    assert converted(values, "number", **notation) == (expected, [False] * len(values))


@pytest.mark.parametrize(
    ("value", "notation"),
    [
        ("1.5", {"decimal": ","}),
        ("12.34", {"decimal": ",", "thousands": "."}),
        ("1,23,456", {"thousands": ","}),
        ("1.234.56", {"decimal": ",", "thousands": "."}),
        ("41%", {}),
    ],
)
def test_number_in_another_notation_than_the_declared_one_is_a_misfit(value: str, notation: Any) -> None:
    assert converted([value], "number", **notation) == ([None], [True])


def test_numbers_of_a_file_that_knows_numbers_are_in_nobodys_notation() -> None:
    german = {"decimal": ",", "thousands": "."}
    assert converted([1.125, 2.5], "number", **german)[0] == [1.125, 2.5]
    assert converted(pd.Series([1.125, "1.125", None], dtype=object), "number", **german)[0] == [1.125, 1125.0, None]


def test_integers_are_read_with_their_thousands() -> None:
    assert converted(["1.234.567", "12"], "integer", decimal=",", thousands=".") == ([1234567, 12], [False, False])


@pytest.mark.parametrize("to", ["integer", "number", "text", "timestamp", "boolean"])
def test_declared_null_words_are_missing_in_every_type(to: TypeName) -> None:
    assert converted(["\\N", " - ", "-999"], to, nulls=("\\N", "-", "-999")) == ([None] * 3, [False] * 3)


def test_null_words_that_are_numbers_hold_for_numbers_too() -> None:
    assert converted([1, -999], "integer", nulls=("-999",)) == ([1, None], [False, False])


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        (["1527854400"], "s"),
        ([1527854400000], "ms"),
        ([1527854400.0], "s"),
        (["1527854400000000"], "us"),
        ([1527854400000000000], "ns"),
    ],
)
def test_times_may_be_numbers_of_a_declared_unit(values: list[Any], unit: str) -> None:
    found, misfit = convert(pd.Series(values), "timestamp", Notation(unit=unit))  # type: ignore[arg-type]
    assert found.tolist() == [pd.Timestamp("2018-06-01 12:00", tz="UTC")]
    assert not misfit.any()


@pytest.mark.parametrize("value", ["2018-06-01", "soon", "99999999999999999"])
def test_what_is_no_time_of_the_declared_unit_is_a_misfit(value: str) -> None:
    assert converted([value, None], "timestamp", unit="s") == ([None, None], [True, False])


@examples(50)
@given(st.integers(0, 7_258_118_400 * 10**6 - 1))
def test_numbers_with_fractions_are_the_nearest_microseconds(moment: int) -> None:
    text = f"{moment // 10**6}.{moment % 10**6:06d}"
    expected = pd.Timestamp(moment, unit="us", tz="UTC")
    for values in ([text], [float(text)]):
        assert convert(pd.Series(values), "timestamp", Notation(unit="s"))[0].tolist() == [expected]


@pytest.mark.parametrize("beside", ["soon", "1.5", "99999999999999999999"])
def test_whole_numbers_keep_their_digits_whatever_stands_beside_them(beside: str) -> None:
    found, _ = convert(pd.Series(["1527854400123456999", beside]), "timestamp", Notation(unit="ns"))
    assert found[0] == pd.Timestamp("2018-06-01 12:00:00.123456", tz="UTC")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("dtype", ["uint64", "float64"])
def test_numbers_beyond_63_bits_are_no_times(dtype: str, unit: Any) -> None:
    assert converted(pd.Series([2**63, 0], dtype=dtype), "timestamp", unit=unit) == (
        [None, pd.Timestamp(0, tz="UTC")],
        [True, False],
    )


@pytest.mark.parametrize("value", ["0417", "+417", "-0", "417.0", "4e2", "٤١٧"])
def test_key_that_does_not_come_back_the_same_is_no_integer(value: str) -> None:
    assert converted(["12", value], "integer", exact=True) == ([12, None], [False, True])


def test_integers_that_were_saved_as_floats_are_still_keys() -> None:
    assert converted(["417.0", "18.0", None], "integer", exact=True)[0] == [417, 18, None]


def test_decimals_and_large_integers_are_exact_as_text() -> None:
    values = pd.Series([Decimal("1.50"), Decimal("1E+3"), 2**64 - 1], dtype=object)
    assert convert(values, "text")[0].tolist() == ["1.50", "1000", "18446744073709551615"]


@pytest.mark.parametrize("dtype", ["uint64", object])
def test_unsigned_integers_beyond_63_bits_never_wrap(dtype: Any) -> None:
    assert converted(pd.Series([2**63, 7], dtype=dtype), "integer") == ([None, 7], [True, False])


KEYS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=6),
    st.integers(-(2**65), 2**65).map(str),
    st.integers(0, 30).map(lambda number: f"{number:04d}"),
    st.integers(0, 30).map(str),
    st.sampled_from([" 7", "7 ", "7", "07", "7.0", "+7", "-0", "0", "1e1", "10", "true", "1", "Ａ", "é", "e\u0301"]),
)


@examples(100)
@given(st.lists(KEYS, min_size=1, max_size=30))
@example(["0417", "417"])
@example(["7.0", "7.00"])
@example([" 7", "7"])
@example(["1.0", "2.0"])
def test_as_many_entities_as_different_keys(keys: list[str]) -> None:
    column = pd.Series(keys, dtype=object)
    described = describe_key(column)
    found, misfit = convert(column, described.type, Notation(exact=True))
    nulls = ("na", "n/a", "nan", "null", "none") if described.type == "integer" else ()
    expected = {key for key in keys if key.strip() and key.strip().lower() not in nulls}
    assert found.nunique() == len(expected)
    assert not misfit.any()


@examples(100)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
def test_as_many_entities_as_different_unsigned_integers(keys: list[int]) -> None:
    column = pd.Series(keys, dtype="uint64")
    found, misfit = convert(column, describe_key(column).type, Notation(exact=True))
    assert found.nunique() == len(set(keys))
    assert not misfit.any()


@pytest.mark.parametrize(
    ("values", "label", "expected", "misfit"),
    [
        (["Yes", "No", " yes ", None, ""], {"positive": "Yes"}, [1, 0, 1, None, None], [0, 0, 0, 0, 0]),
        (["fraud", "legit", "odd"], {"positive": "fraud", "negative": ["legit"]}, [1, 0, None], [0, 0, 1]),
        (["a", "b", "c"], {"positive": "b"}, [0, 1, 0], [0, 0, 0]),
        ([1, 2, 2], {"positive": "2", "negative": ["1"]}, [0, 1, 1], [0, 0, 0]),
        ([1.0, 2.0, np.nan], {"positive": 2}, [0, 1, None], [0, 0, 0]),
        ([True, False], {"positive": "true"}, [1, 0], [0, 0]),
        (["None", "Some"], {"positive": "None"}, [1, 0], [0, 0]),
        (["1", "Yes", "No"], {"positive": "Yes", "negative": ["No"]}, [None, 1, 0], [1, 0, 0]),
        (["Yes", "No"], {"positive": True}, [1, 0], [0, 0]),
    ],
)
def test_label_in_words_becomes_0_and_1(values: Any, label: Any, expected: list[Any], misfit: list[int]) -> None:
    found, odd = outcomes(pd.Series(values), Label(column="x", **label))
    assert found.astype(object).where(found.notna(), None).tolist() == expected
    assert odd.tolist() == [bool(one) for one in misfit]


def use_case(**data: Any) -> UseCase:
    columns = {
        "id": {"type": "integer"},
        "amount": {"type": "number", "nulls": ["?"], "decimal": "."},
        "price": {"type": "number"},
        "left": {"type": "integer"},
    }
    return parse(
        {
            "name": "x",
            "data": {"columns": columns, "key": ["id"], "decimal": ",", "thousands": " ", "nulls": ["-"], **data},
            "label": {"column": "left", "positive": "Yes", "negative": ["No"]},
            "entities": {"customer": "id"},
            "features": {"service": "x", "tables": {"profile": {"entity": "customer", "columns": ["amount", "price"]}}},
            "training": {"estimators": {"logistic_regression": {}}},
        },
        "here",
    )


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("price", ["1 234,5", "-", "?"], [1234.5, None, "misfit"]),
        ("amount", ["1 234.5", "-", "?"], [1234.5, "misfit", None]),
        ("id", ["12", "012", "-"], [12, "misfit", None]),
        ("left", ["yes", "No", "-"], [1, 0, None]),
    ],
)
def test_column_is_read_as_the_use_case_declares_it_and_the_column_before_the_table(
    name: str, values: list[str], expected: list[Any]
) -> None:
    found, misfit = typed(pd.Series(values), use_case(), name)
    told = ["misfit" if odd else None if pd.isna(value) else value for value, odd in zip(found, misfit, strict=True)]
    assert told == expected
