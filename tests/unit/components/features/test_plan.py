"""What a version reads online: which rows, which events, how far back."""

from datetime import timedelta
from typing import Any

import pytest

from components.features.plan import event_schema, online_plan
from components.features.served import served_view
from serin.online.plan import OnlinePlan
from serin.ports import ServedView, ViewSource
from serin.use_case import UseCase
from serin.windows.events import EventSchema
from tests.factories import make_case

COLUMNS = {
    "at": "timestamp",
    "id": "integer",
    "branch": "text",
    "card": "integer",
    "shop": "text",
    "amount": "number",
    "y": "integer",
}
DAY = 86_400_000_000


def schema_of(views: dict[str, Any]) -> EventSchema:
    parsed = case(views)
    return event_schema(parsed, list(parsed.views.values()))


def windows(*features: dict[str, Any], entity: str = "card", **more: Any) -> dict[str, Any]:
    return {"entity": entity, "features": [{"name": f"f{place}", **one} for place, one in enumerate(features)], **more}


def case(views: dict[str, Any], **more: Any) -> UseCase:
    return make_case(
        COLUMNS,
        data={"key": ["branch", "id"]},
        timestamp="at",
        entities={"card": "card", "shop": "shop"},
        features={"service": "toy_v1", "windows": views, **more},
    )


def served(parsed: UseCase, ttl: timedelta | None = None) -> list[ServedView]:
    return [
        served_view(parsed, ViewSource(name, (parsed.entities[view.entity],), "event_timestamp", ttl, ()))
        for name, view in parsed.views.items()
    ]


SPENT = {"aggregation": "sum", "column": "amount", "window": "7d"}
SHOPS = {"aggregation": "distinct", "column": "shop", "window": "1d", "delay": "30d"}
PLAIN = {"aggregation": "count", "window": "1d"}


def test_log_keeps_what_the_windows_take_and_the_key_and_reaches_back_to_the_first_event_that_counts():
    schema = schema_of({"a": windows(SPENT, SHOPS)})
    assert (schema.timestamp, schema.key) == ("at", {"branch": "text", "id": "integer"})
    assert (schema.numbers, schema.codes) == (("amount",), {"shop": "text"})
    assert schema.since == 31 * DAY


def test_sawtooth_window_reaches_back_by_a_hop_more():
    assert schema_of({"a": windows(PLAIN, hop="6h")}).since == DAY + DAY // 4


def test_windows_with_a_hop_are_of_states_but_for_their_delays_and_what_windows_without_reach():
    late = {**SPENT, "window": "30d", "delay": "2d"}
    hopping = windows(SHOPS | {"delay": "0d"}, late, hop="6h")
    alone = schema_of({"a": hopping})
    assert (alone.since, alone.raw) == (32 * DAY + DAY // 4, 2 * DAY)
    assert alone.hops == {DAY // 4: (("codes", "shop"), ("sum", "amount"))}
    other = {"entity": "card", "features": [{"name": "g", **PLAIN, "window": "5d"}]}
    third = {"entity": "card", "features": [{"name": "h", **PLAIN, "window": "5d"}], "hop": "1h"}
    beside = schema_of({"a": hopping, "b": other, "c": third})
    assert (beside.since, beside.raw, beside.hops) == (alone.since, 5 * DAY, alone.hops | {DAY // 24: (("count", ""),)})
    further = {"entity": "card", "features": [{"name": "g", **PLAIN, "window": "90d"}]}
    exact = schema_of({"a": hopping, "b": further})
    assert (exact.since, exact.raw, exact.hops) == (90 * DAY, None, {})
    plan = online_plan(parsed := case({"a": hopping}), served(parsed), "p")
    assert plan.logs["card"].events == alone
    assert OnlinePlan.model_validate_json(plan.model_dump_json()) == plan


def test_column_is_kept_as_numbers_and_as_codes_where_both_are_taken():
    both = windows(SPENT, {"aggregation": "matches", "column": "amount", "window": "1d"})
    schema = schema_of({"a": both})
    assert (schema.numbers, schema.codes) == (("amount",), {"amount": "number"})


def test_views_of_one_entity_share_a_log_and_other_entities_have_another():
    parsed = case({"a": windows(SPENT), "b": {**windows(PLAIN), "features": [{"name": "n", **PLAIN}]}} | shops())
    plan = online_plan(parsed, served(parsed, timedelta(hours=2)), "serin_served")
    assert list(plan.logs) == ["card", "shop"]
    assert plan.logs["card"].name == "serin_served:toy:card:integer"
    assert plan.logs["card"].events.since == 7 * DAY
    assert (plan.logs["shop"].key_type, plan.logs["shop"].events.numbers) == ("text", ())
    assert [(one.key, one.ttl) for one in plan.windows] == [("card", 7200.0), ("card", 7200.0), ("shop", 7200.0)]
    assert plan.tables == ()


def shops() -> dict[str, Any]:
    return {"c": {"entity": "shop", "features": [{"name": "busy", **PLAIN}]}}


def test_settings_of_the_use_case_are_the_plans():
    parsed = case({"a": windows(SPENT)}, requests_are_events=True, stale="error", unavailable="missing")
    plan = online_plan(parsed, served(parsed), "serin_served")
    assert (plan.requests_are_events, plan.stale, plan.unavailable) == (True, "error", "missing")
    assert OnlinePlan.model_validate_json(plan.model_dump_json()) == plan


def test_table_view_is_read_as_rows_and_needs_no_log():
    parsed = make_case(
        {"id": "integer", "age": "number", "y": "integer"},
        data={"key": ["id"]},
        features={"service": "toy_v1", "tables": {"people": {"entity": "thing", "columns": ["age"]}}},
    )
    (view,) = served(parsed)
    plan = online_plan(parsed, [view], "serin_served")
    (table,) = plan.tables
    assert (table.view, table.key, table.key_type) == (view.name, "id", "integer")
    assert (table.features, table.ttl) == ({"age": "number"}, None)
    assert (plan.windows, plan.logs) == ((), {})


@pytest.mark.parametrize("views", [{}, {"a": windows(SPENT)}], ids=["none", "one"])
def test_no_view_no_log(views):
    parsed = case(views, request=["amount"])
    assert len(online_plan(parsed, served(parsed), "p").logs) == len(views)
