"""What a model version reads online, compiled from the feature views that it is trained with."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from serin.columns import TypeName
from serin.online.plan import LogPlan, OnlinePlan, WindowPlan
from serin.ports import ServedView
from serin.use_case import UseCase, WindowView
from serin.windows.aggregations import AGGREGATIONS, HopState
from serin.windows.events import EventSchema
from serin.windows.hops import States

_MICROSECOND = timedelta(microseconds=1)


def online_plan(case: UseCase, views: Sequence[ServedView], project: str) -> OnlinePlan:
    """The views as they are read online; `project` is the Feast project that has them."""
    windowed = [view for view in views if isinstance(view.definition, WindowView)]
    return OnlinePlan(
        tables=tuple(view.plan(project) for view in views if view not in windowed),
        windows=tuple(
            WindowPlan(view=view.name, key=view.key, definition=view.definition, ttl=_seconds(view.ttl))
            for view in windowed
        ),
        logs=log_plans(case, windowed, project),
        requests_are_events=case.features.requests_are_events,
        stale=case.features.stale,
        unavailable=case.features.unavailable,
    )


def log_plans(case: UseCase, views: Sequence[ServedView], project: str) -> dict[str, LogPlan]:
    """The event logs of window views, by the column that names the entity, each with all that its views take."""
    keys = dict.fromkeys(view.key for view in views)
    return {
        key: LogPlan(
            project=project,
            use_case=case.name,
            key=key,
            key_type=case.data.columns[key].type,
            events=event_schema(case, [view.definition for view in views if view.key == key]),
        )
        for key in keys
    }


def event_schema(case: UseCase, views: Sequence[object]) -> EventSchema:
    """What window views of one entity take of an event, and how far back they reach; other views take nothing.

    A column that the use case no longer has is left out: what older versions make of it is missing then, and counted.
    """
    windows = [view for view in views if isinstance(view, WindowView)]
    types: dict[str, TypeName] = {name: column.type for name, column in case.data.columns.items()}
    taken = {
        (AGGREGATIONS[feature.aggregation].takes, feature.column)
        for view in windows
        for feature in view.features
        if feature.column in types
    }
    return EventSchema(
        timestamp=case.timestamp or "",
        key={name: types[name] for name in case.data.key},
        numbers=tuple(sorted(column for takes, column in taken if column and takes == "numbers")),
        codes={column: types[column] for takes, column in sorted(taken) if takes == "codes"},
        since=max((view.reach // _MICROSECOND for view in windows), default=0),
        **_merging(windows),
    )


def _merging(windows: Sequence[WindowView]) -> dict[str, Any]:
    """What the schema says of hops: the states that the views with one take, and how far back events are needed one by
    one beside them. Nothing where other views reach as far."""
    exact = [view.reach // _MICROSECOND for view in windows if not view.hop]
    delays = [feature.delay // _MICROSECOND for view in windows if view.hop for feature in view.features]
    raw = max([*exact, *delays], default=0)
    states: dict[int, set[tuple[HopState, str]]] = defaultdict(set)
    for view in windows:
        if view.hop and view.reach // _MICROSECOND > raw:
            for feature in view.features:
                states[view.hop // _MICROSECOND].add((AGGREGATIONS[feature.aggregation].kept, feature.column or ""))
    hops: dict[int, States] = {hop: tuple(sorted(states[hop])) for hop in sorted(states)}
    return {"raw": raw, "hops": hops} if hops else {}


def _seconds(ttl: timedelta | None) -> float | None:
    return None if ttl is None else ttl.total_seconds()
