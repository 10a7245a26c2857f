"""The split: how long its parts are, and which rows a fold may see."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from serin.errors import DataError
from serin.learning.split import (
    EVENT_TIME,
    FOLD,
    PERIOD,
    SPLIT,
    folds,
    known_rows,
    periods,
    split_by_entity,
    split_by_time,
    start_of_test,
)
from tests.factories import make_case

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def events(delay="7d", **training):
    return make_case(
        {"at": "timestamp", "id": "integer", "x": "number", "y": "integer"},
        request=["x"],
        timestamp="at",
        label={"column": "y", "delay": delay},
        training={"estimators": {"xgboost": {}}} | training,
    )


def snapshot(**training):
    columns = {"id": "integer", "x": "number", "y": "integer", "family": {"type": "text", "nullable": True}}
    return make_case(columns, request=["x"], training={"estimators": {"xgboost": {}}} | training)


def hourly(days):
    return pd.Series(pd.date_range(AS_OF - days * DAY, AS_OF, freq="h", inclusive="left"))


def lengths(case, times, every):
    """The periods in days of events of which each `every`th is positive, and the notes."""
    found = periods(times, np.arange(len(times)) % every == 0, case, AS_OF)
    return found.test / DAY, found.validation / DAY, found.notes


def split(case, times):
    parts = split_by_time(times, case, AS_OF, periods(times, np.zeros(len(times)), case, AS_OF))
    return pd.concat([times.rename(EVENT_TIME), parts], axis=1)


def test_period_of_so_many_positives_as_are_asked_for_in_whole_days():
    test, validation, notes = lengths(events("0d", folds=1), hourly(200), 5)
    assert (test, validation) == (21, 21)
    assert notes[0] == (
        "training.test is 21d: the days up to 2026-03-01 with 100 positives (100 or more wanted, in 7 days or more)"
    )


def test_period_is_a_week_where_fewer_days_have_the_positives():
    assert lengths(events("0d"), hourly(200), 1)[:2] == (7, 7)


def test_half_of_the_span_stays_before_the_first_fold():
    test, validation, notes = lengths(events("7d"), hourly(107), 50)
    # Labels are known of 100 days: 50 to choose from, less the gap of 7; half of 43 for the test, a third of the rest.
    assert (test, validation) == (21, 7)
    assert "100 were wanted, but more days would leave too few to fit on" in notes[0]


@pytest.mark.parametrize(("days", "test", "validation"), [(20, 2, 2), (26, 3, 3), (28, 7, 2), (3, 1, 1)])
def test_short_span_is_shared_by_test_and_folds(days, test, validation):
    assert lengths(events("0d"), hourly(days), 2)[:2] == (test, validation)


def test_length_that_the_use_case_gives_is_taken_and_needs_no_reason():
    assert lengths(events(test="36h", validation="90d"), hourly(50), 2) == (1.5, 90, ())


def test_validation_is_chosen_before_a_test_that_is_given():
    assert lengths(events("0d", test="50d", folds=1), hourly(200), 5)[:2] == (50, 21)


def test_no_events_have_periods_of_a_day():
    assert lengths(events(), hourly(0), 2)[:2] == (1, 1)


def test_event_at_the_start_of_a_period_is_in_it_and_one_at_its_end_in_the_next():
    frame = split(events(test="7d", validation="5d", folds=2), hourly(60))
    known_end = pd.Timestamp(AS_OF) - 21 * DAY
    at = frame.set_index(EVENT_TIME)
    found = at.loc[[known_end - 10 * DAY - HOUR, known_end - 10 * DAY, known_end - 5 * DAY, known_end - HOUR], FOLD]
    assert found.tolist() == [0, 1, 2, 2]
    assert at.loc[known_end, SPLIT] == ""
    assert at.loc[known_end + 7 * DAY, SPLIT] == "test"
    assert at.loc[known_end + 14 * DAY, SPLIT] == ""


def test_fold_is_fitted_on_what_was_known_when_its_period_began_though_its_first_event_came_later():
    case = events(test="7d", validation="7d", folds=1)
    times = hourly(60)
    start = pd.Timestamp(AS_OF) - 28 * DAY
    # Nothing happens in the first two days of the period.
    quiet = times[(times < start) | (times >= start + 2 * DAY)].reset_index(drop=True)
    frame = split(case, quiet)
    (fold,) = folds(frame, case)
    assert (fold.start, fold.end) == (start, start + 7 * DAY)
    assert frame[EVENT_TIME][fold.fit].max() == start - 7 * DAY - HOUR
    assert frame[EVENT_TIME][fold.assess].min() == start + 2 * DAY


def test_folds_follow_each_other_and_see_more_each_time():
    case = events(test="7d", validation="5d", folds=3)
    found = list(folds(split(case, hourly(90)), case))
    assert [fold.number for fold in found] == [1, 2, 3]
    assert [fold.end for fold in found[:-1]] == [fold.start for fold in found[1:]]
    assert np.diff([len(fold.fit) for fold in found]).tolist() == [120, 120]


def test_history_is_counted_back_from_the_end_of_what_is_fitted():
    case = events(test="7d", validation="5d", folds=2, history="10d")
    frame = split(case, hourly(90))
    assert {len(fold.fit) for fold in folds(frame, case)} == {240}
    final = frame[EVENT_TIME].iloc[known_rows(frame, case)]
    assert (final.min(), final.max()) == (AS_OF - 31 * DAY, AS_OF - 21 * DAY - HOUR)


def test_final_model_is_fitted_on_all_labels_that_were_known_when_the_test_began():
    case = events(test="7d", validation="5d")
    frame = split(case, hourly(90))
    assert frame[EVENT_TIME].iloc[known_rows(frame, case)].max() == start_of_test(frame) - 7 * DAY - HOUR


def test_fold_without_rows_is_an_error():
    case = events(test="7d", validation="7d")
    frame = split(case, hourly(30))
    with pytest.raises(DataError, match="toy: validation fold 1 of 3 has no rows"):
        list(folds(frame, case))


def test_period_start_is_of_the_rows_that_are_assessed_only():
    frame = split(events(test="7d", validation="5d"), hourly(90))
    assert frame.loc[frame[PERIOD].notna(), SPLIT].isin(["known", "test"]).all()
    assert (frame[PERIOD].isna() == ((frame[FOLD] == 0) & (frame[SPLIT] != "test"))).all()


def people(rows, each=1):
    number = np.arange(rows)
    rng = np.random.default_rng(0)
    label = (rng.random(rows) < 0.2).astype(int)
    return pd.DataFrame({"id": number, "x": rng.random(rows), "y": label, "family": [f"f{i // each}" for i in number]})


def test_folds_of_a_snapshot_are_stratified_and_each_is_fitted_on_the_others():
    frame = people(3000)
    frame = frame.join(split_by_entity(frame, snapshot()))
    shares = frame[frame[FOLD] > 0].groupby(FOLD)["y"].mean()
    assert len(shares) == 3
    assert shares.max() - shares.min() < 0.002
    found = list(folds(frame, snapshot()))
    assert sorted(np.concatenate([fold.assess for fold in found])) == list(known_rows(frame, snapshot()))
    for fold in found:
        assert set(fold.fit) == set(known_rows(frame, snapshot())) - set(fold.assess)


def test_folds_of_a_snapshot_are_the_same_for_a_seed_and_others_for_another():
    frame = people(500)
    first, again = (split_by_entity(frame, snapshot(seed=1)) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert (split_by_entity(frame, snapshot(seed=2))[FOLD] != first[FOLD]).any()


def test_rows_of_a_group_share_part_and_fold():
    frame = people(1200, each=4)
    parts = frame.join(split_by_entity(frame, snapshot(group="family")))
    assert (parts.groupby("family")[[SPLIT, FOLD]].nunique() == 1).all().all()
    assert set(parts[FOLD]) == {0, 1, 2, 3}


def test_row_without_a_group_stands_for_itself():
    frame = people(400).assign(family=None)
    assert set(split_by_entity(frame, snapshot(group="family"))[FOLD]) == {0, 1, 2, 3}


def test_missing_group_moves_no_group_of_whole_numbers_to_another_part():
    frame = people(400).assign(family=np.arange(400) // 4)
    one_missing = frame.assign(family=frame["family"].where(frame["id"] > 0))
    before, after = (split_by_entity(each, snapshot(group="family"))[SPLIT] for each in (frame, one_missing))
    assert list(before[4:]) == list(after[4:])


def test_single_fold_of_a_snapshot_is_a_fifth():
    frame = people(2000)
    parts = split_by_entity(frame, snapshot(folds=1))
    known = parts[parts[SPLIT] == "known"]
    assert set(known[FOLD]) == {0, 1}
    assert (known[FOLD] == 1).mean() == pytest.approx(0.2, abs=0.01)


def test_fewer_positives_than_folds_is_an_error():
    frame = people(100).assign(y=[1, 1, *[0] * 98])
    with pytest.raises(DataError, match=r"3 folds .* need 3 groups of each class, found \d; give it more"):
        split_by_entity(frame, snapshot())
