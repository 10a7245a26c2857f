from typing import Any

import pandas as pd
import pytest

from serin.scaffold.columns import describe, describe_key, identifier, snake_case
from serin.values import PLAIN, Notation


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (["1", "2", None], "integer"),
        (["1.0", "2.0"], "number"),
        (["1", "2.5"], "number"),
        (["007", "123"], "text"),
        (["true", "False", None], "boolean"),
        (["0", "1"], "integer"),
        (["Yes", "No"], "text"),
        (["2018-06-01", "2018-06-02T10:00:00Z"], "timestamp"),
        (["06/01/2018", "06/02/2018"], "text"),
        (["1,5", "2,5"], "number"),
        (["1,500", "2,500"], "text"),
        (["     12", "       ", "7"], "integer"),
        (["?", "1", "2"], "integer"),
        ([None, None], "text"),
        ([1, 2], "integer"),
        ([1.0, 2.0], "number"),
        ([True, False], "boolean"),
        (pd.to_datetime(["2018-06-01"]), "timestamp"),
        (["99999999999999999999999", "1"], "text"),
        (["9223372036854775807", "1"], "integer"),
    ],
)
def test_type_is_the_one_that_all_values_fit(values: Any, type_: str) -> None:
    dtype = object if isinstance(values, list) and isinstance(values[0], str | None) else None
    assert describe(pd.Series(values, dtype=dtype)).type == type_


@pytest.mark.parametrize(("odd", "type_"), [(1, "integer"), (2, "text")])
def test_one_misfit_in_a_hundred_is_tolerated(odd: int, type_: str) -> None:
    described = describe(pd.Series([str(i) for i in range(100 - odd)] + ["n. a."] * odd, dtype=object))
    assert described.type == type_
    assert described.misfits == (odd if type_ == "integer" else 0)


@pytest.mark.parametrize(
    ("values", "type_", "notation"),
    [
        (["1.234,56", "512,30", "7"], "number", Notation(decimal=",", thousands=".")),
        (["82,041.00", "512.30"], "number", Notation(thousands=",")),
        (["1,234,567", "89"], "integer", Notation(thousands=",")),
        (["3,5", "12,25"], "number", Notation(decimal=",")),
        (["1 234,5", "12,5"], "number", Notation(decimal=",", thousands=" ")),
        (["1'234.50", "12.50"], "number", Notation(thousands="'")),
        (["41.0%", "7%"], "number", Notation(percent=True)),
        (["41,5 %", "7 %"], "number", Notation(percent=True, decimal=",")),
        (["1.5", "-", "?", "2.5"], "number", Notation(nulls=("-", "?"))),
        (["3,5", "\\N", "12,25"], "number", Notation(nulls=("\\N",), decimal=",")),
        (["red", "?", "blue"], "text", Notation(nulls=("?",))),
        (["1.5", "2.5"], "number", PLAIN),
        (["NA", "red"], "text", PLAIN),
    ],
)
def test_notation_is_the_one_that_the_values_show(values: list[str], type_: str, notation: Notation) -> None:
    described = describe(pd.Series(values * 30))
    assert (described.type, described.notation) == (type_, notation)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["1,234", "5,678", "12"], "'1,234' could mean 1.234 or 1234: taken as text; declare decimal and thousands"),
        (
            ["$12.00", "$7.50"],
            "values such as '$12.00' look like numbers in no notation that is read: write them plain",
        ),
        (["1.234", "56.780", "976"], "'1.234' could mean 1.234 or 1234: taken as text; declare decimal and thousands"),
        (["7.50", "(12)"], "values such as '(12)' look like numbers in no notation that is read"),
        (["31.12.2025", "01.01.2026 10:15:00"], "values such as '31.12.2025' look like dates in no notation"),
        (["12/31/25 11:59 PM", "1/1/26 1:00 AM"], "values such as '12/31/25 11:59 PM' look like dates in no notation"),
        (["(12)", "7-"], "values such as '(12)' look like numbers in no notation that is read"),
        (["12 EUR", "7 EUR"], "values such as '12 EUR' look like numbers in no notation that is read"),
    ],
)
def test_values_that_could_mean_two_things_or_nothing_are_told(values: list[str], told: str) -> None:
    described = describe(pd.Series(values * 30))
    assert described.type == "text"
    assert (described.almost or "").startswith(told)


@pytest.mark.parametrize("values", [["0.250", "3"], ["1.5", "3"], ["1.234", "5.678"], ["-1.25", "1.234", "3"]])
def test_plain_numbers_with_three_decimals_stay_numbers(values: list[str]) -> None:
    assert describe(pd.Series(values * 30)).type == "number"


@pytest.mark.parametrize(
    ("times", "unit"),
    [([1522540800, 1522627200], "s"), (["1522540800000"], "ms"), ([1522540800 * 10**6], "us"), ([10**18], "ns")],
)
def test_unit_of_times_that_are_numbers_is_guessed_where_they_are_the_time(times: list[Any], unit: str) -> None:
    described = describe(pd.Series(times), prefer="timestamp")
    assert (described.type, described.notation.unit) == ("timestamp", unit)
    assert describe(pd.Series(times)).type == "integer"


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (["12", "345"], "integer"),
        (["0417", "417"], "text"),
        ([" 7", "7"], "text"),
        ([" 7", " 8"], "integer"),
        (["7.0", "8.0"], "integer"),
        (["7.0", "8"], "text"),
        (["1.50", "2.25"], "text"),
        (["2018-06-01"], "text"),
        ([2**64 - 1, 5], "text"),
        ([5, 7], "integer"),
        ([1.5, 2.0], "number"),
        ([True, False], "boolean"),
    ],
)
def test_key_is_an_integer_only_where_every_value_comes_back_the_same(values: list[Any], type_: str) -> None:
    described = describe_key(pd.Series(values))
    assert described.type == type_
    assert described.distinct == len(set(values))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (list(range(5, 9)), True),
        (list(range(30)), True),
        (list(range(30))[::-1], True),
        ([(7 * place) % 30 + 1 for place in range(30)], True),
        ([(7 * place) % 30 + 2 for place in range(30)], False),
        ([3, 1, 2], False),
        ([place // 2 for place in range(30)], False),
    ],
)
def test_row_numbers_count_the_rows_in_any_order(numbers: list[int], expected: bool) -> None:
    assert describe(pd.Series(numbers)).is_row_number == expected


@pytest.mark.parametrize(("name", "expected"), [("Unnamed_0", True), ("index", True), ("RowId", True), ("age", False)])
def test_index_of_a_part_of_a_table_is_known_by_its_name(name: str, expected: bool) -> None:
    assert describe(pd.Series([7, 3, 99])).is_index(name) == expected
    assert not describe(pd.Series([7, 7, 99])).is_index(name)


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("Age", set(), "Age"),
        ("Age", {"age"}, "Age_2"),
        ("age of holder (years)", set(), "age_of_holder_years"),
        ('x"; DROP TABLE events; --', set(), "x_DROP_TABLE_events"),
        ("2018", set(), "column_2018"),
        ("Größe", set(), "Gr_e"),
        ("", {"column"}, "column_2"),
    ],
)
def test_identifier_is_plain_and_unlike_those_taken(name: str, taken: set[str], expected: str) -> None:
    assert identifier(name, taken) == expected


@pytest.mark.parametrize("name", ["CustomerId", "CUSTOMER_ID", "customer_id", "customerId"])
def test_snake_case_reads_all_conventions(name: str) -> None:
    assert snake_case(name) == "customer_id"
