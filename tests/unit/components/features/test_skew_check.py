"""The prediction log of a version, replayed against the stored events."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.features.skew_check import check_skew
from serin import partitions
from serin.errors import DataError, UnavailableError
from serin.online.plan import OnlinePlan, TablePlan
from serin.schema import InputColumn, InputSchema
from tests.factories import make_case, make_manifest
from tests.skew_world import (
    CASE,
    END,
    INPUTS,
    START,
    TIME,
    Registry,
    as_served,
    changed,
    events_of_cards,
    log,
    manifest_of,
    of_period,
    platform_of,
)


@pytest.fixture(scope="module")
def events():
    return events_of_cards()


@pytest.fixture
def platform(tmp_path, events):
    return platform_of(tmp_path, events)


def test_what_was_served_from_the_same_events_is_equal_in_every_row(platform, events):
    rows = of_period(events)
    log(platform, as_served(events, rows))
    found = check_skew(platform, CASE)
    assert (found.version, found.verdict) == (3, "equal")
    assert (found.counts.logged, found.counts.by_key) == (len(rows), len(rows))
    assert (found.comparison.rows, found.comparison.equal) == (len(rows), len(rows))
    assert found.sentences()[0] == f"{len(rows)} of {len(rows)} rows are equal in all inputs, 0 differ"
    assert found.end - found.start == timedelta(days=7)


def test_value_that_was_served_otherwise_is_named_with_its_row(platform, events):
    served = as_served(events, of_period(events))
    values = served["count_7d"].to_numpy(zero_copy_only=False).copy()
    values[4] += 2
    log(platform, changed(served, "count_7d", pa.array(values)))
    found = check_skew(platform, CASE)
    assert found.verdict == "skewed"
    differing = {column.name: column for column in found.comparison.columns if column.differing}
    assert set(differing) == {"count_7d"}
    (first,) = differing["count_7d"].first
    assert first.keys == {"TX": served["TX"][4].as_py(), "CARD": served["CARD"][4].as_py()}
    assert first.served - first.offline == 2
    assert check_skew(platform, CASE, limit=0.01).verdict == "equal"


def test_label_that_came_after_the_answer_is_skew_of_its_windows_alone(platform, events):
    log(platform, as_served(changed(events, "FRAUD", pa.nulls(len(events), pa.int64())), of_period(events)))
    found = check_skew(platform, CASE)
    differing = {column.name: column for column in found.comparison.columns if column.differing}
    assert set(differing) == {"fraud_7d"}
    assert differing["fraud_7d"].only_offline == differing["fraud_7d"].differing > 0


def test_corrected_event_is_compared_as_it_is_now_and_counted_where_it_moved(platform, events):
    served = as_served(events, of_period(events))
    times = served["event_timestamp"].to_pylist()
    times[3] -= timedelta(seconds=1)
    log(platform, changed(served, "event_timestamp", pa.array(times, TIME)))
    found = check_skew(platform, CASE, start=START, end=END)
    assert found.counts.moved == 1
    assert found.counts.by_key == len(served)


def test_rows_without_a_key_are_matched_by_entity_and_time(platform, events):
    served = as_served(events, of_period(events)).drop_columns(["TX"])
    log(platform, served)
    found = check_skew(platform, CASE)
    assert found.counts.by_key == 0
    assert found.counts.by_entities + found.counts.ambiguous == len(served)
    assert found.verdict == "equal"


def test_row_that_became_no_event_is_compared_with_the_events_of_others(platform, events):
    asked = of_period(events).slice(0, 20)
    asked = changed(asked, "AT", pa.array([at + timedelta(minutes=7) for at in asked["AT"].to_pylist()], TIME))
    asked = changed(asked, "TX", pa.array([1, 2, *[None] * 18], pa.int64()))
    log(platform, as_served(events, asked))
    found = check_skew(platform, CASE)
    assert (found.counts.asked, found.verdict) == (20, "equal")


def test_row_that_became_no_event_is_left_out_where_the_log_lacks_what_its_windows_take(platform, events):
    asked = changed(of_period(events), "TX", pa.array([None] * len(of_period(events)), pa.int64()))
    asked = changed(asked, "CARD", pa.array([99] * len(asked)))
    log(platform, as_served(events, asked).drop_columns(["AMOUNT", "to_mean"]))
    names = tuple(name for name in INPUTS if name not in ("AMOUNT", "to_mean"))
    short = manifest_of(inputs=InputSchema(columns=tuple(InputColumn(name=name) for name in names)), derived=())
    found = check_skew(replace(platform, registry=Registry(short)), CASE)
    assert found.counts.unmatched == len(asked)
    assert found.verdict == "nothing_compared"
    assert found.sentences()[0] == "no logged row could be compared"


def test_rows_later_than_the_last_stored_event_wait_for_it(platform, events):
    rows = of_period(events)
    late = changed(rows, "AT", pa.array([at + timedelta(days=7) for at in rows["AT"].to_pylist()], TIME))
    late = changed(late, "TX", pa.array(np.arange(len(late)) + 50_000))
    log(platform, as_served(events, rows))
    log(platform, as_served(events, late), "v3-b.parquet")
    found = check_skew(platform, CASE, start=START, end=END + timedelta(days=8))
    assert (found.counts.ahead, found.counts.by_key, found.verdict) == (len(late), len(rows), "equal")


def test_log_of_a_time_of_which_nothing_is_stored_waits_for_it(platform, events):
    rows = of_period(events)
    late = changed(rows, "AT", pa.array([at + timedelta(days=300) for at in rows["AT"].to_pylist()], TIME))
    log(platform, as_served(events, late))
    found = check_skew(platform, CASE)
    assert (found.counts.ahead, found.verdict) == (len(rows), "nothing_compared")


def test_other_versions_and_times_are_not_looked_at(platform, events):
    served = as_served(events, of_period(events))
    log(platform, served)
    log(platform, changed(served, "model_version", pa.array(["2"] * len(served))), "v2-a.parquet")
    half = START + timedelta(days=2)
    found = check_skew(platform, CASE, version=3, start=START, end=half)
    assert found.counts.logged == len(of_period(events, START, half))


def test_rows_whose_caller_gave_the_features_are_left_out(platform, events):
    served = as_served(events, of_period(events))
    count = len(served)
    served = served.append_column("missing_features", pa.array(np.zeros(count), pa.int32()))
    log(platform, served.append_column("feature_age_seconds", pa.array([None] * 2 + [60.0] * (count - 2))))
    found = check_skew(platform, CASE)
    assert (found.counts.given, found.counts.by_key, found.comparison.rows) == (2, count - 2, count - 2)


def test_damaged_file_of_the_log_is_told(platform, events):
    log(platform, as_served(events, of_period(events)))
    folder = platform.workspace.predictions("cards")
    with Path(partitions.files(folder)[0]).open("r+b") as file:
        file.truncate(50)
    found = check_skew(platform, CASE)
    assert any(note.startswith("passed over: ") for note in found.notes)


def test_snapshot_without_times_is_compared_by_the_entity(platform, tmp_path):
    case = make_case(
        {"ID": "integer", "AGE": "integer", "LAND": "text", "y": "integer"},
        name="people",
        entities={"person": "ID"},
        data={"key": ["ID"]},
        label={"column": "y"},
        features={"service": "people_v1", "tables": {"facts": {"entity": "person", "columns": ["AGE", "LAND"]}}},
    )
    stored = pa.table({"ID": [1, 2, 3], "AGE": [30, 40, 50], "LAND": ["x", "y", "x"], "y": [0, 1, 0]})
    partitions.write(platform.workspace.events("people"), "2026-01-20", stored, ["ID"])
    served = pa.table(
        {
            "ID": [1, 2, 7, 3],
            "AGE": [30.0, 41.0, None, 50.0],
            "LAND": ["x", "y", None, "x"],
            "event_timestamp": pa.array([START, START, START, START - timedelta(days=2)], TIME),
            "logged_at": pa.array([START] * 4, TIME),
            "model_version": ["3"] * 4,
        }
    )
    log(platform, served, use_case="people")
    land = InputColumn(name="LAND", kind="category", categories=("x", "y"))
    plan = TablePlan(
        project="serin_served", view="facts__1", key="ID", key_type="integer",
        features={"AGE": "integer", "LAND": "text"},
    )  # fmt: skip
    manifest = make_manifest(
        use_case="people", model_name="people", entities=({"name": "ID", "type": "integer"},), request=(),
        calendar=(), timestamp=None, inputs=InputSchema(columns=(InputColumn(name="AGE"), land)),
        online=OnlinePlan(tables=(plan,)),
    )  # fmt: skip
    found = check_skew(replace(platform, registry=Registry(manifest)), case)
    assert (found.counts.by_key, found.counts.asked, found.counts.earlier) == (2, 1, 1)
    assert (found.comparison.rows, found.comparison.equal) == (3, 2)
    (age,) = (column for column in found.comparison.columns if column.differing)
    assert (age.name, age.first[0].served, age.first[0].offline) == ("AGE", 41.0, 40.0)


def test_empty_log_is_no_proof(platform):
    with pytest.raises(UnavailableError, match="no predictions of cards are logged"):
        check_skew(platform, CASE)


def test_version_of_an_earlier_serin_says_how_to_get_another(platform, events):
    log(platform, as_served(events, of_period(events)))
    old = replace(platform, registry=Registry(manifest_of(online=OnlinePlan())))
    with pytest.raises(UnavailableError, match="v3 does not say how count_7d, mean_7d, fraud_7d are made"):
        check_skew(old, CASE)


def test_without_a_champion_there_is_nothing_to_compare(platform):
    with pytest.raises(UnavailableError, match="has no champion yet"):
        check_skew(replace(platform, registry=Registry(None)), CASE)


def test_period_without_time_is_refused(platform):
    with pytest.raises(DataError, match="has no time in it"):
        check_skew(platform, CASE, start=END, end=START)


def test_no_row_of_the_version_is_no_proof(platform, events):
    served = as_served(events, of_period(events))
    log(platform, changed(served, "model_version", pa.array(["2"] * len(served))))
    assert check_skew(platform, CASE).verdict == "nothing_compared"


def test_column_that_the_use_case_dropped_since_is_named(platform, events):
    log(platform, as_served(events, of_period(events)))
    windows = {f.column for view in CASE.features.windows.values() for f in view.features if f.column}
    name = sorted(windows - {CASE.label.column})[0]
    columns = {key: column for key, column in CASE.data.columns.items() if key != name}
    less = CASE.model_copy(update={"data": CASE.data.model_copy(update={"columns": columns})})
    with pytest.raises(DataError, match=f"v3 was trained with {name}, which data.columns no longer has"):
        check_skew(platform, less)
