"""The features step: feature views from events, the training set, the online store."""

from datetime import datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from components.adapters.feature_store import FeatureStore, ViewSource
from components.features.training_set import ViewTable, training_set
from components.features.windows import window_features
from serin.storage import read_table, write_table
from serin.use_case import TableView, UseCase, WindowView
from serin.workspace import Workspace

EVENT_TIMESTAMP = "event_timestamp"


def refresh(workspace: Workspace, case: UseCase, as_of: datetime) -> tuple[pa.Table, tuple[ViewSource, ...]]:
    """Compute all feature views as known at `as_of`, declare them to Feast and fill the online store.

    Returns the events before `as_of` and Feast's view of the sources. Can be run again at any time: a view's
    file is replaced as a whole, and the online store takes each entity's latest row.
    """
    before = ds.field(case.timestamp) < pa.scalar(as_of) if case.timestamp else None
    events = read_table(workspace.events(case.name), where=before)
    for name, view in case.views.items():
        write_table(_view_rows(events, case, view, as_of), workspace.feature_source(case.name, name))
    store = FeatureStore(workspace)
    store.apply()
    sources = store.sources(case)
    store.materialise(case.views, as_of - timedelta(days=1), as_of)
    return events, sources


def make_training_set(workspace: Workspace, case: UseCase, as_of: datetime) -> pd.DataFrame:
    """Refresh the features, then join them to the labelled events; see `training_set`."""
    events, sources = refresh(workspace, case, as_of)
    views = [
        ViewTable(s.name, read_table(s.location), s.join_keys[0], s.timestamp_field, s.ttl, s.features) for s in sources
    ]
    return training_set(events, views, case, as_of)


def _view_rows(events: pa.Table, case: UseCase, view: WindowView | TableView, as_of: datetime) -> pa.Table:
    if isinstance(view, TableView):
        key = case.entities[view.entity]
        times = pa.array([as_of] * len(events), pa.timestamp("us", tz="UTC"))
        return events.select([key, *view.columns]).append_column(EVENT_TIMESTAMP, times)
    return window_features(events, view, case.entities[view.entity], case.timestamp or "", as_of)
