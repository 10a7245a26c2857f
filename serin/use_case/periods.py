"""How long the test and the validation periods are: as a use case says, or by the positives in a table."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from serin.times import DAY
from serin.use_case.model import UseCase

_LEAST_DAYS = 7  # weekdays differ, and a period should have all of them


@dataclass(frozen=True)
class Periods:
    """How long the test and each validation fold are, where there are event times; `notes` say why."""

    test: timedelta
    validation: timedelta
    notes: tuple[str, ...] = ()


def choose(times: NDArray[np.datetime64], labels: NDArray[Any], case: UseCase, as_of: np.datetime64) -> Periods:
    """The lengths of test and validation: as the use case says, or by the number of positives where it says "auto".

    "auto" is the shortest whole number of days, at least 7, that holds `training.positives` positives at the end of
    the labelled span; validation is chosen in the same way before the test. Half of the span stays for what is fitted
    before the first fold; of the other half, less the label's delay, the test takes half at most, and each fold its
    part of the rest. Where that leaves the test less than 7 days, it takes no more than a fold does. A day is least.
    `times` (UTC) and `labels` (0 or 1) are of the events whose labels are known at `as_of`, shape (n,).
    """
    training, delay = case.training, case.label.delay
    times = times.astype("datetime64[us]")
    end = as_of.astype("datetime64[us]") - np.timedelta64(delay)
    span: timedelta = (end - times.min().astype("datetime64[D]")).item() if len(times) else timedelta(0)
    room = span / 2 - delay
    for_test = room / 2 if room / 2 >= _LEAST_DAYS * DAY else room / (1 + training.folds)
    positive = times[labels == 1]
    test, told = _period("test", training.test, positive, end, for_test, training.positives)
    known_end = end - np.timedelta64(test + delay)
    most = (room - test) / training.folds
    validation, also = _period("validation", training.validation, positive, known_end, most, training.positives)
    return Periods(test, validation, (*told, *also))


def _period(
    key: str,
    given: timedelta | Literal["auto"],
    positive: NDArray[np.datetime64],
    end: np.datetime64,
    most: timedelta,
    wanted: int,
) -> tuple[timedelta, tuple[str, ...]]:
    """The length of the period that ends at `end`, and why; no reason where the use case gives the length."""
    if given != "auto":
        return given, ()
    longest = max(1, most // DAY)
    # An event at the end is no more in the period, one a day before it still in the last day.
    back = np.sort(-((positive[positive < end] - end) // np.timedelta64(DAY)))
    needed = max(_LEAST_DAYS, int(back[wanted - 1])) if len(back) >= wanted else None
    days = longest if needed is None else min(needed, longest)
    found = int((back <= days).sum())
    plural = "day" if days == 1 else "days"
    what = f"training.{key} is {days}d: the {plural} up to {str(end)[:10]} with {found:,} positives"
    if needed == days:
        return days * DAY, (f"{what} ({wanted:,} or more wanted, in {_LEAST_DAYS} days or more)",)
    asked = f"{wanted:,} in {_LEAST_DAYS} days or more" if days < _LEAST_DAYS else f"{wanted:,}"
    return days * DAY, (f"{what}; {asked} were wanted, but more days would leave too few to fit on",)
