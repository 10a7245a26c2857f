"""The loop of `serin watch`: it looks at the clock and at the use case files, and runs what is due, one at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.schedules import Scheduled, scheduled
from pipelines.schedules.due import Agenda, Due, agenda
from serin import use_case
from serin.errors import SerinError
from serin.platform import Platform

_LOOK = 10.0  # seconds between two looks: the clock may be set, and files edited
_LATE = timedelta(minutes=2)


@dataclass(frozen=True)
class Surroundings:
    """What the loop works with.

    `schedules` gives those of now; `run` runs a pipeline to its end and raises SerinError where it fails; `clock` gives
    the time (UTC), `sleep` waits for seconds. `title`, `say` and `bad` take a line for whoever looks on.
    """

    schedules: Callable[[], Sequence[Scheduled]]
    run: Callable[[Scheduled], None]
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    title: Callable[[str], None]
    say: Callable[[str], None]
    bad: Callable[[str], None]


def watch(around: Surroundings) -> None:
    """Run what is due until KeyboardInterrupt, which goes on to the caller. What fails is told and is due again."""
    plan = agenda(around.schedules(), around.clock())
    around.say("\n".join(_times(plan)))
    while True:
        plan = look(plan, around)
        now, coming = around.clock(), plan.next()
        wait = (coming - now).total_seconds() if coming else _LOOK
        around.sleep(min(_LOOK, max(0.0, wait)))


def look(before: Agenda, around: Surroundings) -> Agenda:
    """Take up what changed, and run what has waited longest, if anything has."""
    now = around.clock()
    plan = before.updated(around.schedules(), now)
    for line in _changes(before, plan):
        around.say(line)
    due = plan.due(now)
    if due is None:
        return plan
    around.title(f"{now:%Y-%m-%d %H:%M} {due.scheduled.title}")
    if late := _lateness(due, now):
        around.say(late)
    plan = plan.started(due, now)
    try:
        around.run(due.scheduled)
    except SerinError as error:
        around.bad(f"{due.scheduled.title} failed: {error}")
    except Exception as error:  # noqa: BLE001  whatever one run ends with, the others are still due
        around.bad(f"{due.scheduled.title} failed: {type(error).__name__}: {error}")
    around.say(_next(plan, due.scheduled.title, around.clock()))
    return plan


def _times(plan: Agenda) -> Iterator[str]:
    for title, (each, time) in sorted(plan.entries.items(), key=lambda entry: entry[1][1]):
        yield f"  {time:%a %Y-%m-%d %H:%M}  {title} ({each.schedule.cron})"


def _changes(before: Agenda, after: Agenda) -> Iterator[str]:
    for title in before.entries.keys() - after.entries.keys():
        yield f"{title}: no longer scheduled"
    for title, (each, time) in after.entries.items():
        known = before.entries.get(title)
        if known is None or known[0].schedule.cron != each.schedule.cron:
            yield f"{title}: now at {each.schedule.cron}, next {time:%a %Y-%m-%d %H:%M}"
        elif known[0] != each:
            yield f"{title}: the use case was changed, and counts from the next run on"
        elif known[1] > time:
            yield f"{title}: the clock was put back, next {time:%a %Y-%m-%d %H:%M}"


def _lateness(due: Due, now: datetime) -> str:
    """Why a run comes late, where it does; times that passed while nobody could start it are not made up for."""
    if now - due.since < _LATE and not due.missed:
        return ""
    more = f"; {due.missed} later times passed too, and are not made up for" if due.missed else ""
    return f"it was due on {due.since:%a %Y-%m-%d %H:%M}: this machine slept or was busy{more}"


def _next(plan: Agenda, title: str, now: datetime) -> str:
    time = plan.entries[title][1]
    return f"next: {'at once' if time <= now else f'{time:%a %Y-%m-%d %H:%M}'}"


class Files:
    """The schedules of use case files as they are now; a file that can't be read counts as it was, and is told."""

    def __init__(self, platform: Platform, names: Sequence[str], bad: Callable[[str], None]) -> None:
        """`names` are use cases; none: all there are."""
        self._platform, self._names, self._bad = platform, names, bad
        self._known: dict[str, tuple[str, tuple[Scheduled, ...]]] = {}
        self._began = False

    def __call__(self) -> list[Scheduled]:
        """Raises UseCaseError where a file can't be read at the first look."""
        names = self._names or use_case.names(self._platform.workspace.use_cases)
        found = [each for name in names for each in self._of(name)]
        self._began = True
        return found

    def _of(self, name: str) -> tuple[Scheduled, ...]:
        path = self._platform.workspace.use_cases / f"{name}.yaml"
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        before, found = self._known.get(name, (None, ()))
        if before == text:
            return found
        try:
            found = tuple(scheduled(self._platform.own_use_case(name)))
        except SerinError as error:
            if not self._began:
                raise
            self._bad(f"{error}\n  until that is mended, {name} runs as it was")
        self._known[name] = (text, found)
        return found
