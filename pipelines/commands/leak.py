"""`serin leak`."""

from datetime import datetime

from components.features.remade import TrainingSets
from components.ingest.run import run as ingest
from components.leak.report import COLUMNS, WORDS, feature_rows, html
from components.leak.run import look_for_leaks
from components.leak.verdict import Leaks, as_data, sentences
from pipelines.console import Console
from pipelines.titles import TITLES
from serin.atomic import write_text
from serin.platform import Platform
from serin.use_case import UseCase


def run(console: Console, platform: Platform, name: str, as_of: str, limit: float) -> bool:
    """Look for features that know too much, print what was found, keep the report; whether there is nothing to tell."""
    case = platform.own_use_case(name)
    console.title(f"Looking for leaks in {case.name}")
    with console.hearing(), console.working("look at what is stored"):
        moment = ingest(platform, case, "", as_of).known_at
    with console.hearing(), console.working(TITLES["leak"]):
        found = look(platform, case, moment, limit)
    report = platform.workspace.state / "report" / f"{case.model_name}-leak.html"
    write_text(report, html(found, case))
    console.table(COLUMNS, feature_rows(found))
    (console.good if found.verdict == "clean" else console.bad)(WORDS[found.verdict])
    for line in sentences(found, case):
        console.say(f"  - {line}")
    console.say(f"report: {report}")
    console.result({**as_data(found, case), "report": report})
    return found.verdict == "clean"


def look(platform: Platform, case: UseCase, as_of: datetime, limit: float) -> Leaks:
    """The experiments with the stored events before a time."""
    sets = TrainingSets.stored(platform, case, as_of)
    return look_for_leaks(sets.own, case, sets.remade, later=sets.later, as_of=as_of.isoformat(), limit=limit)
