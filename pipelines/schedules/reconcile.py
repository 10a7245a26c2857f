"""From the recurring runs that a backend has to those that the use cases ask for. Pure functions.

A recurring run can't be changed: a new one is made first, then the old one is disabled, and a later apply deletes it
once none of its runs is in flight, for these would end with it. Whatever an apply that was killed left behind, the plan
made from it ends at the same state.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from serin.ports import Recurrence, RecurringRun

Verb = Literal["create", "disable", "delete"]
Key = tuple[str, str]


@dataclass(frozen=True)
class Action:
    """One write, and why. `wanted` is what is created, `run` what is disabled or deleted."""

    verb: Verb
    key: Key
    why: str
    wanted: Recurrence | None = None
    run: RecurringRun | None = None


def plan(wanted: Sequence[Recurrence], found: Sequence[RecurringRun], cases: Collection[str]) -> tuple[Action, ...]:
    """The writes that bring the recurring runs of use cases to what is wanted, in the order to make them.

    Recurring runs of other use cases and of others than Serin are left alone.
    """
    asked = {key_of(each): each for each in wanted}
    ours: dict[Key, list[RecurringRun]] = {key: [] for key in asked}
    for run in sorted(found, key=_age):
        if run.recurrence and run.recurrence.use_case in cases:
            ours.setdefault(key_of(run.recurrence), []).append(run)
    switched = [action for key, runs in ours.items() for action in _switched(key, asked.get(key), runs)]
    deleted = [
        Action("delete", key, "disabled, and none of its runs is in flight", run=run)
        for key, runs in ours.items()
        for run in runs
        if not run.enabled
    ]
    return (*switched, *deleted)


def changes(actions: Sequence[Action]) -> tuple[Action, ...]:
    """The actions that change what runs by itself; deleting what is disabled does not."""
    return tuple(action for action in actions if action.verb != "delete")


def key_of(recurrence: Recurrence) -> Key:
    """A schedule's use case and name."""
    return (recurrence.use_case, recurrence.schedule)


def _switched(key: Key, wanted: Recurrence | None, runs: Sequence[RecurringRun]) -> Iterator[Action]:
    """At most one recurring run of a schedule stays enabled: the oldest that is as wanted.

    One that was disabled is never enabled again: the backend would start it at once for the times that it missed.
    """
    enabled = [run for run in runs if run.enabled]
    kept = next((run for run in enabled if run.recurrence == wanted), None)
    if wanted and not kept:
        why = "the one there is disabled" if runs else "there is none"
        if enabled and enabled[-1].recurrence:
            why = _difference(wanted, enabled[-1].recurrence)
        yield Action("create", key, why, wanted=wanted)
    for run in enabled:
        if run is not kept:
            why = "no longer in the use case" if wanted is None else "there are two" if kept else "replaced"
            yield Action("disable", key, why, run=run)


def _age(run: RecurringRun) -> tuple[str, str]:
    return run.created.isoformat(), run.id


def _difference(wanted: Recurrence, found: Recurrence) -> str:
    """What is not as wanted, each with what was found and what is wanted."""
    pairs = ((field.name, getattr(found, field.name), getattr(wanted, field.name)) for field in fields(Recurrence))
    return ", ".join(f"{name.replace('_', ' ')}: {old} -> {new}" for name, old, new in pairs if old != new)
