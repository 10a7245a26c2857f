"""The parts of a training set: what a model is fitted on, chosen by, and tested on."""

from datetime import datetime

import numpy as np
import pandas as pd

from serin.use_case import UseCase

SPLIT = "serin_split"
EVENT_TIME = "serin_event_time"
PARTS = ("fit", "validation", "test")


def split_by_time(times: "pd.Series[pd.Timestamp]", case: UseCase, as_of: datetime) -> "pd.Series[str]":
    """The part of each event: fit, gap, validation, test, or "" in the gap between validation and test.

        fit … │ gap │ validation │ gap │ test │ label.delay │ as_of          each gap is label.delay long

    A model that goes live at the start of a period has seen no label younger than the delay, so each gap makes
    what follows it what serving will be. The first gap's labels are known when the test period starts: the model
    that is tested may be fitted on them, the one that is judged on validation may not.
    """
    test_end = pd.Timestamp(as_of) - case.label.delay
    test_start = test_end - case.training.test
    validation_end = test_start - case.label.delay
    validation_start = validation_end - case.training.validation
    part = pd.Series("", index=times.index)
    part[times < validation_start] = "gap"
    part[times < validation_start - case.label.delay] = "fit"
    part[(times >= validation_start) & (times < validation_end)] = "validation"
    part[(times >= test_start) & (times < test_end)] = "test"
    return part


def split_by_entity(frame: pd.DataFrame, case: UseCase) -> "pd.Series[str]":
    """The part of each row of a table without times, from a hash of its entities; without any, of its features.

    An entity stays in its part for good, so a champion is never compared on rows it was trained on. Rows that are
    the same in all features fall into one part.
    """
    keys = frame[[*case.entities.values()] or [*case.features.request]].astype(str).agg("|".join, axis=1)
    hashed = pd.util.hash_array(keys.to_numpy(dtype=object), categorize=False)
    place = hashed / np.float64(2**64)
    test, validation = case.training.test_share, case.training.validation_share
    names = np.select([place < test, place < test + validation], ["test", "validation"], "fit")
    return pd.Series(names, index=frame.index)
