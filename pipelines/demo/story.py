"""The demo's story, chapter by chapter; each does what a person would do with `serin`."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from components.adapters import processes
from components.adapters.locks import held
from components.adapters.model_registry import ModelRegistry
from components.drift.run import DriftCheck, check_drift
from components.report.page import Tone
from components.rollout.controller import Event
from components.rollout.logic import RolloutState
from components.serving.run import serving_target
from pipelines.commands import retrain as retrain_command
from pipelines.commands import rollout as rollout_command
from pipelines.commands import train as train_command
from pipelines.console import Console
from pipelines.demo import oversized, stage
from pipelines.demo.stage import Calendar
from pipelines.demo.traffic import Traffic
from pipelines.local import Run
from serin.artifact import Manifest, verify
from serin.errors import SerinError, UnavailableError
from serin.use_case import CandidateName, UseCase
from serin.workspace import Workspace

ROWS = 230_000
SEED = 7
PORT = 8080
# The third version: as accurate a forest as you like, and far too many trees to answer in time.
BAD_CANDIDATE: CandidateName = "random_forest"
BAD_PARAMETERS = {"n_estimators": 600, "max_depth": 6, "max_samples": 0.02, "n_jobs": 2}
# How the demo's workspace is used after it, from the checkout.
COMMAND = ".venv/bin/serin"
_READY_SECONDS = 120.0
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
    manifests: dict[str, tuple[int, Manifest, str]] = field(default_factory=dict)
    checks: dict[str, DriftCheck] = field(default_factory=dict)
    rollouts: dict[str, RolloutState] = field(default_factory=dict)

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
        calendar, port = Calendar(), _free_port(PORT)
        with console.working("simulate card transactions"):
            transactions = _simulate(calendar)
        yield Story(console, workspace, case, calendar, transactions, Traffic(port, case.model_name), port)


def train_first(story: Story) -> None:
    """Chapter 1: a first model from the days before the drift."""
    moment = story.calendar.trained
    run = train_command.train(story.console, story.workspace, story.case, story.table(moment), moment.isoformat())
    _remember(story, "first", run)
    manifest = story.manifests["first"][1]
    story.tell(
        f"champion v{story.manifests['first'][0]} trained",
        f"{manifest.candidate}, average precision {manifest.metrics['average_precision']:.3f} on a held-back week",
    )


@contextmanager
def served(story: Story) -> Iterator[None]:
    """Chapter 2: `serin serve` in its own process, until the block ends."""
    target = serving_target(story.workspace, story.case)
    command = [sys.executable, "-m", "pipelines", "serve", story.case.name, "--port", str(story.port)]
    log = story.workspace.state / "serve.log"
    child = processes.spawn(command, log, os.environ, story.workspace.root)
    try:
        with story.console.working("start predictor and gateway"):
            name = f"{story.case.model_name}-v{story.manifests['first'][0]}"
            _await(lambda: target.status(name).ready and _answers(story.port), child, log)
        story.tell("served", f"http://127.0.0.1:{story.port}, HTTP and gRPC through Envoy")
        story.mark(f"v{story.manifests['first'][0]} serves")
        yield
    finally:
        processes.stop([child], grace=40.0)


def calm_day(story: Story) -> None:
    """Chapter 3: a day like those before. No drift must be found."""
    day = story.calendar.trained
    with story.console.working("live traffic, a day like those before"):
        story.traffic.play(story.day(day).iloc[: _enough(story)], rate=150)
    story.checks["calm"] = _check_drift(story, day + timedelta(days=1))
    _expect(not story.checks["calm"].decision.retrain, "drift was found on a day without drift", story.checks["calm"])
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
    decision, version = retrain_command.retrain(
        story.console,
        story.workspace,
        story.case,
        story.table(moment),
        (story.calendar.a_week_later + timedelta(days=1)).isoformat(),
        moment.isoformat(),
    )
    check = story.checks["drifted"]
    _expect(decision == "retrain" and version is not None, "no drift was found on a day with drift", check)
    story.tell("drift found", "; ".join(check.decision.reasons[:2]), "warn")
    registry = ModelRegistry(story.workspace)
    found = registry.version(story.case.model_name, version or 0)
    folder = registry.fetch(found, story.workspace.state / "fetched" / f"v{found.version}")
    manifest = verify(folder)
    story.manifests["second"] = (found.version, manifest, found.tags["serin.gate"])
    story.tell(
        f"v{found.version} trained",
        f"{manifest.candidate}, average precision {manifest.metrics['average_precision']:.3f}, "
        f"gate {found.tags['serin.gate']}",
    )


def roll_out(story: Story, chapter: str) -> None:
    """Chapters 6 and 7: a canary under live traffic, to the end that its measurements bring about."""
    from components.rollout.run import roll_out_version

    version = story.manifests[chapter][0]
    shares: dict[str, int] = {}

    def follow(event: Event) -> None:
        rollout_command.tell(story.console, event)
        if event.weights != shares:
            shares.clear()
            shares.update(event.weights)
            story.mark(", ".join(f"{name.rpartition('-')[2]} {weight} %" for name, weight in shares.items() if weight))

    with story.traffic.around(story.day(story.calendar.labels_known), _LIVELY):
        story.rollouts[chapter] = roll_out_version(story.workspace, story.case, version, follow)
        time.sleep(3)
    state = story.rollouts[chapter]
    if state.phase == "Promoted":
        story.tell(f"v{version} promoted", "all traffic, and the alias champion")
    else:
        story.tell(f"v{version} rolled back", state.reason, "bad")


def train_bad(story: Story) -> None:
    """Chapter 7: a version that is deliberately bad, put up by hand: thousands of trees are too slow to serve."""
    found = oversized.make(story.workspace, story.case, BAD_CANDIDATE, BAD_PARAMETERS, story.calendar.labels_known)
    story.manifests["bad"] = found
    story.tell(
        f"v{found[0]} registered, deliberately bad",
        f"a forest of {BAD_PARAMETERS['n_estimators']:,} trees; gate {found[2]}",
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
    from components.simulate.logic import simulate

    return simulate(seed=SEED, start=calendar.start, days=calendar.days, rows=ROWS, drift_at=calendar.drift.date())


def _check_drift(story: Story, as_of: datetime) -> DriftCheck:
    # The predictor writes its log every second.
    time.sleep(1.5)
    with story.console.working("compare the logged predictions with the training reference"):
        return check_drift(story.workspace, story.case, as_of)


def _remember(story: Story, chapter: str, run: Run) -> None:
    manifest, version, gate = train_command.outcome(run)
    train_command.keep_report(story.workspace, story.case, run)
    story.manifests[chapter] = (version, manifest, gate)


def _enough(story: Story) -> int:
    return story.case.drift.min_rows + 300


def _expect(as_told: bool, problem: str, check: DriftCheck) -> None:
    if not as_told:
        raise SerinError(f"the demo did not go as told: {problem}: {'; '.join(check.decision.reasons)}")


def _await(ready: object, child: object, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not ready():  # type: ignore[operator]
        if child.poll() is not None or time.monotonic() > deadline:  # type: ignore[attr-defined]
            tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            raise UnavailableError(f"serin serve did not start; {log} ends:\n  " + "\n  ".join(tail))
        time.sleep(0.2)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port(wanted: int) -> int:
    """`wanted`, or another where that is taken."""
    for number in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UnavailableError("no free port on 127.0.0.1")
