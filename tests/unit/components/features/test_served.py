"""Served views: when one is another, what it is computed from, and who is gone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from components.features.served import gone, lacking, served_view, service_name
from serin.ports import ServedView, ViewSource
from serin.use_case import UseCase
from tests.factories import make_case

AT = datetime(2026, 2, 1, tzinfo=UTC)
UTC_TIME = pa.timestamp("us", tz="UTC")


def case(
    *, window: str = "7d", current: bool = True, amount: str = "number", delay: str = "0d", **more: Any
) -> UseCase:
    feature = {"name": "spent", "aggregation": "sum", "column": "amount", "window": window, "delay": delay}
    views = {"cards": {"entity": "card", "current": current, "features": [feature], **more}}
    return make_case(
        {"at": "timestamp", "card": "integer", "amount": amount, "fraud": "integer"},
        timestamp="at",
        label={"column": "fraud"},
        entities={"card": "card"},
        features={"service": "toy_v1", "windows": views},
    )


def served(ttl: timedelta | None = None, **changes: Any) -> ServedView:
    return served_view(case(**changes), ViewSource("cards", ("card",), "event_timestamp", ttl, ("spent",)))


def test_same_definition_is_the_same_served_view():
    assert served() == served()
    assert served().name.startswith("cards__")
    assert service_name(case(), [served()]) == service_name(case(), [served()])


@pytest.mark.parametrize(
    "change",
    [{"window": "14d"}, {"delay": "1d"}, {"current": False}, {"hop": "1d"}, {"ttl": timedelta(days=2)}],
    ids=str,
)
def test_what_changes_a_value_makes_another_served_view(change):
    assert served(**change).name != served().name
    assert service_name(case(), [served(**change)]) != service_name(case(), [served()])


def test_what_changes_no_value_of_the_view_leaves_it_the_same():
    parsed = case()
    other = parsed.model_copy(update={"training": parsed.training.model_copy(update={"seed": 7})})
    source = ViewSource("cards", ("card",), "event_timestamp", None, ("spent",))
    assert served_view(other, source).name == served().name


def test_served_view_survives_being_written_down():
    view = served(timedelta(hours=36))
    assert ServedView.model_validate_json(view.model_dump_json()) == view


def events(**changes: pa.Array) -> pa.Table:
    columns = {"card": pa.array([1]), "at": pa.array([AT], UTC_TIME), "amount": pa.array([1.0])}
    return pa.table({name: values for name, values in (columns | changes).items() if values is not None})


def test_data_with_all_columns_lack_nothing():
    assert lacking(events(), served()) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"amount": None}, ["amount"]),
        ({"card": pa.array(["1"])}, ["card"]),
        ({"at": None, "card": None}, ["at", "card"]),
    ],
    ids=["column", "key of another type", "two"],
)
def test_column_that_is_gone_or_has_another_type_is_lacking(changes, named):
    assert lacking(events(**changes), served()) == named


def rows(*cards: int, at: datetime = AT) -> pa.Table:
    return pa.table(
        {
            "card": pa.array(cards, pa.int64()),
            "event_timestamp": pa.array([at] * len(cards), UTC_TIME),
            "spent": pa.array([1.5] * len(cards)),
        }
    )


def test_entities_that_are_gone_get_nulls_as_of_the_new_time():
    later = AT + timedelta(days=1)
    assert gone(rows(1, 2, 3), rows(2, 9, at=later), "card").to_pylist() == [
        {"card": 1, "event_timestamp": later, "spent": None},
        {"card": 3, "event_timestamp": later, "spent": None},
    ]


def test_nobody_is_gone_where_all_are_there():
    assert gone(rows(1, 2), rows(1, 2, 3), "card").num_rows == 0
