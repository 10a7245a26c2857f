"""The training set: which events are in it, in which part, with which features."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest

from components.features.training_set import EventFeatures, ViewTable, point_in_time_join, training_set
from serin.errors import DataError
from serin.learning.split import EVENT_TIME, FOLD, SPLIT
from tests.factories import make_case

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def case(**training):
    return make_case(
        {"at": "timestamp", "card": "integer", "amount": "number", "fraud": "integer"},
        timestamp="at",
        label={"column": "fraud", "delay": "7d"},
        entities={"card": "card"},
        features={"service": "toy_v1", "request": ["amount"], "calendar": ["hour"]},
        training={"estimators": {"xgboost": {}}, "test": "7d", "validation": "7d", "folds": 2} | training,
    )


def hourly_events(start: datetime, end: datetime) -> pa.Table:
    times = pd.date_range(start, end, freq="h", inclusive="left")
    count = range(len(times))
    return pa.table(
        {
            "at": pa.array(times.to_pydatetime(), pa.timestamp("us", tz="UTC")),
            "card": [i % 3 for i in count],
            "amount": [float(i) for i in count],
            "fraud": [i % 2 for i in count],
        }
    )


@pytest.fixture(scope="module")
def whole():
    return training_set(hourly_events(AS_OF - 60 * DAY, AS_OF), [], case(), AS_OF)


def span(frame, part, column=SPLIT):
    times = frame.loc[frame[column] == part, EVENT_TIME]
    return times.min().to_pydatetime(), times.max().to_pydatetime()


def test_no_event_whose_label_is_not_known_yet_is_in_it(whole):
    assert whole[EVENT_TIME].max() < AS_OF - 7 * DAY + timedelta(seconds=1)


def test_test_part_is_the_last_week_with_known_labels(whole):
    assert span(whole, "test") == (AS_OF - 14 * DAY, AS_OF - 7 * DAY - timedelta(hours=1))


def test_gap_of_the_label_delay_lies_before_the_test_part(whole):
    assert span(whole, "known")[1] == AS_OF - 21 * DAY - timedelta(hours=1)


def test_folds_are_the_periods_before_the_gap(whole):
    assert span(whole, 2, FOLD) == (AS_OF - 28 * DAY, AS_OF - 21 * DAY - timedelta(hours=1))
    assert span(whole, 1, FOLD) == (AS_OF - 35 * DAY, AS_OF - 28 * DAY - timedelta(hours=1))


def test_label_known_at_once_leaves_no_gap():
    parsed = case()
    at_once = parsed.model_copy(update={"label": parsed.label.model_copy(update={"delay": timedelta(0)})})
    frame = training_set(hourly_events(AS_OF - 60 * DAY, AS_OF), [], at_once, AS_OF)
    assert set(frame[SPLIT]) == {"known", "test"}
    assert len(frame) == 60 * 24


def test_rows_positives_and_days_of_each_part_are_told(capsys):
    training_set(hourly_events(AS_OF - 60 * DAY, AS_OF), [], case(history="10d"), AS_OF)
    said = capsys.readouterr().out
    assert "serin: the test part has 168 rows, 84 of them positive, over 7.0 days from 2026-02-15\n" in said
    assert "serin: what the model is fitted on has 240 rows, 120 of them positive, over 10.0 days" in said
    assert "serin: validation fold 2 has 168 rows, 84 of them positive, over 7.0 days from 2026-02-01\n" in said
    assert "serin: 169 rows are in no part: their labels came during the test" in said


def test_periods_that_were_chosen_are_told(capsys):
    training_set(hourly_events(AS_OF - 60 * DAY, AS_OF), [], case(test="auto"), AS_OF)
    said = capsys.readouterr().out
    assert "serin: training.test is 9d: the days up to 2026-02-22 with 108 positives (100 or more wanted" in said
    assert "training.validation is" not in said


def test_calendar_feature_is_that_of_the_event(whole):
    assert (whole["hour"] == whole[EVENT_TIME].dt.hour).all()


def windowed(**features):
    view = {"entity": "card", "features": [{"name": "n", "aggregation": "count", "window": "1d"}]}
    return make_case(
        {"at": "timestamp", "card": "integer", "amount": "number", "since": "timestamp", "fraud": "integer"},
        timestamp="at",
        label={"column": "fraud", "delay": "7d"},
        entities={"card": "card"},
        features={"service": "toy_v1", "windows": {"v": view}, **features},
        training={"estimators": {"xgboost": {}}, "test": "7d", "validation": "7d", "folds": 2},
    )


def test_labelled_event_has_the_window_features_of_its_own_row():
    events = hourly_events(AS_OF - 60 * DAY, AS_OF)
    hidden = pa.array([None if place % 5 == 0 else place % 2 for place in range(len(events))])
    events = events.set_column(3, "fraud", hidden)
    own = EventFeatures("v", pa.table({"n": events["amount"]}))
    frame = training_set(events, [own], windowed(request=["amount"]), AS_OF)
    assert len(frame) > 500
    assert (frame["n"] == frame["amount"]).all()
    assert not [name for name in frame.columns if name == "serin_place"]


def test_derived_features_are_made_of_what_the_event_has_and_of_its_windows():
    events = hourly_events(AS_OF - 60 * DAY, AS_OF)
    events = events.append_column("since", pa.array([AS_OF - 90 * DAY] * len(events), events.schema.field("at").type))
    counts = EventFeatures("v", pa.table({"n": [float(place % 4) for place in range(len(events))]}))
    derived = [{"name": "share", "ratio": ["amount", "n"]}, {"name": "age", "elapsed": ["since", "at"]}]
    frame = training_set(events, [counts], windowed(request=["amount"], derived=derived), AS_OF)
    none = frame["n"] == 0
    assert frame["share"][none].isna().all()
    assert (frame["share"] == frame["amount"] / frame["n"])[~none].all()
    assert frame["age"].tolist() == [(time - (AS_OF - 90 * DAY)) / DAY for time in frame[EVENT_TIME]]


def test_too_short_a_history_says_how_much_is_needed():
    with pytest.raises(
        DataError,
        match=r"validation fold 1 has no rows; it needs both classes\. Labels are known for events from 2026-02-0\d "
        r"to 2026-02-2\d; the split needs more than 42d before --as-of .*training\.folds 2 of .* three times\)",
    ):
        training_set(hourly_events(AS_OF - 28 * DAY, AS_OF), [], case(), AS_OF)


def test_fold_with_nothing_to_fit_on_is_told():
    with pytest.raises(DataError, match="what is fitted for validation fold 1 has no rows; it needs both classes"):
        training_set(hourly_events(AS_OF - 40 * DAY, AS_OF), [], case(), AS_OF)


def test_as_of_long_after_the_data_is_told():
    with pytest.raises(DataError, match=r"as of 2027-01-01 00:00: the test part has no rows"):
        training_set(hourly_events(AS_OF - 60 * DAY, AS_OF), [], case(), datetime(2027, 1, 1, tzinfo=UTC))


def test_part_with_one_class_is_told():
    events = hourly_events(AS_OF - 60 * DAY, AS_OF).to_pandas().assign(fraud=0)
    with pytest.raises(DataError, match=r"the test part has \d+ rows, all of class 0; it needs both classes"):
        training_set(pa.Table.from_pandas(events), [], case(), AS_OF)


def test_table_without_a_labelled_row_is_told():
    with pytest.raises(DataError, match=r"the test part has no rows; it needs both classes\. Give it more"):
        training_set(hourly_events(AS_OF - 3 * DAY, AS_OF), [], case(test="auto", validation="auto"), AS_OF)


def view(rows, ttl=None):
    card, time, value = zip(*rows, strict=True)
    table = pa.table(
        {"card": list(card), "event_timestamp": pa.array(time, pa.timestamp("us", tz="UTC")), "f": list(value)}
    )
    return ViewTable("v", table, "card", "event_timestamp", ttl, ["f"])


def joined(events, *views):
    frame = pd.DataFrame(events, columns=["card", EVENT_TIME])
    frame[EVENT_TIME] = pd.to_datetime(frame[EVENT_TIME], utc=True)
    return point_in_time_join(frame, views)["f"].astype(object).where(lambda f: f.notna(), None).tolist()


def test_event_gets_the_latest_row_at_or_before_its_time():
    rows = view([(1, AS_OF, 10.0), (1, AS_OF + DAY, 20.0)])
    events = [(1, AS_OF), (1, AS_OF + DAY - timedelta(microseconds=1)), (1, AS_OF + DAY), (1, AS_OF + 9 * DAY)]
    assert joined(events, rows) == [10.0, 10.0, 20.0, 20.0]


def test_event_before_its_entity_is_known_stays_and_has_no_value():
    rows = view([(1, AS_OF, 10.0)])
    assert joined([(1, AS_OF - DAY), (2, AS_OF + DAY), (1, AS_OF)], rows) == [None, None, 10.0]


def test_row_older_than_the_ttl_is_not_used():
    rows = view([(1, AS_OF, 10.0)], ttl=DAY)
    assert joined([(1, AS_OF + DAY), (1, AS_OF + DAY + timedelta(seconds=1))], rows) == [10.0, None]


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [("at", "place", "k0"), ("k0", "v0", "asked"), ("place", "at", "key"), ("id", "f0", "F0"), ("events", "f1", "f0")],
)
def test_names_that_the_join_uses_itself_are_only_names(key, first, second):
    table = pa.table(
        {
            key: [1, 2],
            "event_timestamp": pa.array([AS_OF, AS_OF], pa.timestamp("us", tz="UTC")),
            first: [10.0, 20.0],
            second: [30.0, 40.0],
        }
    )
    views = [
        ViewTable("a", table, key, "event_timestamp", None, [first]),
        ViewTable("b", table, key, "event_timestamp", DAY, [second]),
    ]
    events = pd.DataFrame({key: [2, 1, 3], EVENT_TIME: [pd.Timestamp(AS_OF)] * 3})
    found = point_in_time_join(events, views)
    assert found[key].tolist() == [2, 1, 3]
    assert found[first].tolist()[:2] == [20.0, 10.0]
    assert found[second].tolist()[:2] == [40.0, 30.0]
    assert found[[first, second]].iloc[2].isna().all()


def snapshot_table(rows: int, first: int = 0) -> pa.Table:
    ids = list(range(first, rows))
    return pa.table({"id": ids, "x": [float(i) for i in ids], "y": [i % 2 for i in ids]})


def test_table_without_times_is_tested_on_the_same_entities_for_good():
    snapshot = make_case({"id": "integer", "x": "number", "y": "integer"}, request=["x"])
    first = training_set(snapshot_table(2000), [], snapshot, AS_OF).set_index("id")[SPLIT]
    assert first.value_counts(normalize=True).round(1).to_dict() == {"known": 0.8, "test": 0.2}
    later = training_set(snapshot_table(2000, 500), [], snapshot, AS_OF + 9 * DAY).set_index("id")[SPLIT]
    assert (later == first[later.index]).all()


def test_snapshot_of_one_class_is_told():
    snapshot = make_case({"id": "integer", "x": "number", "y": "integer"}, request=["x"])
    table = snapshot_table(50).set_column(2, "y", pa.array([1] * 50))
    with pytest.raises(DataError, match="the table has 50 rows, all of class 1; it needs both classes"):
        training_set(table, [], snapshot, AS_OF)


def test_group_is_taken_along_though_no_feature_needs_it():
    columns = {"id": "integer", "x": "number", "y": "integer", "family": "text"}
    case_ = make_case(columns, request=["x"], training={"estimators": {"xgboost": {}}, "group": "family"})
    table = snapshot_table(900).append_column("family", pa.array([f"f{i // 3}" for i in range(900)]))
    frame = training_set(table, [], case_, AS_OF)
    assert (frame.groupby("family")[[SPLIT, FOLD]].nunique() == 1).all().all()


def test_group_that_is_a_feature_of_a_view_stands_once():
    columns = {"id": "integer", "x": "number", "y": "integer", "family": "text"}
    case_ = make_case(
        columns,
        data={"key": ["id"]},
        entities={"person": "id"},
        features={"service": "toy_v1", "tables": {"people": {"entity": "person", "columns": ["x", "family"]}}},
        training={"estimators": {"xgboost": {}}, "group": "family"},
    )
    table = snapshot_table(600)
    table = table.append_column("family", pa.array([f"f{i // 4}" for i in range(600)]))
    rows = table.append_column("at", pa.array([AS_OF] * 600, pa.timestamp("us", tz="UTC")))
    frame = training_set(table, [ViewTable("people", rows, "id", "at", None, ["x", "family"])], case_, AS_OF)
    assert list(frame.columns).count("family") == 1
    assert (frame.groupby("family")[[SPLIT, FOLD]].nunique() == 1).all().all()
