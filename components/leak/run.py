"""The leak step: three experiments with a training set and whoever can make it again."""

from collections.abc import Callable

import pandas as pd

from components.leak import quick
from components.leak.alone import ranked
from components.leak.future import from_future
from components.leak.shuffled import Remake, shuffled
from components.leak.verdict import LIMIT, Leaks
from serin.learning.encoding import labels
from serin.learning.split import SPLIT
from serin.progress import say
from serin.use_case import UseCase


def look_for_leaks(
    frame: pd.DataFrame,
    case: UseCase,
    remake: Remake,
    *,
    later: Callable[[], pd.DataFrame] | None = None,
    as_of: str = "",
    limit: float = LIMIT,
) -> Leaks:
    """Look for features of the training set `frame` that know too much; see components.leak.verdict for what is told.

    `remake` makes the training set anew of other labels; `later` makes it with label-fed windows that are delayed by
    another `label.delay`, None where there are none. Rows and their order are the same in all of them.
    """
    say("turns labels round that were not known yet")
    future = from_future(frame, remake, case)
    say("shuffles the labels")
    found = shuffled(remake, case)
    say(f"fits each of {len(case.feature_names)} features alone")
    alone = ranked(frame, case, later() if later else None)
    test = frame[frame[SPLIT] == "test"]
    return Leaks(
        as_of=as_of,
        rows=len(frame),
        positives=int(labels(test, case).sum()),
        estimator=quick.estimator(),
        limit=limit,
        shuffled=found,
        future=future,
        ranked=alone,
    )
