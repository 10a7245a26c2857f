"""The training set of a use case, and the same rows made again of other labels: nothing is published or declared."""

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from components.features.engine import event_features
from components.features.served import served_view
from components.features.training_set import EventFeatures, ViewTable, training_set
from serin import partitions
from serin.learning.split import EVENT_TIME, SPLIT, start_of_test
from serin.online.rows import EVENT_TIMESTAMP
from serin.platform import Platform
from serin.ports import ViewSource
from serin.use_case import TableView, UseCase, WindowView

# Other labels in place of n events' own, given their times (NaT where rows have none) and labels (NaN where unknown).
Relabel = Callable[[NDArray[np.datetime64], NDArray[np.float64]], NDArray[np.float64]]


class TrainingSets:
    """The training sets of one use case as of one time, of its labels as they are and of others.

    All have the same rows in the same order. The features go the way that a training's go, from the stored events on.
    """

    def __init__(self, events: pa.Table, case: UseCase, as_of: datetime) -> None:
        self._events = events
        self._case = case
        self._as_of = as_of

    @classmethod
    def stored(cls, platform: Platform, case: UseCase, as_of: datetime) -> "TrainingSets":
        """Those of the stored events before a time. Raises DataError where none are stored."""
        where = ds.field(case.timestamp) < pa.scalar(as_of) if case.timestamp else None
        events = partitions.read(platform.workspace.events(case.name), where=where, timestamp=case.timestamp).table
        return cls(events, case, as_of)

    @cached_property
    def own(self) -> pd.DataFrame:
        """The training set of the labels as they are. Raises DataError as a training does."""
        return training_set(self._events, _views(self._case, self._events, self._as_of), self._case, self._as_of)

    def remade(self, relabel: Relabel) -> pd.DataFrame:
        """The training set that other labels would have made."""
        return self._again(self._case, _relabelled(self._events, self._case, relabel))

    @property
    def later(self) -> Callable[[], pd.DataFrame] | None:
        """Makes the training set whose label-fed windows are delayed by another `label.delay`; None without any."""
        delayed = _delayed(self._case)
        return (lambda: self._again(delayed, self._events)) if delayed else None

    def _again(self, case: UseCase, events: pa.Table) -> pd.DataFrame:
        """The same split, whatever the labels: its lengths are those found before. One long fold has both classes."""
        case = _with_periods(case, self.own, self._as_of)
        # What is to be said of the parts was said of the first one.
        with redirect_stdout(io.StringIO()):
            return training_set(events, _views(case, events, self._as_of), case, self._as_of)


def _views(case: UseCase, events: pa.Table, as_of: datetime) -> list[ViewTable | EventFeatures]:
    return [_view(case, events, name, view, as_of) for name, view in case.views.items()]


def _view(
    case: UseCase, events: pa.Table, name: str, view: WindowView | TableView, as_of: datetime
) -> ViewTable | EventFeatures:
    key = case.entities[view.entity]
    if isinstance(view, WindowView):
        features = tuple(feature.name for feature in view.features)
        source = ViewSource(name, (key,), EVENT_TIMESTAMP, None, features)
        return EventFeatures(name, event_features(case, events, served_view(case, source)))
    times = pa.array([as_of] * len(events), pa.timestamp("us", tz="UTC"))
    table = events.select([key, *view.columns]).append_column(EVENT_TIMESTAMP, times)
    return ViewTable(name, table, key, EVENT_TIMESTAMP, None, view.columns)


def _relabelled(events: pa.Table, case: UseCase, relabel: Relabel) -> pa.Table:
    name = case.label.column
    kind = events.schema.field(name).type
    given = pc.cast(events[name], pa.float64()).to_numpy().astype(np.float64)
    times = np.full(len(events), np.datetime64("NaT"))
    if case.timestamp:
        times = pc.cast(events[case.timestamp], pa.timestamp("us")).to_numpy()
    other = pa.array(relabel(times, given), from_pandas=True).cast(kind)
    return events.set_column(events.column_names.index(name), name, other)


def _delayed(case: UseCase) -> UseCase | None:
    label, fed = case.label, False
    views: dict[str, WindowView] = {}
    for name, view in case.features.windows.items():
        features = []
        for feature in view.features:
            of_label = feature.column == label.column
            fed |= of_label
            later = {"delay": feature.delay + label.delay} if of_label else {}
            features.append(feature.model_copy(update=later))
        views[name] = view.model_copy(update={"features": tuple(features)})
    if not fed or not label.delay:
        return None
    return case.model_copy(update={"features": case.features.model_copy(update={"windows": views})})


def _with_periods(case: UseCase, frame: pd.DataFrame, as_of: datetime) -> UseCase:
    """The use case with the test period that was found, and one fold: the later half of what is known."""
    changes: dict[str, Any] = {"folds": 1}
    if case.timestamp:
        begin = start_of_test(frame)
        known_end = begin - case.label.delay
        first = frame.loc[frame[SPLIT] == "known", EVENT_TIME].min()
        changes["test"] = (pd.Timestamp(as_of) - case.label.delay - begin).to_pytimedelta()
        changes["validation"] = ((known_end - first) / 2).floor("s").to_pytimedelta()
    return case.model_copy(update={"training": case.training.model_copy(update=changes)})
