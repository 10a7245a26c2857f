"""The features of window views, by whatever engine the use case names."""

from collections.abc import Callable
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from serin.online.rows import EVENT_TIMESTAMP
from serin.ports import ServedView
from serin.use_case import UseCase, WindowView
from serin.windows.query import Columns, window_features

# As `window_features`; components.features.spark.window_engine has the one that the use case names.
Engine = Callable[..., pa.Table]


def event_features(
    case: UseCase,
    events: pa.Table,
    view: ServedView,
    asked: pa.Table | None = None,
    *,
    engine: Engine = window_features,
) -> pa.Table:
    """The features of a window view at the time of each event, or of each row of `asked`, in their order."""
    return engine(events, _windows(view), Columns(view.key, view.timestamp or "", case.data.key), asked)


def entity_features(
    case: UseCase, events: pa.Table, view: ServedView, as_of: datetime, *, engine: Engine = window_features
) -> pa.Table:
    """The features of each entity of `events` as of a time, without an event of its own.

    One row an entity: its key, `event_timestamp` and the features.
    """
    keys = pc.drop_null(pc.unique(events[view.key]))
    times = pa.array([as_of] * len(keys), pa.timestamp("us", tz="UTC"))
    past = view.model_copy(update={"definition": _windows(view).model_copy(update={"current": False})})
    asked = pa.table({view.key: keys, view.timestamp or "": times})
    found = event_features(case, events, past, asked, engine=engine)
    return pa.table({view.key: keys, EVENT_TIMESTAMP: times} | {name: found[name] for name in found.column_names})


def _windows(view: ServedView) -> WindowView:
    if not isinstance(view.definition, WindowView):
        raise TypeError(f"{view.name} has no windows")
    return view.definition
