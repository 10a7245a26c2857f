import ast
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from serin.errors import DataError, UseCaseError
from serin.scaffold.proposal import Proposal, propose
from serin.scaffold.render import render_definitions, render_yaml
from serin.use_case import parse


def snapshot(rows: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "RowNumber": np.arange(1, rows + 1),
            "ClientId": random.permutation(rows) + 1000,
            "Surname": [f"name {i // 2}" for i in range(rows)],
            "Region": random.choice(["north", "south"], rows),
            "Age": random.integers(18, 90, rows),
            "Income": random.random(rows) * 1000,
            "Planet": ["earth"] * rows,
            "Left": (random.random(rows) < 0.3).astype(int),
        }
    ).astype(str)


def events(rows: int = 400, days: int = 100) -> pd.DataFrame:
    random = np.random.default_rng(0)
    at = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.sort(random.integers(0, days * 86_400, rows)), unit="s")
    return pd.DataFrame(
        {
            "order_id": [f"o{i}" for i in range(rows)],
            "at": at.astype(str),
            "USER_ID": random.integers(0, 20, rows),
            "shop": random.integers(0, 5, rows),
            **{f"n{i}": random.random(rows) for i in range(5)},
            "kind": random.choice(["a", "b"], rows),
            "hour": random.integers(0, 24, rows),
            "bad": (np.arange(rows) % 50 == 0).astype(int),
        }
    )


def of_snapshot(frame: pd.DataFrame, **changes: Any) -> Proposal:
    return propose(frame, **({"name": "leavers", "label": "Left", "entities": ["ClientId"]} | changes))


def of_events(frame: pd.DataFrame, **changes: Any) -> Proposal:
    given = {"name": "orders", "label": "bad", "entities": ["USER_ID", "shop"], "timestamp": "at"}
    return propose(frame, **(given | changes))


def note(proposal: Proposal, start: str) -> str:
    (found,) = [text for text in proposal.notes if text.startswith(start)]
    return found


def test_snapshot_becomes_one_table_view_of_what_is_usable() -> None:
    case = of_snapshot(snapshot()).case
    (view,) = case.features.tables.items()
    assert view[0] == "leavers_client"
    assert (view[1].entity, view[1].columns) == ("client", ("Region", "Age", "Income"))
    assert case.data.key == ("ClientId",)
    assert {name: column.type for name, column in case.data.columns.items()} == {
        "ClientId": "integer",
        "Region": "text",
        "Age": "integer",
        "Income": "number",
        "Left": "integer",
    }
    assert (case.features.request, case.features.windows, case.timestamp) == ((), {}, None)


def test_each_column_that_is_left_out_has_a_note() -> None:
    proposal = of_snapshot(snapshot())
    assert note(proposal, "RowNumber").startswith("RowNumber: counts the rows, left out")
    assert note(proposal, "Surname").startswith("Surname: 200 different texts in 400 rows, left out")
    assert note(proposal, "Planet").startswith("Planet: the same value in every row, left out")


def test_column_that_gives_the_label_away_is_left_out() -> None:
    frame = snapshot().assign(Reason=lambda f: np.where(f["Left"] == "1", "moved", "none"))
    proposal = of_snapshot(frame)
    assert "Reason" not in proposal.case.data.columns
    assert "tells the label all by itself" in note(proposal, "Reason")


def test_events_get_request_columns_calendar_and_windows() -> None:
    proposal = of_events(events())
    features = proposal.case.features
    assert features.request == ("n0", "n1", "n2", "n3", "n4", "kind", "hour")
    assert features.calendar == ("weekday",), "the table has an hour of its own"
    assert list(features.windows) == ["orders_user_activity", "orders_shop_activity"]
    names = [feature.name for feature in features.windows["orders_user_activity"].features]
    assert names[:4] == ["user_count_1d", "user_count_7d", "user_count_30d", "user_n0_mean_1d"]
    assert len(names) == 3 + 3 * 3
    assert (
        note(proposal, "No window features of") == "No window features of n3, n4, hour: the first 3 numbers are taken."
    )
    assert "label.delay" in note(proposal, "Labels count as known at once")


def test_key_of_events_is_a_column_of_its_own_else_time_and_entities_else_nothing() -> None:
    frame = events()
    assert of_events(frame).case.data.key == ("order_id",)
    assert of_events(frame.drop(columns="order_id")).case.data.key == ("at", "USER_ID", "shop")
    twice = pd.concat([frame, frame]).drop(columns="order_id")
    assert of_events(twice).case.data.key == ()


@pytest.mark.parametrize(("days", "period"), [(100, 7), (20, 3), (2, 1)])
def test_test_period_fits_what_the_table_spans(days: int, period: int) -> None:
    training = of_events(events(days=days)).case.training
    assert (training.test.days, training.validation.days) == (period, period)


@pytest.mark.parametrize(("share", "metric"), [(0.04, "average_precision"), (0.06, "roc_auc")])
def test_primary_metric_follows_the_share_of_positives(share: float, metric: str) -> None:
    frame = snapshot().assign(Left=[str(int(i < share * 400)) for i in range(400)])
    assert of_snapshot(frame).case.training.primary_metric == metric


def test_nullable_follows_the_nulls_and_keys_are_required() -> None:
    frame = snapshot()
    frame.loc[3, ["Age", "Left"]] = None
    proposal = of_snapshot(frame)
    assert [name for name, column in proposal.case.data.columns.items() if column.nullable] == ["Age", "Left"]
    assert note(proposal, "Left is unknown") == "Left is unknown in 1 rows; they are not trained on."


def test_mixed_column_is_named_with_what_happens_to_it() -> None:
    frame = snapshot()
    frame.loc[3, "Age"] = "old"
    assert note(of_snapshot(frame), "Age") == "Age: 1 values are no integer; such rows are quarantined."


def test_column_of_two_minds_is_text_and_says_so() -> None:
    frame = snapshot().assign(Age=["inf", *["1", "2"] * 199, "old"])
    frame.loc[:9, "Age"] = "inf"
    proposal = of_snapshot(frame)
    assert proposal.case.data.columns["Age"].type == "text"
    assert note(proposal, "Age") == "Age: 11 of 400 values are no number, such as 'inf': taken as text."


def test_entity_without_a_value_in_some_rows_is_still_one() -> None:
    frame = snapshot()
    frame.loc[:2, "ClientId"] = None
    assert note(of_snapshot(frame), "ClientId") == "ClientId is empty in 3 rows; such rows are quarantined."


def test_identifiers_beyond_64_bits_are_text() -> None:
    frame = snapshot().assign(ClientId=[str(10**25 + i) for i in range(400)])
    assert of_snapshot(frame).case.data.columns["ClientId"].type == "text"


def test_names_that_are_no_identifiers_are_renamed() -> None:
    evil = 'Age"; DROP TABLE events; --'
    frame = snapshot().rename(columns={"Age": evil, "Income": "REGION", "Left": "has left?"})
    proposal = of_snapshot(frame, label="has left?")
    assert proposal.case.data.rename == {
        evil: "Age_DROP_TABLE_events",
        "REGION": "REGION_2",
        "has left?": "has_left",
    }
    assert proposal.case.label.column == "has_left"
    assert note(proposal, repr(evil)) == f"{evil!r} is called Age_DROP_TABLE_events here (data.rename)."


@pytest.mark.parametrize("truth", [(True, False), ("true", "false"), (1.0, 0.0)])
def test_labels_that_mean_0_and_1_are_fine(truth: tuple[Any, Any]) -> None:
    frame = snapshot()
    frame["Left"] = [truth[0] if left == "1" else truth[1] for left in frame["Left"]]
    assert of_snapshot(frame).case.data.columns["Left"].type == "integer"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["Yes", "No", "No"], r"it holds No \(267\), Yes \(133\).*: write 1 for the outcome to predict"),
        ([None], "it holds nothing: one class alone"),
        (["0"], r"it holds 0 \(400\): one class alone teaches nothing"),
        (["a", "b", "c"], r"it holds .*: a label has two values"),
        ([str(i) for i in range(9)], r"and 4 more: a label has two values"),
    ],
)
def test_labels_of_other_values_are_refused(labels: list[str | None], message: str) -> None:
    frame = snapshot()
    frame["Left"] = [labels[-1 - i % len(labels)] for i in range(400)]
    with pytest.raises(DataError, match=f"the label Left must be 0 or 1 .*{message}"):
        of_snapshot(frame)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "Gone"}, "no column 'Gone'; the table has RowNumber, ClientId, Surname"),
        ({"entities": ["Left"]}, "Left can be only one of label, entity and timestamp"),
        ({"entities": ["Region"]}, "entity Region has 2 different values in 400 rows"),
        ({"entities": ["Income"]}, "entity Income holds number values; allowed: integer, text"),
        ({"entities": ["ClientId", "RowNumber"]}, "2 entities named; a table without --timestamp has exactly one"),
        ({"entities": []}, "0 entities named"),
        ({"entities": ["Empty"]}, "entity Empty has no value in any row"),
        ({"timestamp": "Surname"}, "timestamp Surname holds text values such as .'name 0'.; allowed: ISO 8601"),
    ],
)
def test_columns_that_can_not_be_what_they_are_named_for_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        of_snapshot(snapshot().assign(Empty=None), **changes)


def test_table_with_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(DataError, match="no column to learn from besides ClientId, Left"):
        of_snapshot(snapshot()[["ClientId", "Left", "Planet"]])


def test_name_that_is_none_is_refused() -> None:
    with pytest.raises(UseCaseError, match=r"name: .*'No Name!'"):
        of_snapshot(snapshot(), name="No Name!")


def test_longest_name_still_gives_names_that_fit() -> None:
    case = of_events(events(), name="a" * 40).case
    assert {len(name) for name in case.views} == {40}
    assert len(set(case.views)) == 2


@pytest.mark.parametrize("proposal", [of_snapshot(snapshot()), of_events(events())], ids=["snapshot", "events"])
def test_yaml_reads_back_as_the_same_use_case(proposal: Proposal) -> None:
    assert parse(yaml.safe_load(render_yaml(proposal.case)), "it") == proposal.case


def test_yaml_quotes_what_yaml_would_take_for_something_else() -> None:
    case = of_snapshot(snapshot().rename(columns={"Age": "no", "Income": "null"})).case
    assert parse(yaml.safe_load(render_yaml(case)), "it") == case


def test_definitions_are_python_that_names_every_feature() -> None:
    case = of_events(events()).case
    text = render_definitions(case)
    strings = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    assert {"USER_ID", "shop", "orders_user", "orders_shop", "orders_v1", *case.views} <= strings
    assert {f.name for view in case.features.windows.values() for f in view.features} <= strings
