"""The parts of a training set: what is assessed on which fold, and what is kept for the test."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.errors import DataError
from serin.use_case import UseCase
from serin.use_case.periods import Periods, choose

SPLIT = "serin_split"  # "known" or "test"
FOLD = "serin_fold"  # the validation fold that assesses the row, from 1; 0 where none does
PERIOD = "serin_period_start"  # with event times: when the fold or the test that assesses the row began; NaT where none
EVENT_TIME = "serin_event_time"
PARTS = ("known", "test")

_SINGLE = 5  # without event times a single fold is a fifth of the rows


@dataclass(frozen=True)
class Fold:
    """One assessment: the places, in the training set, of the rows to fit on and of those to assess.

    Its period goes from `start` up to `end`; both are None where there are no event times.
    """

    number: int
    fit: NDArray[np.int64]
    assess: NDArray[np.int64]
    start: datetime | None = None
    end: datetime | None = None


def folds(frame: pd.DataFrame, case: UseCase) -> Iterator[Fold]:
    """The validation folds of a training set, the earliest first.

    With event times a fold is fitted on all that was known when its period began:

        fit (history) │ label.delay │ fold 1 │ fold 2 │ … │ label.delay │ test │ label.delay │ as_of

    Without, on all the other folds. The test part is in none of them. Raises DataError for a fold without rows.
    """
    number = frame[FOLD].to_numpy()
    known = (frame[SPLIT] == "known").to_numpy()
    for current in range(1, case.training.folds + 1):
        assess = np.flatnonzero(number == current)
        if not len(assess):
            raise DataError(f"{case.name}: validation fold {current} of {case.training.folds} has no rows")
        if not case.timestamp:
            yield Fold(current, np.flatnonzero(known & (number != current)), assess)
            continue
        start = frame[PERIOD].iloc[assess[0]]
        fit = known & _visible(frame, start, case)
        end = frame[PERIOD][number == current + 1].min() if current < case.training.folds else _known_end(frame, case)
        yield Fold(current, np.flatnonzero(fit), assess, start, end)


def known_rows(frame: pd.DataFrame, case: UseCase) -> NDArray[np.int64]:
    """The places of the rows that the final model is fitted on: all that precedes the test part, within `history`."""
    known = (frame[SPLIT] == "known").to_numpy()
    if case.timestamp:
        known &= _visible(frame, start_of_test(frame), case)
    return np.flatnonzero(known)


def start_of_test(frame: pd.DataFrame) -> pd.Timestamp:
    """When the test period of a training set with event times begins."""
    start: pd.Timestamp = frame.loc[frame[SPLIT] == "test", PERIOD].min()
    return start


def known_until(frame: pd.DataFrame, case: UseCase) -> str:
    """Before which time rows were fitted on, as ISO 8601; "" without event times."""
    return _known_end(frame, case).isoformat() if case.timestamp else ""


def split_rule(case: UseCase) -> str:
    """How the test part of a table without times is chosen, in words; "" with event times."""
    if case.timestamp:
        return ""
    keys = [case.training.group] if case.training.group else [*case.entities.values()] or [*case.features.request]
    return f"test_share {case.training.test_share:g} by {', '.join(keys)}"


def _known_end(frame: pd.DataFrame, case: UseCase) -> pd.Timestamp:
    return start_of_test(frame) - case.label.delay


def _visible(frame: pd.DataFrame, start: pd.Timestamp, case: UseCase) -> NDArray[np.bool_]:
    """Whether a row's label was known at `start`, and it is not older than `history`."""
    end = start - case.label.delay
    times = frame[EVENT_TIME]
    seen = (times < end).to_numpy()
    if case.training.history:
        seen &= (times >= end - case.training.history).to_numpy()
    return seen


def periods(times: "pd.Series[pd.Timestamp]", labels: NDArray[Any], case: UseCase, as_of: datetime) -> Periods:
    """The lengths of test and validation for known events, shape (n,); see `serin.use_case.periods.choose`."""
    moment = pd.Timestamp(as_of).tz_convert(None).to_datetime64()
    return choose(times.dt.tz_convert(None).to_numpy(), np.asarray(labels), case, moment)


def split_by_time(times: "pd.Series[pd.Timestamp]", case: UseCase, as_of: datetime, lengths: Periods) -> "pd.DataFrame":
    """SPLIT, FOLD and PERIOD of each event; SPLIT is "" in the gap between validation and test, and after the test.

    A model that goes live at the start of a period has seen no label younger than the delay, so each gap makes
    what follows it what serving will be. A period has its start and not its end.
    """
    test_end = pd.Timestamp(as_of) - case.label.delay
    begin = test_end - lengths.test
    known_end = begin - case.label.delay
    part = pd.Series("", index=times.index)
    part[times < known_end] = "known"
    is_test = (times >= begin) & (times < test_end)
    part[is_test] = "test"
    fold = case.training.folds + 1 + (times - known_end) // lengths.validation
    fold = fold.where((times < known_end) & (fold > 0), 0).astype(np.int64)
    start = known_end - (case.training.folds + 1 - fold) * lengths.validation
    start[fold == 0] = None
    start[is_test] = begin
    return pd.DataFrame({SPLIT: part, FOLD: fold, PERIOD: start.astype(times.dtype)})


def split_by_entity(frame: pd.DataFrame, case: UseCase) -> "pd.DataFrame":
    """SPLIT and FOLD of each row of a table without times. The test part goes by a hash of the group, of the entities,
    or without any of the features; the folds of the others are stratified by the label, and the same for a seed.

    An entity stays in its part for good, so a champion is never compared on rows it was trained on. Rows that are
    the same in all features fall into one part, and into one fold; a row without a group stands for itself. A single
    fold is a fifth of the rows.
    """
    keys = _keys(frame, case)
    hashed = pd.util.hash_array(keys.to_numpy(dtype=object), categorize=False)
    test = hashed / np.float64(2**64) < case.training.test_share
    fold = np.zeros(len(frame), np.int64)
    known = np.flatnonzero(~test)
    label = frame[case.label.column].to_numpy()[known].astype(np.int8)
    for number, places in enumerate(_stratified(label, pd.factorize(keys.iloc[known])[0], case), start=1):
        fold[known[places]] = number
    return pd.DataFrame({SPLIT: np.where(test, "test", "known"), FOLD: fold}, index=frame.index)


def _keys(frame: pd.DataFrame, case: UseCase) -> "pd.Series[str]":
    """What stays together, as text."""
    keys = frame[[*case.entities.values()] or [*case.features.request]].apply(_text).agg("|".join, axis=1)
    if case.training.group is None:
        return keys
    group = frame[case.training.group]
    return _text(group).where(group.notna(), keys)


def _text(values: "pd.Series[Any]") -> "pd.Series[str]":
    """As text. pandas makes floats of whole numbers where one is missing; a 5 stays a 5, so that it keeps its part."""
    text = values.astype(str)
    return text.str.removesuffix(".0") if pd.api.types.is_float_dtype(values) else text


def _stratified(label: NDArray[np.int8], groups: NDArray[np.int64], case: UseCase) -> "list[NDArray[np.int64]]":
    """The places of each fold's rows. Raises DataError where there are too few groups of a class."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    wanted = case.training.folds
    count = wanted if wanted > 1 else _SINGLE
    fewest = min((len(np.unique(groups[label == value])) for value in (0, 1)), default=0)
    if fewest < count:
        raise DataError(
            f"{case.name}: {count} folds of the rows before the test need {count} groups of each class, found "
            f"{fewest}; give it more labelled rows, or fewer training.folds"
        )
    if len(np.unique(groups)) == len(groups):
        # Groups of one row each need no search for a fold that suits them, which takes a minute for a million.
        splits = StratifiedKFold(count, shuffle=True, random_state=case.training.seed).split(label, label)
    else:
        splits = StratifiedGroupKFold(count, shuffle=True, random_state=case.training.seed).split(label, label, groups)
    return [assess for _, assess in splits][:wanted]
