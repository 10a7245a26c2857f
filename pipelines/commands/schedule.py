"""`serin schedule apply|diff|list|remove`."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pipelines.console import Console
from pipelines.schedules.due import following
from pipelines.schedules.reconcile import Action, changes, plan
from pipelines.schedules.recurring import Wanted, carry_out, take_back, wanted
from serin import use_case
from serin.errors import NotFoundError, UnavailableError
from serin.platform import Platform
from serin.ports import RecurringRun, RecurringRuns


def apply(console: Console, platform: Platform, name: str, host: str) -> None:
    """Make the recurring runs match the use cases, and print what was written."""
    recurring = _recurring(platform, host)
    asked = _asked(platform, name, recurring)
    cases = _named(platform, name)
    console.title(f"Recurring runs of {', '.join(cases)}")
    done = carry_out(recurring, asked, cases, platform.publish, _teller(console))
    if not changes(done):
        console.good("they are as the use cases have them")
    if not name:
        _tell_of_others(console, platform, recurring.found())
    console.next("serin schedule list")
    console.result({"use_cases": cases, "actions": [_action(one) for one in done]})


def diff(console: Console, platform: Platform, name: str, host: str) -> bool:
    """Print what `apply` would write; whether there is anything."""
    recurring = _recurring(platform, host)
    asked = _asked(platform, name, recurring)
    cases = _named(platform, name)
    found = recurring.found()
    needed = changes(plan([each.recurrence for each in asked], found, cases))
    for one in needed:
        console.say(f"  {'+' if one.verb == 'create' else '-'} {_title(one)}: {one.why}")
    if needed:
        console.next(f"serin schedule apply {name}".rstrip())
    else:
        console.good(f"{', '.join(cases)}: recurring runs are as the use cases have them")
    if not name:
        _tell_of_others(console, platform, found)
    console.result({"equal": not needed, "use_cases": cases, "actions": [_action(one) for one in needed]})
    return bool(needed)


def show(console: Console, platform: Platform, name: str, host: str) -> None:
    """Print the recurring runs that there are, Serin's and those of others."""
    recurring = _recurring(platform, host)
    found = [run for run in recurring.found() if not name or (run.recurrence and run.recurrence.use_case == name)]
    ours = [run for run in found if run.recurrence]
    others = [run for run in found if not run.recurrence]
    now = datetime.now(UTC)
    if ours:
        console.table(("recurring run", "cron (UTC)", "next"), [_row(run, now) for run in ours])
    else:
        console.say("no recurring run was made by Serin")
    _tell_of_others(console, platform, ours)
    if others:
        console.say(f"made by others, and left alone: {', '.join(run.name for run in others)}")
    console.result({"recurring_runs": [_run(run) for run in ours], "others": [_run(run) for run in others]})


def remove(console: Console, platform: Platform, name: str, host: str) -> None:
    """Disable the recurring runs of a use case, or of all of this workspace, and delete those whose runs have ended."""
    recurring, here = _recurring(platform, host), _named(platform, "")
    has = sorted({run.recurrence.use_case for run in recurring.found() if run.recurrence})
    if name and name not in {*here, *has}:
        raise NotFoundError(
            f"{name!r} is no use case of this workspace, and has no recurring run; those that have: "
            f"{', '.join(has) or 'none'}"
        )
    cases = [name] if name else here
    console.title(f"Recurring runs of {', '.join(cases)}")
    done = take_back(recurring, cases, _teller(console))
    if not done:
        console.good("there are none to disable or delete")
    console.result({"use_cases": cases, "actions": [_action(one) for one in done]})


def _recurring(platform: Platform, host: str) -> RecurringRuns:
    try:
        return platform.kubeflow(host).recurring
    except UnavailableError as error:
        raise UnavailableError(f"{error}. On one machine, `serin watch` runs the same schedules") from None


def _asked(platform: Platform, name: str, recurring: RecurringRuns) -> list[Wanted]:
    cases = [platform.own_use_case(each) for each in _named(platform, name)]
    return [each for case in cases for each in wanted(recurring, case)]


def _named(platform: Platform, name: str) -> list[str]:
    return [name] if name else use_case.names(platform.workspace.use_cases)


def _tell_of_others(console: Console, platform: Platform, found: Sequence[RecurringRun]) -> None:
    """Use cases with recurring runs and without a file here: another workspace has them, or they were deleted."""
    running = {run.recurrence.use_case for run in found if run.recurrence}
    for case in sorted(running - set(_named(platform, ""))):
        console.say(f"{case} is no use case of this workspace; `serin schedule remove {case}` ends its recurring runs")


def _teller(console: Console) -> Callable[[Action, Sequence[str]], None]:
    def tell(one: Action, in_flight: Sequence[str]) -> None:
        going = f"; in flight: {', '.join(in_flight)}" if in_flight else ""
        if one.verb == "delete" and in_flight:
            console.say(f"  {_title(one)}: kept until its runs have ended{going}")
        else:
            console.good(f"{one.verb}d {_title(one)}: {one.why}{going}")

    return tell


def _title(one: Action) -> str:
    case, schedule = one.key
    return f"{schedule} of {case}" + (f" ({one.run.name})" if one.run else "")


def _row(run: RecurringRun, now: datetime) -> tuple[str, str, str]:
    return (run.name, run.recurrence.cron if run.recurrence else "", _next(run, now))


def _next(run: RecurringRun, now: datetime) -> str:
    if not run.enabled or not run.recurrence:
        return "disabled"
    try:
        return f"{following(run.recurrence.cron, now):%a %Y-%m-%d %H:%M}"
    except ValueError:
        return "somebody else's time"


def _run(run: RecurringRun) -> dict[str, Any]:
    kept = vars(run.recurrence) if run.recurrence else {}
    return {"id": run.id, "name": run.name, "enabled": run.enabled, "created": run.created.isoformat(), **kept}


def _action(one: Action) -> dict[str, Any]:
    return {
        "verb": one.verb,
        "use_case": one.key[0],
        "schedule": one.key[1],
        "why": one.why,
        "recurring_run": one.run.name if one.run else None,
    }
