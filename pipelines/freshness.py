"""How old the features are that a use case's models are served with."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from components.features.plan import log_plans
from serin.errors import SerinError
from serin.platform import Platform
from serin.ports import ServedView
from serin.times import DAY, EPOCH, format_duration
from serin.use_case import UseCase, WindowView


def freshness(platform: Platform, case: UseCase, now: datetime) -> dict[str, Any]:
    """Of each feature view as the use case has it, the time as of which the online store has it. Of each entity's event
    log, up to when it has the events of the last refresh, and the time of the latest event that was pushed since.

    Times are ISO 8601, null for never; `age_seconds` is from the later of them to `now`. `problem` says why nothing can
    be told.
    """
    views, logs, problem = [], [], ""
    try:
        if case.views:
            served = _served(platform, case)
            views = [_aged({"view": name, "as_of": _latest(platform, each)}, now) for name, each in served.items()]
            logs = [_aged(log, now) for log in _logs(platform, case, served)]
    except SerinError as error:
        problem = str(error)
    return {"views": views, "logs": logs, "problem": problem}


def in_words(age: float | None) -> str:
    """An age of so many seconds, to the largest unit that is whole: minutes, hours or days."""
    if age is None:
        return ""
    whole = timedelta(seconds=int(age))
    unit = next(
        (unit for unit in (DAY, timedelta(hours=1), timedelta(minutes=1)) if whole >= unit), timedelta(seconds=1)
    )
    return format_duration(whole // unit * unit)


def _served(platform: Platform, case: UseCase) -> dict[str, list[ServedView]]:
    """The views of the use case, each with what versions of it are served with that are computed as it is now."""
    found: dict[str, list[ServedView]] = {name: [] for name in case.views}
    kept = platform.features.kept(case.name).values()
    for view in {view.name: view for views in kept for view in views}.values():
        if case.views.get(view.view) == view.definition:
            found[view.view].append(view)
    return found


def _latest(platform: Platform, views: list[ServedView]) -> datetime | None:
    return max((at for view in views if (at := platform.features.published(view))), default=None)


def _logs(platform: Platform, case: UseCase, served: dict[str, list[ServedView]]) -> Iterator[dict[str, Any]]:
    windows = [view for views in served.values() for view in views if isinstance(view.definition, WindowView)]
    for key, log in log_plans(case, windows, platform.features.project).items():
        meta = platform.features.online.meta(log)
        # A log that was never filled may have been pushed to.
        end, pushed = (meta.end or None, meta.pushed) if meta else (None, None)
        yield {"entity": key, "as_of": _moment(end), "pushed": _moment(pushed)}


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else EPOCH + timedelta(microseconds=microseconds)


def _aged(found: dict[str, Any], now: datetime) -> dict[str, Any]:
    times = [value for value in found.values() if isinstance(value, datetime)]
    age = (now - max(times)).total_seconds() if times else None
    texts = {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in found.items()
    }
    return texts | {"age_seconds": age}
