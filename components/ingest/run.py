"""The ingest step as a pipeline runs it: with a table or without, and with a time to look from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow.compute as pc

from components.ingest.store import Ingested, ingest
from serin import partitions
from serin.errors import DataError
from serin.partitions import Damaged
from serin.platform import Platform
from serin.progress import say
from serin.times import parse_time
from serin.use_case import UseCase


@dataclass(frozen=True)
class IngestRun:
    """What is stored now, from when it is looked at, what a table did to it, and the files that are passed over."""

    snapshot: str
    known_at: datetime
    source: str
    ingested: Ingested | None
    damaged: tuple[Damaged, ...]

    def markdown(self) -> str:
        """A summary for the Kubeflow UI."""
        lines = [f"Events `{self.snapshot}`, looked at as of **{self.known_at:%Y-%m-%d %H:%M} UTC**."]
        if done := self.ingested:
            lines += ["", f"From `{self.source}`:", "", "| | rows |", "|---|---|"]
            counts = ("rows", "new", "corrected", "known", "deleted", "quarantined")
            lines += [f"| {'good' if name == 'rows' else name} | {getattr(done, name):,} |" for name in counts]
        told = [*(self.ingested.notes if self.ingested else ()), *(f"passed over: {one.cause}" for one in self.damaged)]
        lines += ["", *(f"- {line}" for line in told)]
        return "\n".join(lines) + "\n"


def run(
    platform: Platform,
    case: UseCase,
    source: str,
    as_of: str,
    *,
    replace_days: bool = False,
    keep_labels: bool = False,
) -> IngestRun:
    """Ingest `source` ("" for none) and settle the time to look from ("" for the end of the data).

    The end of the data is the midnight after the last event, and for a table without event times today's midnight.
    Raises DataError where nothing is stored and no table is given, for a time in the future, and for one before the
    only snapshot.
    """
    moment = parse_time(as_of) if as_of else None
    folder = platform.workspace.events(case.name)
    # Two ingests at once could both rewrite a partition, and the later one would undo the earlier.
    with platform.lease.hold(f"ingest-{case.name}", wait=True):
        done = None
        if source:
            options = {"replace_days": replace_days, "keep_labels": keep_labels}
            done = ingest(platform.workspace, case, source, moment or _today(), **options)
    if done:
        for line in _told(done, case):
            say(line)
    damaged = partitions.damaged(folder, case.timestamp)
    for one in damaged:
        say(f"passed over: {one.cause}; `serin doctor` says how to mend it")
    dates = _sound_dates(folder, case, damaged)
    end = _end(folder, case, dates[-1])
    known_at = moment or end
    _check_time(case, known_at, end, dates[0])
    # An event at `known_at` itself is not looked at; a snapshot table has the date of its ingest.
    last = (known_at - timedelta(microseconds=1) if case.timestamp else known_at).date().isoformat()
    snapshot = partitions.snapshot(folder, last, {one.location for one in damaged})
    return IngestRun(snapshot, known_at, source, done, tuple(damaged))


def _sound_dates(folder: str, case: UseCase, damaged: Sequence[Damaged]) -> list[str]:
    dates = partitions.dates(folder)
    if not dates:
        raise DataError(f"no events of {case.name} are stored; give a table: --data TABLE")
    sound = [date for date in dates if partitions.location(folder, date) not in {one.location for one in damaged}]
    if not sound:
        causes = "".join(f"\n  {one.cause}" for one in damaged)
        raise DataError(f"no sound events of {case.name} are stored; ingest their table again: --data TABLE{causes}")
    return sound


def _check_time(case: UseCase, known_at: datetime, end: datetime, first: str) -> None:
    """A time that nothing is known of is a typing error, and features of it would be served for good."""
    if case.timestamp:
        latest = max(end, _today() + timedelta(days=1))
        if known_at > latest:
            raise DataError(
                f"--as-of {known_at:%Y-%m-%d %H:%M} lies in the future; the latest allowed is {latest:%Y-%m-%d %H:%M}"
            )
    elif known_at.date().isoformat() < first:
        raise DataError(
            f"no snapshot of {case.name} is known as of {known_at:%Y-%m-%d}; the one that is stored is of {first}"
        )


def _told(done: Ingested, case: UseCase) -> list[str]:
    """What an ingest did, in sentences; what it deleted above all."""
    counts = [f"{done.rows:,} good rows", f"{done.new:,} new"]
    counts += [f"{done.corrected:,} corrected"] * bool(done.corrected) + [f"{done.known:,} known"] * bool(done.known)
    lines = [*done.notes, ", ".join(counts)]
    if done.quarantined:
        lines.append(f"{done.quarantined:,} bad rows set aside, with reasons: {done.quarantine}")
    if done.deleted and case.timestamp:
        lines.append(f"{done.deleted:,} stored rows of the replaced days are deleted")
    elif done.deleted:
        what = "entities" if case.data.key else "rows"
        lines.append(f"{done.deleted:,} {what} are gone from the snapshot")
    lines += [f"{one.cause}; set aside as {one.location}, and its date written anew" for one in done.replaced]
    return lines


def _end(folder: str, case: UseCase, newest: str) -> datetime:
    if not case.timestamp:
        return _today()
    times = partitions.read(folder, [case.timestamp], first=newest, last=newest).table[case.timestamp]
    last: datetime = pc.max(times).as_py()
    return last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
