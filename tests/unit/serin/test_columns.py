from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from serin.columns import MAX_NUMBER, TYPES, Column, TypeName, problem, shown
from serin.times import parse_time


@pytest.mark.parametrize("name", TYPES)
def test_numpy_and_arrow_of_a_type_hold_the_same_values(name: TypeName) -> None:
    found = pa.array([], TYPES[name].arrow).to_numpy(zero_copy_only=False)
    assert str(found.dtype) == TYPES[name].numpy


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ({"type": "text", "min": 0}, "a column of type text has no min and max"),
        ({"type": "timestamp", "max": 0}, "a column of type timestamp has no min and max"),
        ({"type": "number", "min": 2, "max": 1}, "min 2 is above max 1"),
        ({"type": "number", "min": float("nan")}, "finite number"),
        ({"type": "integer", "allowed": ["1"]}, "a column of type integer can't be allowed to hold '1'"),
        ({"type": "boolean", "allowed": [1]}, "a column of type boolean can't be allowed to hold 1"),
        ({"type": "text", "allowed": []}, "at least 1 item"),
    ],
)
def test_rules_that_no_value_of_the_type_can_keep_are_refused(rules: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Column.model_validate(rules)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "values", "broken"),
    [
        ({"type": "integer", "max": 2.0**53}, [2**53, 2**53 + 1], {1: "above 9.00719925474099e+15"}),
        ({"type": "integer", "min": -(2.0**53)}, [-(2**53), -(2**53) - 1], {1: "below -9.00719925474099e+15"}),
        ({"type": "integer", "min": 0.5, "max": 1e300}, [0, 1, 2**63 - 1], {0: "below 0.5"}),
        ({"type": "number", "min": 0, "max": 1}, [-0.1, 0.0, 1.0, 1.1], {0: "below 0", 3: "above 1"}),
        ({"type": "number"}, [MAX_NUMBER, 1e39, np.inf], dict.fromkeys((1, 2), "not a finite number (32 bits)")),
        ({"type": "integer", "allowed": (1, 2)}, [1, 3], {1: "not one of 1, 2"}),
        ({"type": "text", "allowed": ("a", 1)}, ["a", "1", "A"], {2: "not one of a, 1"}),
        (
            {"type": "text"},
            ["x", "x\0", "\0"],
            dict.fromkeys((1, 2), "not text of at most 1024 characters (UTF-8, no NUL)"),
        ),
        ({"type": "text"}, ["x" * 1024, "x" * 1025], {1: "not text of at most 1024 characters (UTF-8, no NUL)"}),
        ({"type": "boolean"}, [True, False], {}),
        (
            {"type": "timestamp"},
            ["1969-12-31T23:59:59.999999", "1970-01-01", "2199-12-31T23:59:59.999999", "2200-01-01"],
            dict.fromkeys((0, 3), "not an ISO 8601 time (2018-06-01T12:00) from 1970 to 2199"),
        ),
        ({"type": "number", "min": 0}, [], {}),
        ({"type": "text", "allowed": ("a",)}, [], {}),
    ],
)
def test_first_broken_rule_of_a_value_is_told(rules: dict[str, Any], values: list[Any], broken: dict[int, str]) -> None:
    column = Column.model_validate(rules)
    assert column.broken(np.array(values, TYPES[column.type].numpy)) == broken
    one_by_one = [parse_time(value) for value in values] if column.type == "timestamp" else values
    found = [next((rule for rule, breaks in column.rules() if breaks(value)), None) for value in one_by_one]
    assert found == [broken.get(place) for place in range(len(values))]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        (np.float64(1.5), "1.5"),
        (np.str_("a"), "'a'"),
        (True, "True"),
        ("x" * 99, f"'{'x' * 27}...{'x' * 28}'"),
        ({"a": [[1]]}, "{'a': [[1]]}"),
    ],
)
def test_value_is_shown_in_short(value: Any, text: str) -> None:
    assert shown(value) == text
    assert problem("below 0", value) == f"below 0 (found {text})"
