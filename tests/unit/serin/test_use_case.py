"""The use case model: what it accepts, and how it says what it does not."""

import copy
from pathlib import Path

import pytest
import yaml

from serin import use_case
from serin.errors import UseCaseError
from serin.schema import CALENDAR
from serin.workspace import Workspace

SHIPPED = Workspace.from_variables({}).use_cases


@pytest.fixture
def document():
    return copy.deepcopy(yaml.safe_load((SHIPPED / "card_fraud.yaml").read_text()))


def problem(document) -> str:
    with pytest.raises(UseCaseError) as error:
        use_case.parse(document, "here")
    return str(error.value)


@pytest.mark.parametrize("name", ["card_fraud", "bank_churn"])
def test_shipped_use_case_survives_the_trip_through_a_pipeline_parameter(name):
    case = use_case.load(name, SHIPPED)
    assert use_case.loads(use_case.dumps(case)) == case


def test_unknown_key_is_named(document):
    document["gates"]["maximum"] = 1
    assert "gates.maximum: unknown key" in problem(document)


def test_every_problem_is_told_at_once(document):
    document["gates"]["maximum"] = 1
    document["slo"]["error_rate"] = 2
    text = problem(document)
    assert "gates.maximum" in text
    assert "slo.error_rate: Input should be less than or equal to 1 (found 2)" in text


def test_duration_without_unit_names_key_and_form(document):
    document["label"]["delay"] = "7"
    assert "label.delay: '7' is no duration; write a whole number and a unit" in problem(document)


def test_column_that_is_not_declared_is_named_with_those_that_are(document):
    document["entities"]["customer"] = "CUSTOMER"
    assert "entities: 'CUSTOMER' is no column; data.columns has TRANSACTION_ID, TX_DATETIME" in problem(document)


def test_feature_that_sees_the_label_too_early_is_a_contradiction(document):
    document["label"]["delay"] = "9d"
    assert "terminal_fraud_rate_7d: sees the label 7d after the event, but it is known only after 9d" in problem(
        document
    )


def with_feature(document, **feature) -> None:
    document["features"]["windows"]["customer_activity"]["features"].append({"name": "more", "window": "1d", **feature})


def test_feature_of_the_label_of_the_event_itself_is_a_contradiction(document):
    document["label"]["delay"] = "0s"
    with_feature(document, aggregation="mean", column="TX_FRAUD")
    told = "more: sees the label of the event that is predicted; give it a delay, or the view `current: false`"
    assert told in problem(document)
    document["features"]["windows"]["customer_activity"]["current"] = False
    use_case.parse(document, "here")


def test_nothing_matches_a_label(document):
    with_feature(document, aggregation="matches", column="TX_FRAUD", delay="7d")
    assert "more: no request knows its label, so nothing can match it" in problem(document)


@pytest.mark.parametrize(
    ("aggregation", "type_"),
    [("sum", "text"), ("max", "timestamp"), ("distinct", "timestamp"), ("matches", "timestamp")],
)
def test_aggregation_of_a_column_that_it_can_not_take_is_refused(document, aggregation, type_):
    document["data"]["columns"]["odd"] = {"type": type_}
    with_feature(document, aggregation=aggregation, column="odd")
    assert f"more: can't take the {aggregation} of odd, a {type_} column" in problem(document)


def with_derived(document, **rule) -> None:
    document["data"]["columns"] |= {"SIGNED_UP": {"type": "timestamp"}, "CHANNEL": {"type": "text"}}
    document["features"]["derived"] = [{"name": "more", **rule}]


@pytest.mark.parametrize(
    "rule",
    [
        {"ratio": ["TX_AMOUNT", "customer_amount_mean_7d"]},
        {"ratio": ["customer_count_1d", "terminal_count_7d"]},
        {"elapsed": ["SIGNED_UP", "TX_DATETIME"]},
    ],
)
def test_derived_feature_is_the_last_input_of_the_model(document, rule):
    with_derived(document, **rule)
    assert use_case.parse(document, "here").feature_names[-1] == "more"


def test_elapsed_time_is_counted_from_what_the_request_carries(document):
    with_derived(document, elapsed=["SIGNED_UP", "TX_DATETIME"])
    assert use_case.parse(document, "here").request_columns == ("TX_AMOUNT", "SIGNED_UP")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"ratio": ["TX_AMOUNT", "CHANNEL"]}, ".ratio: 'CHANNEL' is no number; allowed: TX_AMOUNT, customer_count_1d"),
        ({"ratio": ["hour", "TX_AMOUNT"]}, ".ratio: 'hour' is no number"),
        ({"ratio": ["CUSTOMER_ID", "TX_AMOUNT"]}, ".ratio: 'CUSTOMER_ID' is no number"),
        ({"ratio": ["TX_FRAUD", "TX_AMOUNT"]}, ".ratio: 'TX_FRAUD' is no number"),
        ({"ratio": ["TX_AMOUNT", "TX_AMOUNT"]}, ".ratio: TX_AMOUNT stands on both sides"),
        ({"elapsed": ["TX_AMOUNT", "TX_DATETIME"]}, ".elapsed: 'TX_AMOUNT' is no time column; allowed: TX_DATETIME"),
        ({"elapsed": ["SIGNED_UP", "SIGNED_UP"]}, ".elapsed: SIGNED_UP stands on both sides"),
        ({}, ": has one rule, `ratio` or `elapsed`"),
        ({"ratio": ["TX_AMOUNT", "hour"], "elapsed": ["SIGNED_UP", "TX_DATETIME"]}, ": has one rule"),
    ],
)
def test_derived_feature_of_what_it_can_not_be_made_of_is_refused(document, rule, told):
    with_derived(document, **rule)
    assert told in problem(document)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a share", "features.derived.a share: a feature's name is letters, digits and underscores"),
        ("CHANNEL", "features.derived.CHANNEL: the table has a column of this name; allowed: any other name"),
        ("customer_count_1d", "features: customer_count_1d named more than once"),
        ("score", "score: the prediction log has columns of these names"),
    ],
)
def test_name_of_a_derived_feature_that_is_taken_is_refused(document, name, told):
    with_derived(document, ratio=["TX_AMOUNT", "customer_amount_mean_7d"], name=name)
    assert told in problem(document)


def test_requests_that_are_events_need_a_key(document):
    document["features"]["requests_are_events"] = True
    document["data"]["key"] = []
    told = "features.requests_are_events: an event is known by its key, but data.key names no column"
    assert told in problem(document)


def test_requests_that_are_events_and_spark_need_windows(document):
    document["features"] |= {"requests_are_events": True, "engine": "spark", "windows": {}}
    text = problem(document)
    assert "features.requests_are_events: there is no window that an event could move; leave it out" in text
    assert "features.engine: spark computes windows, and there are none; leave it out" in text


def test_request_that_is_an_event_carries_what_later_windows_take_but_no_label(document):
    document["features"]["requests_are_events"] = False
    document["data"]["columns"]["TIP"] = {"type": "number"}
    with_feature(document, aggregation="mean", column="TIP", delay="1d")
    assert use_case.parse(document, "here").request_columns == ("TX_AMOUNT",)
    document["features"]["requests_are_events"] = True
    assert use_case.parse(document, "here").request_columns == ("TX_AMOUNT", "TIP")


def test_every_calendar_feature_can_be_asked_for(document):
    document["features"]["calendar"] = list(CALENDAR)
    assert use_case.parse(document, "here").features.calendar == tuple(CALENDAR)
    document["features"]["calendar"] = ["month"]
    assert "features.calendar.0: Input should be 'hour', 'weekday', 'night' or 'weekend'" in problem(document)


def test_window_features_without_event_times_are_a_contradiction(document):
    del document["timestamp"]
    assert "features.windows: needs event times, but `timestamp` names no column" in problem(document)


def test_label_as_a_feature_is_refused(document):
    document["features"]["request"].append("TX_FRAUD")
    assert "the label TX_FRAUD can't be a feature" in problem(document)


def test_refresh_of_a_view_is_told_to_be_of_no_use_any_more(document):
    document["features"]["windows"]["customer_activity"]["refresh"] = "1d"
    text = problem(document)
    assert "features.windows.customer_activity.refresh: unknown key: windows are exact at each event's own time" in text
    assert "leave it out" in text


@pytest.mark.parametrize(("window", "delay"), [("12h", "0s"), ("7d", "36h")])
def test_window_that_does_not_fit_its_hop_is_refused(document, window, delay):
    view = document["features"]["windows"]["customer_activity"]
    view["hop"] = "1d"
    view["features"][0] |= {"window": window, "delay": delay}
    told = f"window {window} must be no shorter than hop 1d, and delay {delay} a multiple of it"
    assert told in problem(document)


def test_window_need_be_no_multiple_of_its_hop(document):
    document["features"]["windows"]["customer_activity"]["hop"] = "1d"
    document["features"]["windows"]["customer_activity"]["features"][0]["window"] = "36h"
    use_case.parse(document, "here")


def test_count_of_a_column_and_mean_of_none_are_refused(document):
    features = document["features"]["windows"]["customer_activity"]["features"]
    features[0]["column"] = "TX_AMOUNT"
    del features[3]["column"]
    assert problem(document).count("`count` and `since_last` take no column, every other aggregation needs one") == 2


def test_rollout_weights_that_do_not_rise_are_refused(document):
    document["rollout"]["steps"] = [{"weight": 50, "pause": "1s"}, {"weight": 25, "pause": "1s"}]
    assert "weights must rise from step to step, found [50, 25]" in problem(document)


def test_use_case_is_frozen(document):
    case = use_case.parse(document, "here")
    with pytest.raises(ValueError, match="frozen"):
        case.name = "other"


def test_unknown_use_case_lists_the_known_ones():
    with pytest.raises(UseCaseError, match=r"no use case 'fraud'; known: .*bank_churn, card_fraud"):
        use_case.load("fraud", SHIPPED)


def test_broken_yaml_names_the_file(tmp_path: Path):
    (tmp_path / "x.yaml").write_text("name: [")
    with pytest.raises(UseCaseError, match=r"x\.yaml is no valid YAML"):
        use_case.load("x", tmp_path)


def test_file_in_another_encoding_is_named(tmp_path: Path):
    (tmp_path / "x.yaml").write_bytes("name: café".encode("latin-1"))
    with pytest.raises(UseCaseError, match=r"x\.yaml is no text in UTF-8: .* at byte 9"):
        use_case.load("x", tmp_path)


def test_file_with_another_name_is_refused(tmp_path: Path, document):
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(UseCaseError, match=r"name is 'card_fraud', but the file is called other\.yaml"):
        use_case.load("other", tmp_path)


def test_column_with_a_name_of_the_prediction_log_is_refused(document):
    document["data"]["columns"]["score"] = {"type": "number"}
    assert "score: the prediction log has columns of these names; use others (data.rename)" in problem(document)


def test_table_view_of_events_is_a_contradiction(document):
    document["features"]["tables"] = {"profile": {"entity": "customer", "columns": ["TERMINAL_ID"]}}
    text = problem(document)
    assert "features.tables: a table with event times (`timestamp`) holds no snapshot of its entities" in text
    assert "so data.key must be [CUSTOMER_ID], found TRANSACTION_ID" in text


@pytest.mark.parametrize(
    ("keys", "zero"),
    [
        (("training", "test"), "0d"),
        (("training", "validation"), "0d"),
        (("drift", "window"), "0d"),
        (("rollout", "interval"), "0s"),
        (("rollout", "steps", 0, "pause"), "0m"),
        (("features", "windows", "customer_activity", "hop"), "0s"),
        (("features", "windows", "customer_activity", "features", 0, "window"), "0h"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_duration_of_zero_that_means_nothing_is_refused_with_its_key(document, keys, zero):
    place = document
    for key in keys[:-1]:
        place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
    place[keys[-1]] = zero
    assert f"{'.'.join(map(str, keys))}: must be longer than zero, found 0s" in problem(document)


def test_label_that_is_known_at_once_is_allowed(document):
    document["label"]["delay"] = "0s"
    assert use_case.parse(document, "here").label.delay.total_seconds() == 0


def name_a_feature(document, name: str) -> None:
    document["features"]["windows"]["customer_activity"]["features"][0]["name"] = name


@pytest.mark.parametrize("name", ["serin_split", "serin_row", "serin_event_time", "Serin_Split"])
def test_feature_with_a_name_of_serins_own_is_refused(document, name):
    name_a_feature(document, name)
    assert f"{name}: names that start with serin_ are Serin's own; use another" in problem(document)


def test_column_with_a_name_of_serins_own_is_refused(document):
    document["data"]["columns"]["serin_split"] = {"type": "number"}
    assert "serin_split: names that start with serin_ are Serin's own; use another (data.rename)" in problem(document)


def test_feature_with_the_name_of_the_refresh_time_is_refused(document):
    name_a_feature(document, "event_timestamp")
    assert "event_timestamp: the prediction log has columns of these names" in problem(document)


@pytest.mark.parametrize("column", ["CUSTOMER_ID", "TX_DATETIME", "TX_FRAUD", "TRANSACTION_ID", "TX_AMOUNT"])
def test_window_feature_with_the_name_of_a_column_is_refused(document, column):
    name_a_feature(document, column)
    where = f"features.windows.customer_activity.{column}"
    assert f"{where}: the table has a column of this name; allowed: any other name" in problem(document)


def test_key_of_an_entity_is_no_feature(document):
    document["features"]["request"].append("TERMINAL_ID")
    assert "features: TERMINAL_ID is the key of entity terminal; allowed: any column that is no" in problem(document)


def test_calendar_feature_beside_a_column_of_its_name_is_refused(document):
    document["data"]["columns"]["hour"] = {"type": "text"}
    assert "features.calendar: the table has a column hour too; give that another name" in problem(document)


def test_view_under_windows_and_tables_is_refused(document):
    document["features"]["tables"] = {"customer_activity": {"entity": "customer", "columns": ["TX_AMOUNT"]}}
    assert "features: view customer_activity stands under windows and under tables" in problem(document)


def test_misspelt_parameter_of_an_estimator_is_refused(document):
    document["training"]["estimators"]["xgboost"] = {"max_dept": 3}
    assert "training.estimators.xgboost.max_dept: unknown parameter; allowed: " in problem(document)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ({"type": "text", "decimal": ","}, "decimal, thousands and percent are of numbers, not of a text column"),
        ({"type": "integer", "percent": True}, "percent makes fractions: the type is number"),
        ({"type": "number", "unit": "s"}, "unit is of a timestamp column, not of a number column"),
        ({"type": "number", "decimal": ",", "thousands": ","}, "can't mark both the decimals and the thousands"),
        ({"type": "text", "nulls": [False]}, "YAML reads this word as False; put it in quotes"),
        ({"type": "number", "thousands": "_"}, "Input should be '', ',', '.', ' ' or"),
    ],
)
def test_notation_that_does_not_fit_its_column_is_refused(document, column, text):
    document["data"]["columns"]["odd"] = column
    assert text in problem(document)


def test_words_that_yaml_reads_as_something_else_stay_words(document):
    document["data"] |= yaml.safe_load("nulls: [-999, null, ~, '?']")
    document["label"] |= yaml.safe_load("{positive: Yes, negative: [No]}")
    case = use_case.parse(document, "here")
    assert case.data.nulls == ("-999", "null", "null", "?")
    assert (case.label.positive, case.label.negative) == ("Yes", ("No",))


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ({"negative": ["No"]}, "label.negative: means something beside label.positive only"),
        ({"positive": "Yes", "negative": ["yes"]}, "label.negative: 'Yes' is label.positive"),
    ],
)
def test_label_in_words_that_contradicts_itself_is_refused(document, label, text):
    document["label"] |= label
    assert text in problem(document)


def test_label_in_words_is_of_an_integer_column(document):
    document["label"]["positive"] = "Yes"
    document["data"]["columns"]["TX_FRAUD"] = {"type": "text"}
    assert "label.positive: makes a label of 0 and 1, so TX_FRAUD has type integer, not text" in problem(document)


def test_schedules_are_named_with_what_is_wrong_and_what_is_allowed(document):
    document["schedules"] = {
        "training": {"cron": "0 3 * *"},
        "drift": {"every": "1d"},
        "rollout": {"cron": "*/15 * * * *", "data": "s3://bucket/t"},
        "retraining": {"cron": "0 3 * * 1"},
    }
    text = problem(document)
    assert "schedules.training.cron: '0 3 * *' is no schedule; write five fields" in text
    assert "schedules.drift.every: unknown key" in text
    assert "schedules.rollout.data: unknown key" in text
    assert "schedules.retraining: unknown key" in text


def test_schedule_of_materialisation_without_a_feature_view_is_a_contradiction(document):
    document["features"] |= {"windows": {}, "derived": [], "requests_are_events": False}
    assert "schedules.materialisation: there is no feature view to materialise" in problem(document)
    document["schedules"].pop("materialisation")
    use_case.parse(document, "here")


def test_use_case_without_schedules_runs_nothing_by_itself(document):
    del document["schedules"]
    schedules = use_case.parse(document, "here").schedules
    assert set(schedules.model_dump().values()) == {None}


@pytest.mark.parametrize(
    ("pool", "told"),
    [
        ({"kind": "tpu"}, "training.pool.kind: Input should be 'cpu' or 'gpu'"),
        ({"spots": True}, "training.pool.spots: unknown key"),
        ({"cpu": 0}, "training.pool.cpu: Input should be greater than or equal to 1"),
        ({"memory": "4 GB"}, "training.pool.memory: String should match pattern"),
    ],
)
def test_a_pool_that_is_none_is_named_by_its_key(document, pool, told):
    document["training"]["pool"] = pool
    assert told in problem(document)


def test_any_node_will_do_unless_the_pool_says_otherwise(document):
    assert use_case.parse(document, "here").training.pool.name == ""
    document["training"]["pool"] = {"spot": True}
    assert use_case.parse(document, "here").training.pool.name == "cpu-spot"


@pytest.fixture
def snapshot():
    return {
        "name": "toy",
        "data": {"columns": {"id": {"type": "integer"}, "x": {"type": "number"}, "y": {"type": "integer"}}},
        "label": {"column": "y"},
        "entities": {"thing": "id"},
        "features": {"service": "toy_v1", "request": ["x"]},
        "training": {"estimators": {"xgboost": {}}},
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [("test", "7d"), ("validation", "7d"), ("history", "30d"), ("threshold", {"alerts_a_day": 5})],
)
def test_periods_without_event_times_are_a_contradiction(snapshot, key, value):
    snapshot["training"][key] = value
    assert f"training.{key}" in problem(snapshot)
    assert "needs event times, but `timestamp` names no column" in problem(snapshot)


def test_group_is_a_column_that_is_not_the_label(snapshot):
    snapshot["training"]["group"] = "family"
    assert "training.group: 'family' is no column; data.columns has id, x, y" in problem(snapshot)
    snapshot["training"]["group"] = "y"
    assert "training.group: y is the label, which can't say what belongs together" in problem(snapshot)


def test_group_of_rows_with_event_times_is_a_contradiction(document):
    document["training"]["group"] = "TERMINAL_ID"
    assert "training.group: rows with event times (`timestamp`) are split by time; leave it out" in problem(document)


def test_pool_of_an_estimator_that_is_not_listed_is_refused(snapshot):
    snapshot["training"]["pools"] = {"lightgbm": {"kind": "gpu"}}
    assert "training.pools.lightgbm: is not listed; training.estimators has xgboost" in problem(snapshot)


def test_pool_that_would_stand_idle_is_refused(snapshot):
    snapshot["training"]["estimators"] = {"stacking": {}, "xgboost": {}, "random_forest": {}}
    snapshot["training"]["pools"] = {name: {"kind": "gpu"} for name in ("stacking", "xgboost", "random_forest")}
    text = problem(snapshot)
    assert "training.pools.stacking: it combines the others' scores in seconds, on any node; leave it out" in text
    assert "training.pools.random_forest.kind: random_forest has no use for a GPU, found gpu; allowed: cpu" in text
    assert "training.pools.xgboost" not in text


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_seed_that_a_library_would_refuse_in_the_middle_is_refused_at_once(snapshot, seed):
    snapshot["training"]["seed"] = seed
    assert "training.seed" in problem(snapshot)


def test_slices_are_of_features(snapshot):
    snapshot["gates"] = {"slices": {"columns": ["x", "id"]}}
    assert "gates.slices.columns: 'id' is no feature; features are x" in problem(snapshot)


@pytest.mark.parametrize(("others", "found"), [({}, "none"), ({"xgboost": {}}, "xgboost")])
def test_stack_of_fewer_than_two_is_refused(snapshot, others, found):
    snapshot["training"]["estimators"] = {"stacking": {}, **others}
    text = problem(snapshot)
    assert f"training.estimators.stacking: combines at least two others, found {found}; allowed: lightgbm" in text


def test_stack_of_a_single_fold_is_refused(snapshot):
    snapshot["training"] |= {"estimators": {"stacking": {}, "xgboost": {}, "lightgbm": {}}, "folds": 1}
    assert "training.estimators.stacking: is fitted on some validation folds" in problem(snapshot)
    assert "training.folds is 2 or more, found 1" in problem(snapshot)


def test_threshold_has_one_rule(snapshot):
    snapshot["training"]["threshold"] = {"precision": 0.9, "cost": {"false_negative": 20}}
    assert "training.threshold: a threshold has one rule; found cost, precision" in problem(snapshot)
    snapshot["training"]["threshold"] = {"precision": 0.9, "cost": None}
    case = use_case.parse(snapshot, "here")
    assert use_case.loads(use_case.dumps(case)) == case
    assert case.training.threshold.precision == 0.9


def test_period_that_is_neither_a_length_nor_auto_is_named_with_both_forms(document):
    document["training"]["test"] = "a week"
    expected = "training.test: 'a week' is no duration; write a whole number and a unit: 30s, 15m, 6h, 7d, 2w; or auto"
    assert expected in problem(document)
