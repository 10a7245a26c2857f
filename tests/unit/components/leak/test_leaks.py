"""A leak of each kind is found and named, and what is honest passes."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from components.leak import quick
from components.leak.alone import Alone, Ranked, ranked
from components.leak.future import Future, changes, cut_times, differing, from_future, turn_after
from components.leak.run import look_for_leaks
from components.leak.shuffled import Shuffled, shuffle, shuffled
from components.leak.verdict import Leaks, as_data, sentences
from serin.learning.intervals import Estimate
from serin.learning.split import EVENT_TIME, Periods, split_by_time
from serin.times import parse_time
from tests.factories import make_case

AS_OF = parse_time("2026-03-01")
DELAY = timedelta(days=7)
ROWS = 2400
COLUMNS = {"id": "integer", "at": "timestamp", "amount": "number", "given": "number", "y": "integer"}


def case_of(*features, delay="7d"):
    """A use case with these features; `earlier` stands for whatever the pipeline makes of labels."""
    window = {"name": "earlier", "aggregation": "mean", "column": "y", "window": "14d", "delay": delay}
    windows = {"things": {"entity": "thing", "features": [window]}} if "earlier" in features else {}
    return make_case(
        COLUMNS,
        timestamp="at",
        label={"column": "y", "delay": delay},
        features={"service": "toy_v1", "request": [f for f in features if f != "earlier"], "windows": windows},
        training={"estimators": {"lightgbm": {}}, "test": "14d", "validation": "7d", "folds": 1},
        data={"key": ["id", "at"]},
    )


def events_of(seed=0):
    """Events of 60 days, one in five positive by their amount and by a risk of their entity."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": random.integers(0, 60, ROWS), "amount": random.normal(size=ROWS)})
    frame["at"] = pd.date_range("2025-12-30", "2026-02-28", periods=ROWS, tz="UTC")
    risk = np.random.default_rng(1).normal(size=60)[frame["id"]]
    frame["y"] = (frame["amount"] + risk + random.normal(scale=0.7, size=ROWS) > 1.5).astype(float)
    frame["given"] = random.normal(size=ROWS)
    return frame


class Pipeline:
    """Makes the training set of events; `earlier` makes one feature of the events with their labels."""

    def __init__(self, case, earlier=None, events=None):
        self.case, self.earlier = case, earlier
        self.events = events_of() if events is None else events

    def __call__(self, relabel=lambda _, given: given):
        times = self.events["at"].dt.tz_convert(None).to_numpy()
        events = self.events.assign(y=relabel(times, self.events["y"].to_numpy()))
        if self.earlier:
            events["earlier"] = self.earlier(events)
        delay = self.case.label.delay
        events = events[events["at"] + delay <= AS_OF].reset_index(drop=True)
        events[EVENT_TIME] = events["at"]
        week = Periods(timedelta(days=14), timedelta(days=7))
        frame = pd.concat([events, split_by_time(events["at"], self.case, AS_OF, week)], axis=1)
        return frame[frame["serin_split"] != ""].reset_index(drop=True)

    def look(self, **options):
        return look_for_leaks(self(), self.case, self, **options)


def rate(delay, own=False):
    """The mean label of the entity's events in the 14 days before t - delay; at t itself only with `own`."""

    def feature(events):
        found = np.full(len(events), np.nan)
        for _, rows in events.groupby("id"):
            times, labels = rows["at"].to_numpy(), rows["y"].to_numpy()
            for place, time in zip(rows.index, times, strict=True):
                end = times <= time - np.timedelta64(delay) if delay or own else times < time
                inside = end & (times > time - np.timedelta64(delay + timedelta(days=14)))
                found[place] = labels[inside].mean() if inside.any() else np.nan
        return found

    return feature


def encoded(events):
    """A target encoding over all rows, those of the test included."""
    return events.groupby("id")["y"].transform("mean")


@pytest.fixture(scope="module")
def honest():
    pipeline = Pipeline(case_of("amount", "given", "earlier"), rate(DELAY))
    later = Pipeline(pipeline.case, rate(2 * DELAY))
    return pipeline, pipeline.look(later=later)


def test_honest_features_pass_labels_of_the_past_included(honest):
    pipeline, found = honest
    assert found.verdict == "clean"
    assert not found.suspects
    assert found.future.rows > ROWS
    assert len(found.future.cuts) == 3
    told = sentences(found, pipeline.case)
    assert told[0].startswith("labels turned round that were not known yet (3 times): no feature of ")
    assert told[1].startswith("labels shuffled: the area under the ROC curve falls to 0.")
    assert told[2].startswith("each feature alone: none above 0.95; the best is amount with 0.")
    assert "rests on labels that came less than another 7d before" in told[3]


def test_what_is_told_to_programs_has_all_figures(honest):
    pipeline, found = honest
    data = as_data(found, pipeline.case)
    assert (data["verdict"], data["suspects"], data["future"]["leaks"]) == ("clean", [], False)
    assert set(data["alone"]) == {"amount", "given", "earlier"}
    assert data["fresh"]["low"] <= data["fresh"]["value"] <= data["fresh"]["high"]
    low, high = data["shuffled"]["chance"]
    assert low < data["shuffled"]["roc_auc"] < high


def test_honest_features_are_not_accused_whatever_the_seed():
    case = case_of("amount", "given")
    for seed in range(5):
        pipeline = Pipeline(case, events=events_of(seed))
        assert not shuffled(pipeline, case).leaks
        assert not ranked(pipeline(), case).features[0].too_much(0.95)


def test_copy_of_the_label_made_by_the_pipeline_is_proved_and_named():
    pipeline = Pipeline(case_of("amount", "earlier"), lambda events: events["y"] * 3.0)
    found = pipeline.look()
    assert found.verdict == "leak"
    assert set(found.future.changed) == {"earlier"}
    assert found.shuffled.auc > 0.99
    assert set(found.shuffled.named) == {"earlier"}
    told = sentences(found, pipeline.case)
    assert told[0].startswith("earlier is made of labels that were not known yet: it changes in ")
    assert "a feature knows its row's own label; it is earlier (1.000 alone)" in told[1]


def test_copy_of_the_label_that_the_table_brings_is_suspected():
    events = events_of()
    events["given"] = events["y"] + np.random.default_rng(2).normal(scale=0.1, size=ROWS)
    found = Pipeline(case_of("amount", "given"), events=events).look()
    assert (found.verdict, found.suspects) == ("suspect", ("given",))
    assert not found.shuffled.leaks


def test_limit_decides_which_feature_alone_is_suspected():
    found = Pipeline(case_of("amount", "given")).look(limit=0.6)
    assert (found.verdict, found.suspects) == ("suspect", ("amount",))


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(days=6)])
def test_labels_before_their_delay_are_proved_though_each_row_s_own_is_left_out(delay):
    case = case_of("amount", "earlier")
    pipeline = Pipeline(case, rate(delay))
    found = from_future(pipeline(), pipeline, case)
    assert set(found.changed) == {"earlier"}
    assert not from_future(pipeline(), Pipeline(case, rate(delay)), case_of("amount")).changed


def test_window_with_the_row_s_own_label_does_not_fall_to_chance():
    pipeline = Pipeline(case_of("amount", "earlier"), rate(timedelta(0), own=True))
    found = shuffled(pipeline, pipeline.case)
    assert found.leaks
    assert set(found.named) == {"earlier"}


def test_target_encoding_over_all_rows_is_proved_where_the_pipeline_makes_it():
    pipeline = Pipeline(case_of("amount", "earlier"), encoded)
    assert set(from_future(pipeline(), pipeline, pipeline.case).changed) == {"earlier"}


def test_target_encoding_over_all_rows_is_suspected_where_the_table_brings_it():
    events = events_of()
    # Of pairs: what such an encoding tells grows as its groups get smaller.
    events["given"] = events.groupby(np.arange(ROWS) // 2)["y"].transform("mean")
    found = Pipeline(case_of("amount", "given"), events=events).look(limit=0.9)
    assert found.suspects[0] == "given"


def test_rows_without_times_must_not_change_with_any_label():
    case = make_case({"id": "integer", "x": "number", "y": "integer"}, request=["x"])
    frame = pd.DataFrame({"x": np.arange(100.0), "y": np.arange(100.0) % 2})

    def pipeline(relabel, *, leaks):
        labels = relabel(np.full(100, np.datetime64("NaT")), frame["y"].to_numpy())
        return frame.assign(y=labels, x=frame["x"] + labels * leaks)

    for leaks in (False, True):
        found = from_future(pipeline(lambda _, y: y, leaks=leaks), lambda r, k=leaks: pipeline(r, leaks=k), case)
        assert found.leaks == leaks
        assert found.cuts == ()


def test_shuffle_moves_known_labels_only_and_keeps_their_number():
    given = np.array([0.0, 1.0, np.nan, 1.0, 0.0, 0.0] * 20)
    found = shuffle(np.random.default_rng(0))(np.full(120, np.datetime64("NaT")), given)
    assert np.array_equal(np.isnan(found), np.isnan(given))
    assert np.nansum(found) == np.nansum(given)
    assert not np.array_equal(found, given, equal_nan=True)


def test_labels_are_turned_round_after_the_moment_and_not_at_it():
    moment = pd.Timestamp("2026-01-02", tz="UTC")
    times = np.array(["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"], "datetime64[us]")
    found = turn_after(moment)(times, np.array([1.0, 1.0, 1.0, np.nan]))
    assert found.tolist()[:3] == [1.0, 1.0, 0.0]
    assert np.isnan(found[3])


def test_cuts_are_spread_and_the_last_row_s_time_is_one():
    times = pd.Series(pd.date_range("2026-01-01", periods=92, tz="UTC"))
    found = [f"{cut:%m-%d}" for cut in cut_times(times, DELAY)]
    assert found == ["01-31", "03-02", "04-02"]
    assert [f"{cut:%m-%d}" for cut in cut_times(times, timedelta(days=60))] == ["01-31", "04-02"]


def test_changes_are_counted_and_the_first_is_shown():
    time = pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True)
    before = pd.DataFrame({EVENT_TIME: time, "a": [1.0, 2.0], "b": ["x", None]})
    after = pd.DataFrame({EVENT_TIME: time, "a": [1.0, 2.5], "b": ["x", None]})
    found = changes(before, after, ["a", "b"])
    assert set(found) == {"a"}
    assert (found["a"].rows, found["a"].before, found["a"].after) == (1, 2.0, 2.5)


def test_missing_equals_missing_and_nothing_else():
    one, other = pd.Series([np.nan, np.nan, 1.0, 1.0]), pd.Series([np.nan, 1.0, np.nan, 1.0 + 1e-12])
    assert differing(one, other).tolist() == [False, True, True, False]


def test_area_and_its_chance_are_those_of_mann_and_whitney():
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    truth = (random.random(500) < 0.2).astype(np.int8)
    found = np.round(random.normal(size=500) + truth, 1)
    assert quick.roc_auc(truth, found) == pytest.approx(roc_auc_score(truth, found))
    draws = [quick.roc_auc(random.permutation(truth), np.arange(500.0)) for _ in range(2000)]
    assert quick.chance_error(truth) == pytest.approx(np.std(draws), rel=0.06)
    assert np.isnan(quick.roc_auc(np.zeros(3, np.int8), np.arange(3.0)))


def leaks_of(*alone, positives=100, **parts):
    """What was found, by hand: nothing but these features alone, each with its area and what it has above all."""
    features = tuple(Alone(name, Estimate(auc, auc - 0.01, auc + 0.01), Estimate(gap, gap - 0.01, gap + 0.01))
                     for name, auc, gap in alone)  # fmt: skip
    usual = {
        "shuffled": Shuffled(0.5, 0.48, 0.52, 4, {}),
        "future": Future((), 10, {}),
        "ranked": Ranked(Estimate(0.8, 0.79, 0.81), features, None),
    }
    return Leaks("2026-03-01", 10, positives, "lightgbm", 0.95, **{**usual, **parts})


def test_feature_that_beats_all_of_them_together_is_suspected():
    found = leaks_of(("a", 0.9, 0.1), ("b", 0.8, 0.005))
    assert (found.verdict, found.suspects) == ("suspect", ("a",))
    told = sentences(found, case_of("amount"))
    assert told[2].startswith("a alone has 0.900 (0.890 to 0.910), more than all features together, 0.800")


def test_limit_counts_where_the_whole_interval_is_above_it():
    assert leaks_of(("a", 0.955, -0.1)).verdict == "clean"
    assert leaks_of(("a", 0.965, -0.1)).verdict == "suspect"


def test_area_below_chance_is_a_leak_too():
    assert leaks_of(("a", 0.6, -0.1), shuffled=Shuffled(0.4, 0.48, 0.52, 4, {})).verdict == "leak"


def test_few_positives_are_told():
    assert sentences(leaks_of(("a", 0.6, -0.1), positives=12), case_of("amount"))[-1] == (
        "the test part has 12 positives: the areas say little below 30"
    )
