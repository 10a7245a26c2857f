"""The demo's story, chapter by chapter; each does with `serin` what a person would do."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Protocol

import pandas as pd

from serin.adapters.local import loopback
from serin.demo import stage
from serin.demo.terminal import Result, Terminal
from serin.demo.traffic import Traffic
from serin.errors import ConflictError, SerinError
from serin.reports.page import Moment, Tone
from serin.reports.timelines import Mark
from serin.times import DAY
from serin.use_case import UseCase
from serin.workspace import Workspace

# The days of the story, each from its midnight (UTC).
START, DAYS, ROWS, SEED = date(2025, 12, 18), 129, 230_000, 7
# By now the first model has seen 30-day windows for weeks.
TRAINED = date(2026, 3, 5)
# Customers and fraudsters behave differently from now on; a week later the windows are full of it.
DRIFT, A_WEEK_LATER = date(2026, 3, 7), date(2026, 3, 14)
# Two weeks of the new behaviour can be learnt from: validation and test week, and the labels' delay after each of the
# three parts, lie between.
LABELS_KNOWN = date(2026, 4, 25)

PORT = 8080
_QUIET, _LIVELY, _BUSY = 15.0, 60.0, 150.0  # requests a second
_LOG_SECONDS = 3.0


class Narrator(Protocol):
    """Prints what happens; pipelines.console.Console is one."""

    def title(self, text: str) -> None:
        """A line that starts a chapter."""

    def say(self, text: str = "") -> None:
        """A line."""

    def good(self, text: str) -> None:
        """A line that says that something went well."""

    def bad(self, text: str) -> None:
        """A line that says that something did not."""

    def working(self, text: str) -> AbstractContextManager[None]:
        """A sign that something goes on while the block runs."""


@dataclass
class Story:
    """What has happened so far: the chapters add to it, the page reads it.

    `trained`, `checks` and `rollouts` hold the JSON results of commands by the chapter's word: first, second and bad;
    calm and drifted.
    """

    narrator: Narrator
    terminal: Terminal
    case: UseCase
    port: int
    traffic: Traffic
    transactions: pd.DataFrame = field(default_factory=pd.DataFrame)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    moments: list[Moment] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    trained: dict[str, Result] = field(default_factory=dict)
    checks: dict[str, Result] = field(default_factory=dict)
    rollouts: dict[str, Result] = field(default_factory=dict)

    def tell(self, what: str, detail: str, tone: Tone = "good") -> None:
        """Note a moment, and print it."""
        self.moments.append(Moment(f"{datetime.now(UTC):%H:%M:%S}", what, detail, tone))
        (self.narrator.bad if tone == "bad" else self.narrator.good)(f"{what}: {detail}")

    def mark(self, text: str) -> None:
        """Put a mark on the time line of the traffic."""
        self.marks.append(Mark(datetime.now(UTC), text))

    def fate(self, chapter: str) -> str:
        """What became of a version that was rolled out: promoted, rolled back, or another phase in words."""
        phase: str = self.rollouts[chapter]["phase"]
        return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in phase).strip()

    def day(self, day: date) -> pd.DataFrame:
        """The transactions of a day."""
        start = pd.Timestamp(day, tz="UTC")
        times = self.transactions["TX_DATETIME"]
        return self.transactions[(times >= start) & (times < start + DAY)]


def tell(narrator: Narrator, main: Workspace) -> Story:
    """Play every chapter; whatever happens, nothing is left running.

    Raises SerinError where a command fails, or drift is found on the wrong day.
    """
    workspace, case = stage.set_up(main)
    narrator.say(f"$ cd {workspace.root}")
    port = _free_port(PORT)
    story = Story(narrator, Terminal(workspace, narrator.say), case, port, Traffic(port, case.model_name))

    def chapter(title: str) -> None:
        narrator.say()
        narrator.title(title)

    chapter("1/7  A first model")
    train_first(story)
    chapter("2/7  Serving")
    with served(story):
        chapter("3/7  A calm day")
        calm_day(story)
        chapter("4/7  Customers and fraudsters change")
        drifted_day(story)
        chapter("5/7  Six weeks on, the labels are in: look for drift, retrain")
        retrain(story)
        chapter("6/7  The new version as a canary")
        roll_out(story, "second")
        chapter("7/7  A deliberately bad version")
        train_bad(story)
        roll_out(story, "bad", "--force")
    return story


def train_first(story: Story) -> None:
    """A table of transactions, and a model of those before the drift: what comes after TRAINED is not looked at."""
    made = story.terminal.serin(
        "simulate", f"--rows={ROWS}", f"--days={DAYS}", f"--start={START}", f"--drift-at={DRIFT}", f"--seed={SEED}"
    )
    story.transactions = pd.read_parquet(story.terminal.workspace.root / made["file"])
    trained = story.terminal.serin("train", stage.NAME, "--data", made["file"], "--as-of", str(TRAINED))
    story.trained["first"] = trained
    story.tell(f"champion v{trained['version']} trained", _judged(trained))


@contextmanager
def served(story: Story) -> Iterator[None]:
    """`serin serve`, until the block ends."""
    with story.terminal.serving(stage.NAME, story.port, story.traffic.answered):
        story.tell("served", f"http://127.0.0.1:{story.port}, HTTP and gRPC through Envoy")
        story.mark(f"v{story.trained['first']['version']} serves")
        yield


def calm_day(story: Story) -> None:
    """A day like those before. No drift must be found."""
    _play(story, TRAINED, "live traffic, a day like those before")
    check = _check(story, "calm", TRAINED)
    if check["verdict"] != "no_drift":
        raise _not_as_told("a day without drift", check)
    story.tell("no drift on a calm day", check["reasons"][0])


def drifted_day(story: Story) -> None:
    """A week into the new behaviour, with features of that morning. Drift must be found."""
    story.terminal.serin("refresh", stage.NAME, "--as-of", str(A_WEEK_LATER))
    story.mark("drift switched on")
    _play(story, A_WEEK_LATER, "live traffic with drift switched on")
    check = _check(story, "drifted", A_WEEK_LATER)
    if check["verdict"] != "drift":
        raise _not_as_told("a day with drift", check)
    story.tell("drift found", "; ".join(check["reasons"][:2]), "warn")


def retrain(story: Story) -> None:
    """The drift pipeline, run when the labels are in: it finds the drift itself, and trains."""
    with _background(story, A_WEEK_LATER):
        trained = story.terminal.serin(
            "retrain", stage.NAME, "--drift-as-of", str(A_WEEK_LATER + DAY), "--as-of", str(LABELS_KNOWN)
        )
    if trained["decision"] != "retrain":
        raise _not_as_told("a day with drift, by the pipeline", story.checks["drifted"])
    story.trained["second"] = trained
    story.tell(f"v{trained['version']} trained", f"{_judged(trained)}, gate {trained['gate']}")


def train_bad(story: Story) -> None:
    """A use case that asks for something foolish, trained and judged like any other."""
    story.narrator.say(f"$ edit pipelines/use_cases/{stage.NAME}.yaml  # estimators: a forest of {stage.TREES} trees")
    with stage.oversized(story.terminal.workspace), _background(story, LABELS_KNOWN):
        trained = story.terminal.serin("train", stage.NAME, "--as-of", str(LABELS_KNOWN))
    story.trained["bad"] = trained
    detail = f"a forest of {stage.TREES:,} trees; gate {trained['gate']}"
    story.tell(f"v{trained['version']} registered, deliberately bad", detail, "warn")


def roll_out(story: Story, chapter: str, *options: str) -> None:
    """A canary under live traffic, to the end that its measurements bring about."""
    version = story.trained[chapter]["version"]
    with story.traffic.around(story.day(LABELS_KNOWN), _LIVELY):
        done = story.terminal.serin("rollout", stage.NAME, f"--version={version}", *options, may_fail=True)
        time.sleep(_LOG_SECONDS)
    story.rollouts[chapter] = done
    shown: dict[str, int] = {}
    for update in done["updates"]:
        if update["weights"] != shown:
            shown = update["weights"]
            story.marks.append(Mark(datetime.fromisoformat(update["time"]), _shares(shown)))
    if done["phase"] == "Promoted":
        story.tell(f"v{version} {story.fate(chapter)}", "all traffic, and the alias champion")
    else:
        story.tell(f"v{version} {story.fate(chapter)}", done["reason"], "bad")


def check_end(story: Story, lost: int) -> None:
    """Raises SerinError where the story did not end as it should, so that `make demo` fails."""
    phases = [story.rollouts[chapter]["phase"] for chapter in ("second", "bad")]
    if phases != ["Promoted", "RolledBack"]:
        reasons = "; ".join(f"{done['canary']}: {done['phase']}, {done['reason']}" for done in story.rollouts.values())
        raise SerinError(f"the demo did not go as told: {reasons}")
    if lost:
        raise SerinError(f"{lost} requests got no prediction")


def _play(story: Story, day: date, text: str) -> None:
    rows = story.day(day).iloc[: story.case.drift.min_rows + 300]
    with story.narrator.working(text):
        story.traffic.play(rows, _BUSY)
        # The predictor brings its log to the store every second.
        time.sleep(_LOG_SECONDS)


def _check(story: Story, chapter: str, day: date) -> Result:
    story.checks[chapter] = story.terminal.serin("drift", stage.NAME, "--as-of", str(day + DAY))
    return story.checks[chapter]


def _background(story: Story, day: date) -> AbstractContextManager[None]:
    """A few requests a second: what is served goes on being served."""
    return story.traffic.around(story.day(day), _QUIET)


def _shares(weights: dict[str, int]) -> str:
    return ", ".join(f"{name.rpartition('-')[2]} {weight} %" for name, weight in weights.items() if weight)


def _judged(trained: Result) -> str:
    return (
        f"{trained['estimator']}, average precision {trained['metrics']['average_precision']:.3f} on a held-back week"
    )


def _not_as_told(day: str, check: Result) -> SerinError:
    return SerinError(f"the demo did not go as told: {check['verdict']} on {day}: {'; '.join(check['reasons'])}")


def _free_port(wanted: int) -> int:
    """`wanted`, or another where that is taken."""
    try:
        loopback.check_free(wanted)
    except ConflictError:
        return loopback.free_ports(1)[0]
    return wanted
