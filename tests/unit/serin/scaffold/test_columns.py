from typing import Any

import pandas as pd
import pytest

from serin.scaffold.columns import describe, identifier, snake_case


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
        (["1,5", "2,5"], "text"),
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
