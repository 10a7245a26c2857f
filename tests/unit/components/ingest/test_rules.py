from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.ingest.rules import check
from predictors.requests.schema import RequestSchema
from serin.artifact import RequestColumn
from serin.errors import DataError
from serin.schema import InputColumn, InputSchema
from serin.use_case import UseCase
from tests.factories import make_case, make_manifest

NOW = datetime(2018, 6, 1, 12, tzinfo=UTC)

COLUMNS = {
    "id": {"type": "integer", "min": 0},
    "at": {"type": "timestamp"},
    "who": {"type": "text"},
    "amount": {"type": "number", "min": 0, "max": 1000},
    "channel": {"type": "text", "allowed": ["shop", "web"], "nullable": True},
    "known": {"type": "boolean", "nullable": True},
    "visits": {"type": "integer", "nullable": True},
    "fraud": {"type": "integer"},
}


def toy(**data: Any) -> UseCase:
    return make_case(
        COLUMNS,
        request=["amount"],
        data={"key": ["id"], "max_bad_share": 0.5, **data},
        timestamp="at",
        label={"column": "fraud"},
        entities={"who": "who"},
    )


def make_frame(rows: int = 20, **changes: list[Any]) -> pd.DataFrame:
    """Rows as a CSV file gives them; `changes` replace the first values of a column."""
    frame = pd.DataFrame(
        {
            "id": [str(i) for i in range(rows)],
            "at": [f"2018-06-{1 + i % 3:02}T10:00:00" for i in range(rows)],
            "who": [f"w{i % 4}" for i in range(rows)],
            "amount": [str(i + 0.5) for i in range(rows)],
            "channel": ["shop", "web"] * (rows // 2) + ["web"] * (rows % 2),
            "known": ["true", None] * (rows // 2) + ["true"] * (rows % 2),
            "visits": ["3", None] * (rows // 2) + ["3"] * (rows % 2),
            "fraud": [str(i % 2) for i in range(rows)],
            "extra": ["x"] * rows,
        },
        dtype=object,
    )
    for column, values in changes.items():
        frame.loc[: len(values) - 1, column] = pd.Series(values, dtype=object)
    return frame


def refusal(frame: pd.DataFrame, case: UseCase) -> str:
    with pytest.raises(DataError) as raised:
        check(frame, case, "t.csv")
    return str(raised.value)


def test_good_rows_have_the_declared_columns_in_canonical_types() -> None:
    checked = check(make_frame(), toy(), "t.csv")
    assert {name: str(dtype) for name, dtype in checked.good.dtypes.items()} == {
        "id": "int64",
        "at": "datetime64[us, UTC]",
        "who": "object",
        "amount": "float64",
        "channel": "object",
        "known": "object",
        "visits": "float64",
        "fraud": "int64",
    }
    assert len(checked.good) == 20
    assert checked.good["known"].tolist()[:2] == [True, None]
    assert checked.bad.empty


def test_types_of_the_source_do_not_matter() -> None:
    texts = make_frame()
    native = texts.assign(
        id=texts["id"].astype("int32"),
        at=pd.to_datetime(texts["at"]),
        amount=texts["amount"].astype(float),
        fraud=texts["fraud"] == "1",
        channel=texts["channel"].astype("category"),
        visits=texts["visits"].astype(float),
    )
    pd.testing.assert_frame_equal(check(native, toy(), "t.parquet").good, check(texts, toy(), "t.csv").good)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": ["-1"]}, "id: below 0 (found '-1')"),
        ({"id": [None]}, "id: missing"),
        ({"id": ["1.5"]}, "id: not a whole number (64 bits) (found '1.5')"),
        ({"at": ["01/06/2018"]}, "at: not an ISO 8601 time (2018-06-01T12:00) from 1970 to 2199 (found '01/06/2018')"),
        ({"amount": ["1000.5"]}, "amount: above 1000 (found '1000.5')"),
        ({"amount": ["inf"]}, "amount: not a finite number (32 bits) (found 'inf')"),
        ({"amount": ["NaN"]}, "amount: missing"),
        ({"at": ["9999-12-31"]}, "at: not an ISO 8601 time (2018-06-01T12:00) from 1970 to 2199 (found '9999-12-31')"),
        (
            {"who": ["x" * 1025]},
            f"who: not text of at most 1024 characters (UTF-8, no NUL) (found '{'x' * 27}...{'x' * 28}')",
        ),
        ({"channel": ["mail"]}, "channel: not one of shop, web (found 'mail')"),
        (
            {"visits": ["9007199254740993"]},
            "visits: beyond 9007199254740991, the largest that a nullable column holds (found '9007199254740993')",
        ),
        ({"known": ["perhaps"]}, "known: not true or false (found 'perhaps')"),
        ({"fraud": ["2"]}, "fraud: not one of 0, 1 (found '2')"),
        ({"fraud": [None]}, "fraud: missing"),
        ({"who": [None], "amount": ["-2"]}, "who: missing; amount: below 0 (found '-2')"),
    ],
)
def test_bad_row_is_set_aside_with_all_its_reasons(changes: dict[str, list[Any]], reason: str) -> None:
    checked = check(make_frame(**changes), toy(), "t.csv")
    assert checked.bad["reason"].tolist() == [reason]
    assert checked.bad["row"].tolist() == [1]
    assert len(checked.good) == 19
    for column, values in changes.items():
        assert checked.bad[column].tolist() == values


def test_null_label_is_good_where_the_label_is_nullable() -> None:
    columns = {**COLUMNS, "fraud": {"type": "integer", "nullable": True}}
    checked = check(make_frame(fraud=[None]), toy(columns=columns), "t.csv")
    assert np.isnan(checked.good["fraud"].iloc[0])
    assert len(checked.good) == 20


def test_no_label_at_all_is_good_where_the_label_is_nullable() -> None:
    columns = {**COLUMNS, "fraud": {"type": "integer", "nullable": True}}
    assert len(check(make_frame(fraud=[None] * 20), toy(columns=columns), "t.csv").good) == 20


def test_columns_of_other_names_are_renamed() -> None:
    frame = make_frame().rename(columns={"amount": 'x"; DROP TABLE events; --'})
    case = toy(rename={'x"; DROP TABLE events; --': "amount"})
    assert check(frame, case, "t.csv").good["amount"].iloc[1] == 1.5


def test_renaming_onto_a_name_that_is_there_is_refused() -> None:
    text = refusal(make_frame(), toy(rename={"extra": "amount"}))
    assert text == "t.csv has more than one column called amount (after data.rename)"


def test_all_structural_problems_are_told_at_once() -> None:
    frame = make_frame(amount=["a lot"] * 15, id=["7", "7", "7"]).drop(columns="who")
    assert refusal(frame, toy(rename={"WHO": "who"})).splitlines() == [
        "t.csv can't be ingested:",
        "  column who (called WHO in the source by data.rename): missing; the table has "
        "id, at, amount, channel, known, visits, fraud, extra",
        "  column amount: type number asks for a finite number (32 bits); 15 of 20 values are none, for example "
        "'a lot'",
        "  column id: the key must be unique; 4 rows share one: 7",
    ]


def test_repeated_key_of_two_columns_shows_both() -> None:
    frame = make_frame(who=["w", "w"], id=["1", "1"])
    assert "column who, id: the key must be unique; 2 rows share one: w / 1" in refusal(frame, toy(key=["who", "id"]))


def test_label_with_one_class_is_refused() -> None:
    text = refusal(make_frame(fraud=["0"] * 20), toy())
    assert "column fraud: the label must have both classes; all 20 known ones are 0" in text


def test_one_row_is_a_label_with_one_class() -> None:
    assert "all 1 known ones are 0" in refusal(make_frame(1), toy())


def test_too_many_bad_rows_are_refused_with_rules_counts_and_five_examples() -> None:
    text = refusal(make_frame(amount=["-1"] * 7), toy(max_bad_share=0.3))
    assert "7 of 20 rows break a rule; data.max_bad_share allows 30%" in text
    assert "Rules broken: amount: below 0 (7 rows)" in text
    assert text.count("amount: below 0 (found '-1')") == 5


def test_as_many_bad_rows_as_allowed_are_set_aside() -> None:
    assert len(check(make_frame(amount=["-1"] * 6), toy(max_bad_share=0.3), "t.csv").bad) == 6


def test_table_without_rows_is_refused() -> None:
    assert refusal(make_frame(0), toy()) == "t.csv holds no row"


def test_text_of_as_many_characters_as_allowed_is_good() -> None:
    assert check(make_frame(who=["x" * 1024]), toy(), "t.csv").bad.empty


def test_ingest_and_predictor_refuse_the_same_values_with_the_same_words() -> None:
    columns: dict[str, Any] = {
        "n": {"type": "number", "min": 1, "max": 9},
        "t": {"type": "text", "allowed": ["a", "b"]},
    }
    bad = {"n": [0.5, 10.0, None, 5.0, 5.0, 5.0], "t": ["a", "a", "a", "c", "x" * 1025, None]}
    case = toy(columns={**COLUMNS, **columns}, max_bad_share=0.5)
    frame = make_frame().assign(n=5.0, t="a").astype({"n": object})
    for name, values in bad.items():
        frame.loc[: len(values) - 1, name] = pd.Series(values, dtype=object)
    schema = RequestSchema(
        make_manifest(
            inputs=InputSchema(columns=(InputColumn(name="n"), InputColumn(name="t", kind="category"))),
            calendar=(),
            request=tuple(RequestColumn(name=name, **rule) for name, rule in columns.items()),
        )
    )
    rows = [{"n": n, "t": t} for n, t in zip(bad["n"], bad["t"], strict=True)]
    refused = schema.from_v1({"instances": [*rows, {"n": 5, "t": "a"}], "parameters": {"partial": True}}, NOW).refused
    assert check(frame, case, "t.csv").bad["reason"].tolist() == [refused[row] for row in sorted(refused)]


def test_large_integers_stay_apart_where_no_null_is_allowed() -> None:
    good = check(make_frame(id=["9007199254740993", "9007199254740992"]), toy(), "t.csv").good
    assert good["id"].tolist()[:2] == [9007199254740993, 9007199254740992]
