"""The demo's story, chapter by chapter; each does what a person would do with `serin`."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pandas as pd

from components.drift.run import DriftCheck, check_drift
from components.rollout.controller import Event
from components.rollout.states import RolloutState
from pipelines import runs
from pipelines.commands import rollout as rollout_command
from pipelines.console import Console
from serin.adapters.local.lease import held
from serin.demo import oversized, stage
from serin.demo.server import free_port, serving
from serin.demo.stage import Calendar
from serin.demo.traffic import Traffic
from serin.deployments import deployment_name
from serin.errors import SerinError
from serin.reports.page import Tone
from serin.use_case import CandidateName, UseCase
from serin.workspace import Workspace

ROWS = 180_000
SEED = 7
PORT = 8080
# The third version: as accurate a forest as you like, and far too many trees to answer in time.
BAD_CANDIDATE: CandidateName = "random_forest"
BAD_PARAMETERS = {"n_estimators": 600, "max_depth": 6, "max_samples": 0.02, "n_jobs": 2}
# How the demo's workspace is used after it, from the checkout.
COMMAND = ".venv/bin/serin"
_QUIET, _LIVELY = 15.0, 60.0


@dataclass
class Story:
    """What has happened so far; the chapters add to it, the report reads it."""

    console: Console
    workspace: Workspace
    case: UseCase
    calendar: Calendar
    transactions: pd.DataFrame
    traffic: Traffic
    port: int
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    moments: list[tuple[datetime, str, str, Tone]] = field(default_factory=list)
    events: list[tuple[datetime, str]] = field(default_factory=list)
    versions: dict[str, runs.Trained] = field(default_factory=dict)
    checks: dict[str, DriftCheck] = field(default_factory=dict)
    rollouts: dict[str, RolloutState] = field(default_factory=dict)
    weights: dict[str, list[int]] = field(default_factory=dict)

    def tell(self, what: str, detail: str, tone: Tone = "good") -> None:
        """Note a moment, and print it."""
        self.moments.append((datetime.now(UTC), what, detail, tone))
        self.console.good(f"{what}: {detail}")

    def mark(self, text: str) -> None:
        """Note an event for the time line of the traffic."""
        self.events.append((datetime.now(UTC), text))

    def day(self, moment: datetime) -> pd.DataFrame:
        """The transactions of the day that starts at `moment`."""
        times = self.transactions["TX_DATETIME"]
        return self.transactions[(times >= moment) & (times < moment + timedelta(days=1))]

    def table(self, moment: datetime) -> str:
        """A file with the transactions before `moment`."""
        return stage.table_until(self.transactions, moment, self.workspace.state / "tables")


@contextmanager
def prepared(console: Console, main: Workspace) -> Iterator[Story]:
    """Everything that the chapters need; at the end, and whatever happens, nothing is left running.

    Raises ConflictError when another demo runs in this checkout.
    """
    with held(main.state / "demo.lock", "the demo"):
        workspace, case = stage.set_up(main)
        # The steps of a pipeline and the predictors are processes; this is how they learn where things lie.
        os.environ["SERIN_ROOT"] = str(workspace.root)
        stage.start_over(workspace, case)
        calendar, port = Calendar(), free_port(PORT)
        with console.working("simulate card transactions"):
            transactions = _simulate(calendar)
        yield Story(console, workspace, case, calendar, transactions, Traffic(port, case.model_name), port)


def train_first(story: Story) -> None:
    """Chapter 1: a first model from the days before the drift."""
    moment = story.calendar.trained
    table = story.table(moment)
    trained = runs.train(story.workspace, story.case, table, moment.isoformat(), story.console.progress)
    story.versions["first"] = trained
    story.tell(f"champion v{trained.version} trained", _judged(trained, "on a held-back week"))


@contextmanager
def served(story: Story) -> Iterator[None]:
    """Chapter 2: `serin serve`, until the block ends."""
    version = story.versions["first"].version
    with ExitStack() as stack:
        with story.console.working("start predictor and gateway"):
            stack.enter_context(serving(story.workspace, story.case, version, story.port))
        story.tell("served", f"http://127.0.0.1:{story.port}, HTTP and gRPC through Envoy")
        story.mark(f"v{version} serves")
        yield


def calm_day(story: Story) -> None:
    """Chapter 3: a day like those before. No drift must be found."""
    day = story.calendar.trained
    with story.console.working("live traffic, a day like those before"):
        story.traffic.play(story.day(day).iloc[: _enough(story)], rate=150)
    story.checks["calm"] = _check_drift(story, day + timedelta(days=1))
    if story.checks["calm"].decision.retrain:
        raise _not_as_told("drift was found on a day without drift", story.checks["calm"])
    story.tell("no drift on a calm day", story.checks["calm"].decision.reasons[0])


def drifted_day(story: Story) -> None:
    """Chapter 4: a week into the new behaviour, with features of that morning. Drift must be found."""
    from components.features.run import refresh
    from components.ingest.store import ingest

    day = story.calendar.a_week_later
    with story.console.working("a week passes; refresh the features"):
        ingest(story.workspace, story.case, story.table(day), day)
        refresh(story.workspace, story.case, day)
    story.mark("drift switched on")
    with story.console.working("live traffic with drift switched on"):
        story.traffic.play(story.day(day).iloc[: _enough(story)], rate=150)
    story.checks["drifted"] = _check_drift(story, day + timedelta(days=1))


def retrain(story: Story) -> None:
    """Chapter 5: the drift pipeline, run when the labels are in: it finds the drift and trains."""
    moment = story.calendar.labels_known
    trained = runs.retrain(
        story.workspace,
        story.case,
        story.table(moment),
        (story.calendar.a_week_later + timedelta(days=1)).isoformat(),
        moment.isoformat(),
        story.console.progress,
    )
    check = story.checks["drifted"]
    if trained is None:
        raise _not_as_told("no drift was found on a day with drift", check)
    story.tell("drift found", "; ".join(check.decision.reasons[:2]), "warn")
    story.versions["second"] = trained
    story.tell(f"v{trained.version} trained", f"{_judged(trained, 'on a later week')}, gate {trained.gate}")


def roll_out(story: Story, chapter: str) -> None:
    """Chapters 6 and 7: a canary under live traffic, to the end that its measurements bring about."""
    from components.rollout.run import roll_out_version

    version = story.versions[chapter].version
    shares: dict[str, int] = {}
    seen = story.weights.setdefault(chapter, [])

    def follow(event: Event) -> None:
        rollout_command.tell(story.console, event)
        if event.weights != shares:
            shares.clear()
            shares.update(event.weights)
            seen.append(shares.get(deployment_name(story.case, version), 0))
            story.mark(", ".join(f"{name.rpartition('-')[2]} {weight} %" for name, weight in shares.items() if weight))

    with story.traffic.around(story.day(story.calendar.labels_known), _LIVELY):
        story.rollouts[chapter] = roll_out_version(story.workspace, story.case, version, follow, force=True)
        time.sleep(3)
    state = story.rollouts[chapter]
    if state.phase == "Promoted":
        story.tell(f"v{version} promoted", "all traffic, and the alias champion")
    else:
        story.tell(f"v{version} rolled back", state.reason, "bad")


def train_bad(story: Story) -> None:
    """Chapter 7: a version that is deliberately bad, put up by hand: thousands of trees are too slow to serve."""
    found = oversized.make(story.workspace, story.case, BAD_CANDIDATE, BAD_PARAMETERS, story.calendar.labels_known)
    story.versions["bad"] = found
    story.tell(
        f"v{found.version} registered, deliberately bad",
        f"a forest of {BAD_PARAMETERS['n_estimators']:,} trees; gate {found.gate}",
        "warn",
    )


def check_end(story: Story, lost: int) -> None:
    """Raises SerinError where the story did not end as it should, so that `make demo` fails."""
    phases = (story.rollouts["second"].phase, story.rollouts["bad"].phase)
    if phases != ("Promoted", "RolledBack"):
        reasons = "; ".join(f"{state.canary}: {state.phase}, {state.reason}" for state in story.rollouts.values())
        raise SerinError(f"the demo did not go as told: {reasons}")
    if lost:
        raise SerinError(f"{lost} requests got no prediction")


@contextmanager
def background(story: Story) -> Iterator[None]:
    """A few requests a second while the block works: what is served goes on being served."""
    with story.traffic.around(story.day(story.calendar.a_week_later), _QUIET):
        yield


def _simulate(calendar: Calendar) -> pd.DataFrame:
    from serin.simulate import simulate

    return simulate(seed=SEED, start=calendar.start, days=calendar.days, rows=ROWS, drift_at=calendar.drift.date())


def _check_drift(story: Story, as_of: datetime) -> DriftCheck:
    # The predictor writes its log every second.
    time.sleep(1.5)
    with story.console.working("compare the logged predictions with the training reference"):
        return check_drift(story.workspace, story.case, as_of)


def _enough(story: Story) -> int:
    return story.case.drift.min_rows + 300


def _not_as_told(problem: str, check: DriftCheck) -> SerinError:
    return SerinError(f"the demo did not go as told: {problem}: {'; '.join(check.decision.reasons)}")


def _judged(trained: runs.Trained, where: str) -> str:
    return (
        f"{trained.manifest.candidate}, average precision {trained.manifest.metrics['average_precision']:.3f} {where}"
    )
