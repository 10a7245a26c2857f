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


# What is left of the calendar: the table of `events` has an hour of its own.
OTHER_CALENDAR = ("weekday", "night", "weekend")


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


def test_column_that_tells_the_label_alone_is_left_out_with_a_warning() -> None:
    frame = snapshot().assign(Reason=lambda f: np.where(f["Left"] == "1", "moved", "none"))
    proposal = of_snapshot(frame)
    assert "Reason" not in proposal.case.data.columns
    (warning,) = proposal.warnings
    ones = (frame["Left"] == "1").sum()
    assert warning.startswith(
        f"Reason alone tells the label (area under the ROC curve 1.0000, out of fold, {ones} ones in 400 rows)"
    )


def test_small_table_of_unique_values_is_not_accused() -> None:
    frame = snapshot(60).assign(Balance=[f"{place * 7919 % 60}.5" for place in range(60)])
    proposal = of_snapshot(frame)
    assert proposal.warnings == []
    assert "Balance" in proposal.case.data.columns


def test_written_index_is_left_out_whatever_its_order() -> None:
    frame = snapshot()
    frame.insert(0, "Unnamed: 0", np.argsort(np.argsort(frame["Left"].astype(int) * 1000 + np.arange(400))).astype(str))
    proposal = of_snapshot(frame)
    assert "Unnamed_0" not in proposal.case.data.columns
    assert note(proposal, "Unnamed_0").startswith("Unnamed_0: counts the rows, left out")


def test_parts_of_a_date_without_a_time_are_told() -> None:
    frame = events().assign(year="2025", month=[["Jan", "Feb"][place % 2] for place in range(400)])
    (warning,) = of_events(frame.drop(columns="at"), entities=[], timestamp=None).warnings
    assert warning.startswith("year, month: parts of a date, but no time column. If rows are events, a random split")
    assert of_events(frame).warnings == []


def test_time_that_nobody_named_is_told() -> None:
    (warning,) = of_events(events(), entities=[], timestamp=None).warnings
    assert warning.startswith("at: times, but no --timestamp. If rows are events, name their time")


def test_table_without_an_entity_is_used_row_by_row() -> None:
    proposal = of_snapshot(snapshot().drop(columns=["ClientId", "RowNumber"]), entities=[])
    case = proposal.case
    assert (case.entities, case.views, case.data.key) == ({}, {}, ())
    assert case.features.request == ("Region", "Age", "Income")
    assert "each row stands for itself, and a request carries Region, Age, Income" in note(proposal, "No --entity")


def test_events_without_an_entity_have_no_windows() -> None:
    case = of_events(events(), entities=[]).case
    assert (case.entities, case.views, case.features.calendar) == ({}, {}, OTHER_CALENDAR)
    assert "n0" in case.features.request
    assert case.features.derived == ()


def test_padded_numbers_and_blanks_stay_numbers_with_missing_values() -> None:
    frame = snapshot().assign(Income=lambda f: f["Income"].str[:8].str.rjust(12))
    frame.loc[:9, "Income"] = " " * 12
    case = of_snapshot(frame).case
    assert (case.data.columns["Income"].type, case.data.columns["Income"].nullable) == ("number", True)


def test_notations_are_declared_and_told() -> None:
    german = [f"{place % 9 + 1}.{place % 1000:03d},{place % 100:02d}" for place in range(400)]
    frame = snapshot().assign(Income=german, Age=lambda f: f["Age"].where(f.index > 5, "?"), Rate="3.5%")
    frame.loc[:99, "Rate"] = "41.0%"
    proposal = of_snapshot(frame)
    columns = proposal.case.data.columns
    assert (columns["Income"].decimal, columns["Income"].thousands) == (",", ".")
    assert (columns["Age"].nulls, columns["Age"].nullable) == (("?",), True)
    assert (columns["Rate"].percent, columns["Rate"].type) == (True, "number")
    assert note(proposal, "Income") == "Income: numbers such as '1.000,00' are read with decimal ',', thousands '.'."
    assert note(proposal, "Age") == "Age: '?' stands for a missing value (nulls)."
    assert "percent: stored as a fraction of 1" in note(proposal, "Rate")


def test_times_that_are_numbers_are_declared_with_their_unit() -> None:
    frame = events().assign(at=lambda f: pd.to_datetime(f["at"]).astype("int64") // 10**6)
    proposal = of_events(frame)
    assert proposal.case.data.columns["at"].unit == "ms"
    assert note(proposal, "at: times") == "at: times are numbers of ms since 1970 (unit)."


def test_entities_with_leading_zeros_stay_text_and_apart() -> None:
    frame = events().assign(USER_ID=[["0417", "417", "22"][place % 3] for place in range(400)])
    proposal = of_events(frame)
    assert proposal.case.data.columns["USER_ID"].type == "text"
    assert "no plain integer, such as '0417': kept as text" in note(proposal, "USER_ID")


@pytest.mark.parametrize(("rows", "days", "window", "least"), [
    (96 * 48, 96, 28, 650), (400, 100, 50, 100), (4_000, 10, 7, 1000), (3_000, 20, 14, 1000), (40, 100, 365, 100)
])  # fmt: skip
def test_drift_is_looked_for_in_a_window_that_the_tables_density_fills(
    rows: int, days: int, window: int, least: int
) -> None:
    proposal = of_events(events(rows, days))
    assert (proposal.case.drift.window.days, proposal.case.drift.min_rows) == (window, least)
    assert f"drift is looked for in {window}d" in note(proposal, "The table has")


def test_share_of_bad_rows_that_this_table_needs_is_declared_and_told() -> None:
    frame = snapshot()
    frame.loc[:39, "ClientId"] = None
    proposal = of_snapshot(frame)
    assert proposal.case.data.max_bad_share == 0.1
    assert note(proposal, "40 of 400 rows") == (
        "40 of 400 rows can't be used (10.0%): ClientId is empty or does not fit in 40; they are quarantined, and "
        "max_bad_share is 0.10 so that training goes on."
    )
    assert of_snapshot(snapshot(), unread_rows=100).case.data.max_bad_share == 0.2
    assert of_snapshot(snapshot(), unread_rows=10).case.data.max_bad_share == 0.05


def test_table_of_which_most_rows_are_bad_is_refused_with_the_count() -> None:
    frame = snapshot()
    frame.loc[:249, "ClientId"] = None
    with pytest.raises(
        DataError, match=r"250 of 400 rows can't be used \(62\.5%\): ClientId is empty .* in 250; a table"
    ):
        of_snapshot(frame)


@pytest.mark.parametrize(
    ("words", "positive", "label"),
    [
        (("Yes", "No"), "Yes", {"positive": "Yes", "negative": ("No",)}),
        (("Yes", "No"), "yes", {"positive": "Yes", "negative": ("No",)}),
        (("fraud", "legit"), "fraud", {"positive": "fraud", "negative": ("legit",)}),
        (("2", "1"), "2", {"positive": "2", "negative": ("1",)}),
    ],
)
def test_label_in_words_is_mapped_by_declaration(words: tuple[str, str], positive: str, label: Any) -> None:
    frame = snapshot()
    ones = (frame["Left"] == "1").to_numpy()
    proposal = of_snapshot(frame.assign(Left=np.where(ones, *words)), positive=positive)
    case = proposal.case
    assert case.label.model_dump(include={"positive", "negative"}) == label
    assert case.data.columns["Left"].type == "integer"
    assert f"{ones.sum()} of 400 labels are 1" in note(proposal, f"{ones.sum()} of 400")


def test_outcome_that_the_label_does_not_hold_is_refused() -> None:
    with pytest.raises(DataError, match=r"the label Left can't have 'Yes' as its positive outcome; it holds 0 \("):
        of_snapshot(snapshot(), positive="Yes")


def test_events_get_request_columns_calendar_and_windows() -> None:
    proposal = of_events(events())
    features = proposal.case.features
    assert features.request == ("n0", "n1", "n2", "n3", "n4", "kind", "hour")
    assert features.calendar == OTHER_CALENDAR
    assert list(features.windows) == ["orders_user_activity", "orders_shop_activity"]
    names = [feature.name for feature in features.windows["orders_user_activity"].features]
    assert names[:4] == ["user_count_1d", "user_count_7d", "user_count_30d", "user_n0_mean_1d"]
    assert names[-2:] == ["user_since_last_30d", "user_shop_matches_30d"]
    assert len(names) == 3 + 3 * 3 + 2
    assert "1 is the first time" in note(proposal, "How often a user met the same shop in 30d")
    assert "computed from the events up to its time, its own too" in note(proposal, "A request carries USER_ID, shop")
    assert (
        note(proposal, "No window features of") == "No window features of n3, n4, hour: the first 3 numbers are taken."
    )
    assert "label.delay" in note(proposal, "Labels count as known at once")


def test_numbers_are_also_told_beside_the_entitys_own_mean() -> None:
    derived = of_events(events()).case.features.derived
    assert [feature.name for feature in derived if "_to_user_" in feature.name] == [
        "n0_to_user_mean", "n1_to_user_mean", "n2_to_user_mean"
    ]  # fmt: skip
    assert derived[0].ratio == ("n0", "user_n0_mean_30d")
    assert len(derived) == 2 * 3


def with_time(days_before: Any) -> pd.DataFrame:
    frame = events()
    return frame.assign(signed_up=(pd.to_datetime(frame["at"]) - pd.to_timedelta(days_before, unit="D")).astype(str))


def test_second_time_column_gives_the_days_between() -> None:
    proposal = of_events(with_time(np.random.default_rng(1).random(400) * 100))
    (elapsed,) = [feature for feature in proposal.case.features.derived if feature.elapsed]
    assert (elapsed.name, elapsed.elapsed) == ("days_since_signed_up", ("signed_up", "at"))
    assert "signed_up" in proposal.case.request_columns
    assert "signed_up" not in proposal.case.features.request
    assert note(proposal, "signed_up: never") == "signed_up: never later than at; the model gets the days between."


def test_time_that_is_later_than_its_event_is_left_out() -> None:
    proposal = of_events(with_time(np.where(np.arange(400) < 3, -1, 5)))
    assert not [feature for feature in proposal.case.features.derived if feature.elapsed]
    assert "signed_up" not in proposal.case.data.columns
    assert "later than at in 3 rows, where nobody knew it yet, left out" in note(proposal, "signed_up: ")


def test_time_whose_distance_tells_the_label_is_a_warning() -> None:
    rows = np.arange(400)
    proposal = of_events(with_time(np.where(rows % 10 == 0, 1, 50)).assign(bad=(rows % 10 == 0).astype(int)))
    assert "signed_up" not in proposal.case.data.columns
    assert [text for text in proposal.warnings if text.startswith("signed_up alone tells the label")]


def test_names_of_features_are_never_those_of_columns() -> None:
    frame = events().rename(columns={"n3": "n0_to_user_mean", "n4": "USER_since_last_30d"})
    case = of_events(frame).case
    assert "n0_to_user_mean_2" in case.feature_names
    assert "user_since_last_30d_2" in case.feature_names


def test_key_of_events_is_a_column_of_its_own_else_time_and_entities_else_nothing() -> None:
    frame = events()
    assert of_events(frame).case.data.key == ("order_id",)
    assert of_events(frame.drop(columns="order_id")).case.data.key == ("at", "USER_ID", "shop")
    twice = pd.concat([frame, frame]).drop(columns="order_id")
    assert of_events(twice).case.data.key == ()


@pytest.mark.parametrize("name", ["__index_level_0__", "Unnamed: 0", "row_id"])
def test_index_of_a_table_is_no_key_of_its_events(name: str) -> None:
    frame = events().drop(columns="order_id")
    frame.insert(0, name, np.arange(len(frame)))
    proposal = of_events(frame)
    assert proposal.case.data.key == ("at", "USER_ID", "shop")
    assert any("counts the rows, left out" in text for text in proposal.notes)


def test_periods_are_left_to_each_training_and_those_of_this_table_are_told() -> None:
    proposal = of_events(events(rows=40_000, days=100))
    training = proposal.case.training
    assert (training.test, training.validation, training.folds) == ("auto", "auto", 3)
    assert note(proposal, "training.test") == (
        "training.test is 13d: the days up to 2026-04-11 with 101 positives (100 or more wanted, in 7 days or more)."
    )
    assert note(proposal, "training.validation").startswith("training.validation is 12d: ")


def test_rows_without_a_time_or_a_label_do_not_count_for_the_periods() -> None:
    frame = events(rows=40_000, days=100)
    frame.loc[frame.index[-5:], "bad"] = None
    frame.loc[:4, "at"] = None
    assert note(of_events(frame), "The rows span 99 days")


@pytest.mark.parametrize(("rows", "days", "folds"), [(3000, 100, 3), (3000, 13, 1), (3000, 4, 1), (400, 100, 1)])
def test_short_table_and_one_of_few_positives_have_one_validation_period_and_no_stack(
    rows: int, days: int, folds: int
) -> None:
    proposal = of_events(events(rows, days))
    assert proposal.case.training.folds == folds
    assert ("stacking" in proposal.case.training.estimators) == (folds > 1)
    assert any("one validation period instead of several" in text for text in proposal.notes) == (folds == 1)


def test_all_estimators_compete_with_their_defaults_as_a_start() -> None:
    training = of_snapshot(snapshot()).case.training
    assert list(training.estimators) == ["logistic_regression", "random_forest", "xgboost", "lightgbm", "stacking"]
    assert set(map(bool, training.estimators.values())) == {False}


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
    assert note(of_snapshot(frame), "Age") == (
        "Age: 1 values are not a whole number (64 bits); such rows are quarantined."
    )


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


def test_names_that_serin_and_its_features_use_are_renamed_or_left_alone() -> None:
    frame = events().rename(columns={"n0": "serin_split", "order_id": "shop_count_1d"})
    proposal = of_events(frame.assign(shop_count_1d=lambda f: f["shop_count_1d"].str.replace("o", "")))
    assert proposal.case.data.rename == {"serin_split": "column_serin_split"}
    assert "shop_count_1d_2" in proposal.case.feature_names


@pytest.mark.parametrize("truth", [(True, False), ("true", "false"), (1.0, 0.0)])
def test_labels_that_mean_0_and_1_are_fine(truth: tuple[Any, Any]) -> None:
    frame = snapshot()
    frame["Left"] = [truth[0] if left == "1" else truth[1] for left in frame["Left"]]
    assert of_snapshot(frame).case.data.columns["Left"].type == "integer"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            ["Yes", "No", "No"],
            r"it holds No \(267\), Yes \(133\): name the outcome to predict, such as --positive 'Yes'",
        ),
        ([None], "it holds nothing: one class alone"),
        (["0"], r"it holds 0 \(400\): one class alone teaches nothing"),
        (["a", "b", "c"], r"it holds .*: name the outcome to predict, such as --positive '.'; the others count as 0"),
        ([str(i) for i in range(30)], r"and 25 more: a label has two values"),
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
        ({"entities": ["Share"]}, "entity Share holds number values; allowed: integer, text"),
        ({"entities": ["ClientId", "RowNumber"]}, "2 entities named; a table without --timestamp has at most one"),
        ({"entities": ["Empty"]}, "entity Empty has no value in any row"),
        (
            {"timestamp": "Surname"},
            "timestamp Surname holds text values such as .'name 0'.; allowed: ISO 8601 .* 1970 to 2199",
        ),
    ],
)
def test_columns_that_can_not_be_what_they_are_named_for_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        of_snapshot(snapshot().assign(Empty=None, Share=np.arange(400) / 7), **changes)


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


def declared() -> pd.DataFrame:
    rates = [f"{place % 50},5 %" for place in range(400)]
    return snapshot().assign(
        Rate=rates, Age=lambda f: f["Age"].where(f.index > 5, "?"), Left=["Yes", "No", "No", "No"] * 100
    )


@pytest.mark.parametrize(
    "proposal",
    [
        of_snapshot(snapshot()),
        of_snapshot(snapshot(), entities=[]),
        of_snapshot(declared(), positive="Yes"),
        of_snapshot(snapshot(), unread_rows=100),
        of_events(events()),
        of_events(events().assign(at=lambda f: pd.to_datetime(f["at"]).astype("int64") // 10**9)),
    ],
    ids=["snapshot", "rows", "declared", "bad rows", "events", "epochs"],
)
def test_yaml_reads_back_as_the_same_use_case(proposal: Proposal) -> None:
    assert parse(yaml.safe_load(render_yaml(proposal.case)), "it") == proposal.case


def test_yaml_carries_what_is_declared_of_the_table_as_a_whole() -> None:
    case = of_snapshot(snapshot()).case
    data = case.data.model_copy(update={"nulls": ("-", "\\N"), "decimal": ",", "thousands": "."})
    case = case.model_copy(update={"data": data})
    assert parse(yaml.safe_load(render_yaml(case)), "it") == case


def test_yaml_quotes_what_yaml_would_take_for_something_else() -> None:
    case = of_snapshot(snapshot().rename(columns={"Age": "no", "Income": "null"})).case
    assert parse(yaml.safe_load(render_yaml(case)), "it") == case


def test_definitions_are_python_that_names_every_feature() -> None:
    case = of_events(events()).case
    text = render_definitions(case)
    strings = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    assert {"USER_ID", "shop", "orders_user", "orders_shop", "orders_v1", *case.views} <= strings
    assert {f.name for view in case.features.windows.values() for f in view.features} <= strings
    assert "Seconds since the event before in the 30d up to the event." in strings
    assert "With a\n    # refresh a day, one may fail.\n    ttl=timedelta(days=2)," in text


def test_yaml_says_how_events_come_and_whose_own_they_are() -> None:
    case = of_events(events()).case
    views = case.features.windows | {
        "orders_shop_activity": case.features.windows["orders_shop_activity"].model_copy(
            update={"current": False, "hop": pd.Timedelta(hours=6).to_pytimedelta()}
        )
    }
    features = case.features.model_copy(
        update={"windows": views, "requests_are_events": True, "stale": "error", "engine": "spark"}
    )
    case = case.model_copy(update={"features": features})
    text = render_yaml(case)
    assert parse(yaml.safe_load(text), "it") == case
    assert "\n  requests_are_events: true\n" in text


def test_definitions_without_entities_are_python_that_needs_no_view() -> None:
    text = render_definitions(of_snapshot(snapshot(), entities=[]).case)
    imported = {
        alias.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == {"FeatureService"}
