"""The ingest step as a pipeline runs it: with a table or without, and with a time to look from."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow.compute as pc

from components.ingest.store import Ingested, ingest
from serin import partitions, storage
from serin.errors import DataError
from serin.platform import Platform
from serin.progress import say
from serin.times import parse_time
from serin.use_case import UseCase
from serin.workspace import Workspace


@dataclass(frozen=True)
class IngestRun:
    """What is stored now, from when it is looked at, and what a table added to it."""

    snapshot: str
    known_at: datetime
    source: str
    ingested: Ingested | None

    def markdown(self) -> str:
        """A summary for the Kubeflow UI."""
        lines = [f"Events `{self.snapshot}`, looked at as of **{self.known_at:%Y-%m-%d %H:%M} UTC**."]
        if self.ingested:
            done = self.ingested
            lines += ["", "| | rows |", "|---|---|"]
            lines += [f"| good, from `{self.source}` | {done.rows:,} |", f"| new | {done.added:,} |"]
            lines += [f"| quarantined | {done.quarantined:,} |"]
            lines += ["", *(f"- {note}" for note in done.notes)]
        return "\n".join(lines) + "\n"


def run(platform: Platform, case: UseCase, source: str, as_of: str) -> IngestRun:
    """Ingest `source` ("" for none) and settle the time to look from ("" for the end of the data).

    The end of the data is the midnight after the last event, and for a table without event times today's midnight.
    Raises DataError where nothing is stored and no table is given, for a time in the future, and for one before the
    only snapshot.
    """
    moment = parse_time(as_of) if as_of else None
    # Two ingests at once could both rewrite a partition, and the later one would undo the earlier.
    workspace = platform.workspace
    with platform.lease.hold(f"ingest-{case.name}", wait=True):
        done = ingest(workspace, case, source, moment or _today()) if source else None
    folder = workspace.events(case.name)
    if not storage.files(folder):
        raise DataError(f"no events of {case.name} are stored; give a table: --data TABLE")
    if done:
        for note in done.notes:
            say(note)
        say(_summary(done))
    known_at = moment or _end(workspace, case)
    _check_time(workspace, case, known_at)
    # An event at `known_at` itself is not looked at; a snapshot table has the date of its ingest.
    last = (known_at - timedelta(microseconds=1) if case.timestamp else known_at).date().isoformat()
    return IngestRun(partitions.snapshot(folder, last), known_at, source, done)


def _check_time(workspace: Workspace, case: UseCase, known_at: datetime) -> None:
    """A time that nothing is known of is a typing error, and features of it would be served for good."""
    if case.timestamp:
        end = max(_end(workspace, case), _today() + timedelta(days=1))
        if known_at > end:
            raise DataError(
                f"--as-of {known_at:%Y-%m-%d %H:%M} lies in the future; the latest allowed is {end:%Y-%m-%d %H:%M}"
            )
        return
    first = partitions.dates(workspace.events(case.name))[0]
    if known_at.date().isoformat() < first:
        raise DataError(
            f"no snapshot of {case.name} is known as of {known_at:%Y-%m-%d}; the one that is stored is of {first}"
        )


def _summary(done: Ingested) -> str:
    text = f"{done.rows:,} good rows, {done.added:,} of them new"
    if done.quarantine:
        text += f"; {done.quarantined:,} bad rows set aside, with reasons: {done.quarantine}"
    return text


def _end(workspace: Workspace, case: UseCase) -> datetime:
    folder = workspace.events(case.name)
    if not case.timestamp:
        return _today()
    newest = partitions.location(folder, partitions.dates(folder)[-1])
    last: datetime = pc.max(storage.read_table(newest, columns=[case.timestamp])[case.timestamp]).as_py()
    return last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
