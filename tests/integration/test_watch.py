"""`serin watch` with the real runner: what is due is really run, and an end leaves nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import runs
from pipelines.commands.watch import LEASE
from pipelines.schedules import Scheduled
from pipelines.schedules.watch import Files, Surroundings, watch
from serin.errors import UnavailableError
from serin.platform import Platform, build
from serin.progress import Progress
from serin.simulate import simulate
from serin.workspace import Workspace
from tests import services
from tests.integration.serving_world import until

pytestmark = [
    # MLflow and KFP use interfaces of SQLAlchemy, Pydantic and others that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
# The command itself, by a clock whose next minute begins in three seconds.
_COMMAND = """
from datetime import UTC, datetime, timedelta
from pipelines.commands.watch import run
from pipelines.console import Console
from serin.platform import build
ahead = timedelta(seconds=57 - datetime.now(UTC).second)
run(Console(), build(), ["card_fraud"], clock=lambda: datetime.now(UTC) + ahead)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a table, whose features are due every minute, and a rollout after them."""
    made = services.workspace_copy(tmp_path_factory.mktemp("workspace"))
    simulate(seed=3, start=date(2026, 1, 1), days=45, rows=3000).to_parquet(made / "t.parquet")
    file = made / "pipelines" / "use_cases" / "card_fraud.yaml"
    schedules = {
        "materialisation": {"cron": "* * * * *", "data": str(made / "t.parquet")},
        "rollout": {"cron": "* * * * *"},
    }
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"schedules": schedules}))
    return made


def _platform(root: Path, **variables: str) -> Platform:
    return build(Workspace.from_variables({"SERIN_ROOT": str(root)} | variables))


@contextmanager
def _watching(root: Path) -> Iterator["subprocess.Popen[str]"]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SERIN_")}
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", _COMMAND],
        env=kept | {"SERIN_ROOT": str(root), "PYTHONPATH": str(services.CHECKOUT)}, cwd=root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        # Who runs the tests in the background has SIGINT ignored, and a child would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def test_what_is_due_is_run_by_the_local_runner_one_after_the_other(root: Path) -> None:
    platform = _platform(root)
    told: list[Any] = []
    now = [datetime(2026, 11, 25, 17, 3, tzinfo=UTC)]

    def run(each: Scheduled) -> None:
        told.append(each.title)
        runs.run_scheduled(platform, each, told.append)

    def sleep(seconds: float) -> None:
        now[0] += timedelta(seconds=seconds)
        if now[0] > datetime(2026, 11, 25, 17, 4, tzinfo=UTC):
            raise KeyboardInterrupt

    around = Surroundings(Files(platform, ["card_fraud"], print), run, lambda: now[0], sleep, print, print, print)
    with pytest.raises(KeyboardInterrupt):
        watch(around)
    ended = [one.task for one in told if isinstance(one, Progress) and one.event == "finished"]
    said = [one.text for one in told if isinstance(one, Progress) and one.event == "said"]
    assert [one for one in told if isinstance(one, str)] == ["materialisation of card_fraud", "rollout of card_fraud"]
    assert ended == ["ingest", "refresh", "rollout"]
    assert "customer_activity, terminal_risk: as of 2026-02-15 00:00" in said
    assert said[-1] == "no challenger waits"
    views = [view for kept in platform.features.kept("card_fraud").values() for view in kept]
    assert {platform.features.published(view) for view in views} == {datetime(2026, 2, 15, tzinfo=UTC)}


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_watch_that_is_ended_during_a_run_leaves_no_process_and_ends_well(root: Path, ending: signal.Signals) -> None:
    with _watching(root) as process:
        until(lambda: services.step(root) or process.poll() is not None, "a step", 180)
        os.killpg(process.pid, ending) if ending is signal.SIGINT else process.send_signal(ending)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "materialisation of card_fraud" in output
    assert "stopped; no process was left behind" in output
    assert "Traceback" not in output
    assert services.left_over(root) == []


def test_watch_beside_another_is_refused_with_who_holds_it(root: Path) -> None:
    with services.lease_holder(root / ".serin" / "locks", LEASE) as other:
        assert other.stdout
        other.stdout.readline()
        with _watching(root) as process:
            output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert f"watch: process {other.pid} is at it already" in output


def test_watch_of_a_cluster_is_left_to_kubeflow(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.commands.watch import run
    from pipelines.console import Console

    monkeypatch.setenv("SERIN_KFP_HOST", "http://127.0.0.1:9")
    cluster = {"SERIN_PROFILE": "cluster", "SERIN_STORAGE": "s3://b/x", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    with pytest.raises(UnavailableError, match="`serin schedule apply` hands them over"):
        run(Console(), _platform(root, **cluster), [])
