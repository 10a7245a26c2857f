"""Recurring runs as use cases ask for them, and the writes that make them so."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.catalogue import pipelines, pools_of
from pipelines.schedules import Scheduled, scheduled, without_schedules
from pipelines.schedules.reconcile import Action, changes, key_of, plan
from serin.errors import ConflictError, UseCaseError
from serin.platform import reference_of
from serin.ports import Recurrence, RecurringRuns
from serin.use_case import UseCase

Teller = Callable[[Action, Sequence[str]], None]


@dataclass(frozen=True)
class Wanted:
    """A recurring run to be: what makes it, its pipeline, and the use case that is published for it."""

    recurrence: Recurrence
    pipeline: Any
    published: UseCase


def wanted(recurring: RecurringRuns, case: UseCase) -> list[Wanted]:
    """The recurring runs that a use case asks for. Nothing is published, uploaded or made.

    Raises UseCaseError: a table that no pod can read.
    """
    published, known = without_schedules(case), pipelines(pools_of(case))
    reference = reference_of(published)
    return [
        Wanted(
            recurring.recurrence(
                case.name, each.name, each.schedule.cron, known[each.pipeline], _arguments(each, reference)
            ),
            known[each.pipeline],
            published,
        )
        for each in scheduled(case)
    ]


def carry_out(
    recurring: RecurringRuns,
    asked: Sequence[Wanted],
    cases: Collection[str],
    publish: Callable[[UseCase], object],
    tell: Teller,
) -> tuple[Action, ...]:
    """Make the recurring runs of `cases` those that are asked for; returns what was done, each told after it was.

    What is created is published before. It can be killed between any two writes, and the next one goes on. Raises
    ConflictError where somebody else changes the same recurring runs, or the backend keeps one otherwise than asked.
    """
    goal = [each.recurrence for each in asked]
    wanted_of = {key_of(each.recurrence): each for each in asked}

    def create(one: Action) -> None:
        made = wanted_of[one.key]
        publish(made.published)
        recurring.create(made.recurrence, made.pipeline)

    done = _written(recurring, plan(goal, recurring.found(), cases), create, tell)
    if any(one.verb == "create" for one in done):
        # Two at once each make theirs: the older stays.
        after = changes(plan(goal, recurring.found(), cases))
        for one in after:
            if one.verb == "create":
                raise ConflictError(
                    f"the recurring run of {one.key[1]} of {one.key[0]} is not as it was just made: {one.why}. Does "
                    "somebody else change it? `serin schedule list` shows what there is"
                )
        done += _written(recurring, after, create, tell)
    return tuple(done)


def take_back(recurring: RecurringRuns, cases: Collection[str], tell: Teller) -> tuple[Action, ...]:
    """Disable the recurring runs of `cases`, and delete those without runs in flight; returns what was done."""
    disabled = _written(recurring, changes(plan([], recurring.found(), cases)), _nothing, tell)
    return (*disabled, *_written(recurring, plan([], recurring.found(), cases), _nothing, tell))


def _nothing(_: Action) -> None:
    """Where nothing is asked for, nothing is created."""


def _written(
    recurring: RecurringRuns, actions: Sequence[Action], create: Callable[[Action], None], tell: Teller
) -> list[Action]:
    """Make the writes; those that were made: what has runs in flight is not deleted."""
    done = []
    for one in actions:
        in_flight = recurring.in_flight(one.run) if one.run else ()
        held = one.verb == "delete" and bool(in_flight)
        if one.run is None:
            create(one)
        elif one.verb == "disable":
            recurring.disable(one.run)
        elif not held:
            recurring.delete(one.run)
        tell(one, in_flight)
        done += [] if held else [one]
    return done


def _arguments(each: Scheduled, reference: str) -> dict[str, Any]:
    arguments = each.arguments(reference)
    data = arguments.get("data", "")
    if data and "://" not in data:
        raise UseCaseError(
            f"{each.case.name}: schedules.{each.name}.data is {data!r}, a path of one machine; allowed on a cluster: "
            "a URI, such as s3://bucket/table.parquet"
        )
    return arguments
