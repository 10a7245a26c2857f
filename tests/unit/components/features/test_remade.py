"""The training set made again of other labels, and the leak test going through Serin's own pipeline."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from components.features.remade import TrainingSets
from components.leak.run import look_for_leaks
from serin.learning.split import EVENT_TIME, SPLIT
from serin.times import parse_time
from tests.factories import make_case

AS_OF = parse_time("2026-03-01")


def case_of(*more, delay="7d"):
    rate = {"name": "rate", "aggregation": "mean", "column": "y", "window": "14d", "delay": delay}
    count = {"name": "count", "aggregation": "count", "window": "7d"}
    return make_case(
        {"key": "integer", "id": "integer", "at": "timestamp", "amount": "number", "given": "number", "y": "integer"},
        timestamp="at",
        label={"column": "y", "delay": "7d"},
        data={"key": ["key"]},
        features={
            "service": "toy_v1",
            "request": ["amount", *more],
            "calendar": ["hour"],
            "windows": {"things": {"entity": "thing", "features": [rate, count]}},
        },
        training={"estimators": {"lightgbm": {}}, "folds": 2},
    )


@pytest.fixture(scope="module")
def events():
    random = np.random.default_rng(0)
    rows = 2500
    times = np.datetime64("2025-12-30", "us") + np.sort(random.integers(0, 60 * 86400, rows)).astype("m8[s]")
    ids = random.integers(0, 50, rows)
    amount = random.normal(size=rows)
    label = (amount + random.normal(size=50)[ids] + random.normal(scale=0.7, size=rows) > 1.3).astype(np.int64)
    return pa.table(
        {
            "key": np.arange(rows),
            "id": ids,
            "at": pa.array(times, pa.timestamp("us", tz="UTC")),
            "amount": amount,
            "given": label + random.normal(scale=0.05, size=rows),
            "y": pa.array(label, mask=random.random(rows) < 0.02),
        }
    )


def test_other_labels_make_the_same_rows_in_the_same_parts(events):
    sets = TrainingSets(events, case_of(), AS_OF)
    other = sets.remade(lambda _, labels: 1 - labels)
    own = sets.own
    for name in ("key", EVENT_TIME, SPLIT, "amount", "count"):
        assert own[name].equals(other[name])
    assert (own["y"] + other["y"] == 1).all()
    known = own["rate"].notna()
    assert np.allclose(own["rate"][known] + other["rate"][known], 1)


def test_labels_as_they_are_make_the_training_set_again(events):
    sets = TrainingSets(events, case_of(), AS_OF)
    again = sets.remade(lambda _, labels: labels)
    names = ["key", "y", *case_of().feature_names, SPLIT]
    assert again[names].equals(sets.own[names])


def test_later_labels_delay_the_windows_of_labels_alone(events):
    sets = TrainingSets(events, case_of(), AS_OF)
    later = sets.later()
    twice = TrainingSets(events, case_of(delay="14d"), AS_OF).own
    assert later["count"].equals(sets.own["count"])
    assert later["rate"].equals(twice["rate"])
    assert not later["rate"].equals(sets.own["rate"])


def test_without_windows_of_labels_there_is_no_later():
    case = make_case({"id": "integer", "x": "number", "y": "integer"}, request=["x"])
    assert TrainingSets(pa.table({}), case, AS_OF).later is None


def test_declared_windows_of_labels_are_clean(events):
    sets = TrainingSets(events, case_of(), AS_OF)
    found = look_for_leaks(sets.own, case_of(), sets.remade, later=sets.later, limit=0.99)
    assert found.verdict == "clean"
    assert found.ranked.fresh is not None


def test_window_that_takes_labels_before_their_delay_is_proved(events):
    # No use case can say this: the rule that forbids it is what is tested here.
    case = case_of()
    view = case.features.windows["things"]
    early = view.features[0].model_copy(update={"delay": timedelta(days=6)})
    views = {"things": view.model_copy(update={"features": (early, view.features[1])})}
    case = case.model_copy(update={"features": case.features.model_copy(update={"windows": views})})
    sets = TrainingSets(events, case, AS_OF)
    found = look_for_leaks(sets.own, case, sets.remade)
    assert (found.verdict, set(found.future.changed)) == ("leak", {"rate"})


def test_label_that_the_table_brings_under_another_name_is_suspected(events):
    case = case_of("given")
    sets = TrainingSets(events, case, AS_OF)
    found = look_for_leaks(sets.own, case, sets.remade)
    assert (found.verdict, found.suspects) == ("suspect", ("given",))


def test_snapshot_without_times_is_looked_at_too():
    random = np.random.default_rng(0)
    x = random.normal(size=600)
    table = pa.table({"id": np.arange(600), "x": x, "y": (x + random.normal(size=600) > 1).astype(np.int64)})
    case = make_case(
        {"id": "integer", "x": "number", "y": "integer"},
        data={"key": ["id"]},
        features={"service": "toy_v1", "tables": {"facts": {"entity": "thing", "columns": ["x"]}}},
    )
    sets = TrainingSets(table, case, AS_OF)
    found = look_for_leaks(sets.own, case, sets.remade, later=sets.later)
    assert (found.verdict, found.future.cuts, found.ranked.fresh) == ("clean", (), None)
