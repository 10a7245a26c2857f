"""The training set: which events are in it, in which part, with which features."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest

from components.features.training_set import ViewTable, point_in_time_join, training_set
from serin.errors import DataError
from serin.learning.split import EVENT_TIME, SPLIT
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
        training={"estimators": {"xgboost": {}}, "test": "7d", "validation": "7d"} | training,
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


def span(frame, part):
    times = frame.loc[frame[SPLIT] == part, EVENT_TIME]
    return times.min().to_pydatetime(), times.max().to_pydatetime()


def test_no_event_whose_label_is_not_known_yet_is_in_it(whole):
    assert whole[EVENT_TIME].max() < AS_OF - 7 * DAY + timedelta(seconds=1)


def test_test_part_is_the_last_week_with_known_labels(whole):
    assert span(whole, "test") == (AS_OF - 14 * DAY, AS_OF - 7 * DAY - timedelta(hours=1))


def test_gap_of_the_label_delay_lies_before_the_test_part(whole):
    assert span(whole, "validation") == (AS_OF - 28 * DAY, AS_OF - 21 * DAY - timedelta(hours=1))


def test_every_label_that_is_fitted_on_was_known_when_validation_started(whole):
    assert span(whole, "fit")[1] == AS_OF - 35 * DAY - timedelta(hours=1)


def test_events_whose_labels_came_during_validation_are_kept_for_the_final_fit(whole):
    assert span(whole, "gap") == (AS_OF - 35 * DAY, AS_OF - 28 * DAY - timedelta(hours=1))


def test_label_known_at_once_leaves_no_gap():
    parsed = case()
    at_once = parsed.model_copy(update={"label": parsed.label.model_copy(update={"delay": timedelta(0)})})
    frame = training_set(hourly_events(AS_OF - 60 * DAY, AS_OF), [], at_once, AS_OF)
    assert set(frame[SPLIT]) == {"fit", "validation", "test"}
    assert len(frame) == 60 * 24


def test_calendar_feature_is_that_of_the_event(whole):
    assert (whole["hour"] == whole[EVENT_TIME].dt.hour).all()


def test_too_short_a_history_says_how_much_is_needed():
    with pytest.raises(
        DataError,
        match=r"the fit part has no rows; it needs both classes\. Labels are known for events from 2026-02-0\d to "
        r"2026-02-2\d; the split needs more than 35d before --as-of .*label\.delay 7d three times",
    ):
        training_set(hourly_events(AS_OF - 28 * DAY, AS_OF), [], case(), AS_OF)


def test_as_of_long_after_the_data_is_told():
    with pytest.raises(DataError, match=r"as of 2027-01-01 00:00: the validation part has no rows"):
        training_set(hourly_events(AS_OF - 60 * DAY, AS_OF), [], case(), datetime(2027, 1, 1, tzinfo=UTC))


def test_part_with_one_class_is_told():
    events = hourly_events(AS_OF - 60 * DAY, AS_OF).to_pandas().assign(fraud=0)
    with pytest.raises(DataError, match=r"the fit part has \d+ rows, all of class 0; it needs both classes"):
        training_set(pa.Table.from_pandas(events), [], case(), AS_OF)


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


def test_table_without_times_is_split_by_entity_and_stays_so():
    snapshot = make_case({"id": "integer", "x": "number", "y": "integer"}, request=["x"])
    ids = list(range(2000))
    table = pa.table({"id": ids, "x": [float(i) for i in ids], "y": [i % 2 for i in ids]})
    first = training_set(table, [], snapshot, AS_OF).set_index("id")[SPLIT]
    assert first.value_counts(normalize=True).round(1).to_dict() == {"fit": 0.6, "validation": 0.2, "test": 0.2}
    later = training_set(table.slice(500), [], snapshot, AS_OF + 9 * DAY).set_index("id")[SPLIT]
    assert (later == first[later.index]).all()
