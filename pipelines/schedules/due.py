"""When schedules are due: arithmetic on times that are passed in. All times are UTC."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, takewhile

from croniter import croniter

from pipelines.schedules import Scheduled

_MOST_COUNTED = 1000  # ticks: a clock that was a year behind would have some hundred thousand
_JUMP = timedelta(minutes=1)  # backwards; less is a clock being set right


def following(cron: str, moment: datetime) -> datetime:
    """The first time of a schedule after `moment`."""
    found: datetime = croniter(cron, moment).get_next(datetime)
    return found


def passed(cron: str, after: datetime, until: datetime) -> int:
    """How many times of a schedule lie after one moment and not after another; counted to 1,000."""
    times = croniter(cron, after).all_next(datetime)
    return sum(1 for _ in takewhile(lambda time: time <= until, islice(times, _MOST_COUNTED)))


@dataclass(frozen=True)
class Due:
    """A run to start now: the time that it was due first, and how many times of its schedule passed since."""

    scheduled: Scheduled
    since: datetime
    missed: int


@dataclass(frozen=True)
class Agenda:
    """What is due next, by title, as of the moment of the last look."""

    entries: Mapping[str, tuple[Scheduled, datetime]]
    looked: datetime

    def updated(self, schedules: Iterable[Scheduled], now: datetime) -> "Agenda":
        """The agenda of these schedules: one whose times are as they were stays due when it was, a new one is due next.

        Where the clock was put back, all are reckoned anew: they would be late by as much as it was ahead.
        """
        back = now < self.looked - _JUMP
        entries = {}
        for each in schedules:
            known = None if back else self.entries.get(each.title)
            same = known and known[0].schedule.cron == each.schedule.cron
            entries[each.title] = (each, known[1] if known and same else following(each.schedule.cron, now))
        return Agenda(entries, now)

    def due(self, now: datetime) -> Due | None:
        """What has waited longest, the first of its use case where several have; None where nothing is due."""
        ready = [(time, each) for each, time in self.entries.values() if time <= now]
        if not ready:
            return None
        since, each = min(ready, key=lambda one: one[0])
        return Due(each, since, passed(each.schedule.cron, since, now))

    def started(self, due: Due, now: datetime) -> "Agenda":
        """The agenda once that run was started: what passed until now is not made up for."""
        each = due.scheduled
        entries = {**self.entries, each.title: (each, following(each.schedule.cron, now))}
        return replace(self, entries=entries, looked=now)

    def next(self) -> datetime | None:
        """The next time that something is due."""
        return min((time for _, time in self.entries.values()), default=None)


def agenda(schedules: Iterable[Scheduled], now: datetime) -> Agenda:
    """An agenda that begins now: what was due before is nobody's."""
    return Agenda({}, now).updated(schedules, now)
