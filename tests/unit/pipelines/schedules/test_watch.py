"""The loop of `serin watch`, with a clock in which nothing takes time but waiting and the runs."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from pipelines.schedules import Scheduled
from pipelines.schedules.watch import Files, Surroundings, watch
from serin.errors import SerinError, UseCaseError
from serin.platform import Platform, build
from serin.workspace import Workspace
from tests import services


class World:
    """A workspace whose only use case is due as a test says, and somebody who looks on for as long as `lasts`."""

    def __init__(self, platform: Platform, now: datetime) -> None:
        self.platform, self.now = platform, now
        self.lasts = timedelta(hours=3)
        self.started: list[str] = []
        self.told: list[str] = []
        self.run_takes = timedelta(0)
        self.fails: Exception | None = None
        self.jumps: dict[datetime, timedelta] = {}
        self.edits: dict[datetime, dict | str] = {}

    def declare(self, schedules: dict | str) -> None:
        """Write the use case file, or text in its place."""
        file = self.platform.workspace.use_cases / "card_fraud.yaml"
        if isinstance(schedules, str):
            file.write_text(schedules)
        else:
            file.write_text(yaml.safe_dump(yaml.safe_load(SHIPPED.read_text()) | {"schedules": schedules}))

    def watch(self) -> None:
        """Until Ctrl-C."""
        around = Surroundings(
            Files(self.platform, ["card_fraud"], self.told.append), self._run, lambda: self.now, self._sleep,
            self.told.append, self.told.append, self.told.append,
        )  # fmt: skip
        with pytest.raises(KeyboardInterrupt):
            watch(around)

    def _run(self, each: Scheduled) -> None:
        self.started.append(f"{self.now:%H:%M} {each.name}")
        self._pass(self.run_takes)
        if self.fails:
            raise self.fails

    def _sleep(self, seconds: float) -> None:
        self._pass(timedelta(seconds=seconds))
        for moment in [moment for moment in self.jumps if moment <= self.now]:
            self.now += self.jumps.pop(moment)
        for moment in [moment for moment in self.edits if moment <= self.now]:
            self.declare(self.edits.pop(moment))
        if self.lasts <= timedelta(0):
            raise KeyboardInterrupt

    def _pass(self, time: timedelta) -> None:
        self.now += time
        self.lasts -= time


START = datetime(2026, 11, 25, 17, 3, tzinfo=UTC)
SHIPPED = services.CHECKOUT / "pipelines" / "use_cases" / "card_fraud.yaml"
HOURLY = {"drift": {"cron": "0 * * * *"}}


@pytest.fixture
def world(tmp_path: Path) -> World:
    root = services.workspace_copy(tmp_path / "workspace")
    made = World(build(Workspace.from_variables({"SERIN_ROOT": str(root)})), START)
    made.declare(HOURLY)
    return made


def test_next_times_are_told_at_the_start_and_after_each_run(world):
    world.watch()
    assert world.told[:5] == [
        "  Wed 2026-11-25 18:00  drift of card_fraud (0 * * * *)",
        "2026-11-25 18:00 drift of card_fraud",
        "next: Wed 2026-11-25 19:00",
        "2026-11-25 19:00 drift of card_fraud",
        "next: Wed 2026-11-25 20:00",
    ]


@pytest.mark.parametrize("error", [SerinError("no registry"), KeyError("a bug")])
def test_run_that_fails_is_told_and_is_due_again(world, error):
    world.fails = error
    world.watch()
    assert world.started == ["18:00 drift", "19:00 drift", "20:00 drift"]
    told = "no registry" if isinstance(error, SerinError) else "KeyError: 'a bug'"
    assert world.told.count(f"drift of card_fraud failed: {told}") == 3


def test_machine_that_slept_runs_once_and_says_what_it_missed(world):
    world.declare({"drift": {"cron": "*/10 * * * *"}})
    world.jumps = {START + timedelta(minutes=4): timedelta(minutes=52)}
    world.lasts = timedelta(minutes=6)
    world.watch()
    assert world.started == ["17:59 drift", "18:00 drift"]
    told = "it was due on Wed 2026-11-25 17:10: this machine slept or was busy; 4 later times passed too"
    assert f"{told}, and are not made up for" in world.told


def test_one_run_at_a_time_and_what_came_due_meanwhile_runs_once_after_it(world):
    world.declare({"training": {"cron": "50 17 * * *"}, "materialisation": {"cron": "*/15 * * * *"}})
    world.run_takes = timedelta(minutes=40)
    world.lasts = timedelta(hours=2, minutes=20)
    world.watch()
    assert world.started == [
        "17:15 materialisation",
        "17:55 materialisation",
        "18:35 training",
        "19:15 materialisation",
    ]
    assert "next: at once" in world.told


def test_edited_use_case_is_taken_up_and_told(world):
    world.edits = {START + timedelta(minutes=30): {"drift": {"cron": "45 * * * *"}, "rollout": {"cron": "50 * * * *"}}}
    world.lasts = timedelta(minutes=50)
    world.watch()
    assert world.started == ["17:45 drift", "17:50 rollout"]
    assert "drift of card_fraud: now at 45 * * * *, next Wed 2026-11-25 17:45" in world.told
    assert "rollout of card_fraud: now at 50 * * * *, next Wed 2026-11-25 17:50" in world.told


def test_schedule_that_is_taken_out_stops(world):
    world.edits = {START + timedelta(minutes=70): {}}
    world.watch()
    assert world.started == ["18:00 drift"]
    assert "drift of card_fraud: no longer scheduled" in world.told


def test_file_that_can_not_be_read_is_told_once_and_counts_as_it_was(world):
    world.edits = {START + timedelta(minutes=5): "name: ["}
    world.watch()
    assert world.started == ["18:00 drift", "19:00 drift", "20:00 drift"]
    (told,) = [line for line in world.told if "is no valid YAML" in line]
    assert told.endswith("until that is mended, card_fraud runs as it was")


def test_clock_that_is_put_back_is_told(world):
    world.jumps = {START + timedelta(minutes=10): timedelta(hours=-2)}
    world.lasts = timedelta(hours=1)
    world.watch()
    assert world.started == ["16:00 drift"]
    assert "drift of card_fraud: the clock was put back, next Wed 2026-11-25 16:00" in world.told


def test_file_that_can_not_be_read_at_the_start_is_an_error(world):
    world.declare("name: [")
    with pytest.raises(UseCaseError, match="is no valid YAML"):
        Files(world.platform, ["card_fraud"], world.told.append)()


def test_without_a_name_all_use_cases_count_and_new_ones_too(world):
    folder = world.platform.workspace.use_cases
    files = Files(world.platform, [], world.told.append)
    before = {each.case.name for each in files()}
    assert before == {"bank_churn", "card_fraud"}
    text = (folder / "bank_churn.yaml").read_text().replace("name: bank_churn", "name: other")
    (folder / "other.yaml").write_text(text)
    shutil.move(folder / "bank_churn.yaml", folder / "bank_churn.old")
    assert {each.case.name for each in files()} == {"card_fraud", "other"}


@pytest.mark.parametrize("content", [b"name: [", b"name: caf\xe9"])
def test_new_file_that_can_not_be_read_is_told_and_ends_nothing(world, content):
    files = Files(world.platform, [], world.told.append)
    before = files()
    (world.platform.workspace.use_cases / "other.yaml").write_bytes(content)
    assert files() == files() == before
    (told,) = world.told
    assert "other.yaml is no" in told
