"""`serin push`."""

from components.features.push import PushedTable, push_events, push_labels
from components.ingest.labels import label_events
from components.ingest.run import run as ingest
from pipelines.console import Console
from pipelines.titles import TITLES
from serin.errors import UseCaseError
from serin.platform import Platform
from serin.storage import absolute
from serin.use_case import UseCase


def run(console: Console, platform: Platform, name: str, table: str, labels: bool) -> None:
    """Bring a table of events, or of labels, into the stored events and into the online store.

    Whatever a run before was killed at, the same command goes on from there: what is stored or online already is that
    again, and new to neither.
    """
    case = platform.own_use_case(name)
    if not case.data.key or not case.timestamp:
        raise UseCaseError(
            f"{case.name}: events that are pushed have a time and a key, by which one is told from another; declare "
            "`timestamp` and `data.key`"
        )
    console.title(f"Pushing {'labels' if labels else 'events'} of {case.name}")
    (_labels if labels else _events)(console, platform, case, absolute(table))


def _events(console: Console, platform: Platform, case: UseCase, table: str) -> None:
    with console.hearing(), console.working(TITLES["ingest"]):
        done = ingest(platform, case, table, "", keep_labels=True).ingested
    if done is None or done.events is None:
        return
    with console.hearing(), console.working(TITLES["push"]):
        online = push_events(platform, case, done.events)
    console.good(f"{done.rows:,} events: {done.new:,} new, {done.corrected:,} corrected, {done.known:,} known")
    _tell(console, online, "events")
    stored = {"rows": done.rows, "new": done.new, "corrected": done.corrected, "known": done.known}
    console.result({**stored, "quarantined": done.quarantined, "quarantine": done.quarantine, **_online(online)})


def _labels(console: Console, platform: Platform, case: UseCase, table: str) -> None:
    with console.hearing(), console.working(TITLES["labels"]):
        done = label_events(platform, case, table)
    with console.hearing(), console.working(TITLES["push"]):
        online = push_labels(platform, case, done.events)
    console.good(f"{done.rows:,} labels: {done.corrected:,} corrected, {done.known:,} known")
    if done.quarantined:
        of_them = f", {done.not_found:,} of them of events that are not stored" if done.not_found else ""
        console.bad(f"{done.quarantined:,} rows set aside{of_them}: {done.quarantine}")
    _tell(console, online, "labels")
    stored = {"rows": done.rows, "corrected": done.corrected, "known": done.known, "not_found": done.not_found}
    console.result({**stored, "quarantined": done.quarantined, "quarantine": done.quarantine, **_online(online)})


def _tell(console: Console, online: PushedTable, what: str) -> None:
    if online.old:
        console.say(f"{online.old:,} {what} are older than any window reaches online: they are stored, and not pushed")
    if online.merged:
        console.say(
            f"{online.merged:,} {what} are of a time whose hops are merged online: windows with a hop count them from "
            "the next `serin refresh` on"
        )


def _online(online: PushedTable) -> dict[str, object]:
    return {
        "online": dict(online.pushed),
        "new_online": dict(online.new),
        "too_old": online.old,
        "merged": online.merged,
    }
