"""A rollout between real predictors behind a real Envoy, under a light load."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.adapters.metrics_source import ScrapedMetrics
from components.rollout.controller import Event, Surroundings, roll_out
from components.rollout.logic import RolloutState
from serin.artifact import REFERENCE, seal
from serin.use_case import Rollout, Slo, Step
from tests.factories import make_artifact
from tests.integration.serving_world import CASE, TEMPLATES, Load, World, until

pytestmark = pytest.mark.xdist_group("rollout")

PLAN = Rollout(
    steps=(Step(weight=30, pause=timedelta(seconds=1)), Step(weight=60, pause=timedelta(seconds=1))),
    interval=timedelta(seconds=1),
    min_requests=5,
    failure_limit=0,
    inconclusive_limit=20,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One version serves all traffic: 1, or 2 once it was promoted."""
    folder = tmp_path_factory.mktemp("rollout")
    made = World(folder)
    make_artifact(folder / "v1")
    made.deploy(1, folder / "v1")
    made.share({"card-fraud-v1": 100})
    made.start()
    made.await_ready(1)
    yield made
    made.close()


def _roll_out(world: World, version: int, slo: Slo, events: list[Event], promoted: list[int]) -> RolloutState:
    around = Surroundings(
        target=world.target,
        metrics=ScrapedMetrics(world.target),
        template=TEMPLATES.virtual_service,
        promote=promoted.append,
        report=events.append,
        clock=lambda: datetime.now(UTC),
        sleep=time.sleep,
    )
    case = CASE.model_copy(update={"rollout": PLAN, "slo": slo})
    return roll_out(case, version, around)


def test_a_good_version_is_promoted_and_no_request_is_lost(world: World, tmp_path: Path) -> None:
    make_artifact(tmp_path / "v2", seed=1)
    world.deploy(2, tmp_path / "v2")
    events: list[Event] = []
    promoted: list[int] = []
    with Load(world.port) as load:
        state = _roll_out(world, 2, Slo(error_rate=0, latency_p95_ms=4000), events, promoted)
        seen = load.versions["2"]
        until(lambda: load.versions["2"] >= seen + 20, "answers of version 2 after its promotion")
    assert state.phase == "Promoted"
    assert load.failed == []
    assert promoted == [2]
    shares = [event.weights.get("card-fraud-v2") for event in events]
    assert sorted(set(shares), key=shares.index) == [30, 60, 100]
    assert load.versions["1"] > 0


def test_a_slow_version_is_rolled_back_and_no_request_is_lost(world: World, tmp_path: Path) -> None:
    _make_slow_artifact(tmp_path / "v3")
    world.deploy(3, tmp_path / "v3")
    events: list[Event] = []
    promoted: list[int] = []
    with Load(world.port) as load:
        state = _roll_out(world, 3, Slo(error_rate=0, latency_p95_ms=5), events, promoted)
        status = world.target.folder / "status" / "card-fraud-v3.yaml"
        until(lambda: not status.exists(), "the end of version 3")
        good = str(state.stable).removeprefix("card-fraud-v")
        seen = load.versions[good]
        until(lambda: load.versions[good] >= seen + 20, "answers of the good version after the roll back")
    assert state.phase == "RolledBack"
    assert state.reason.startswith("failed (1) > failure_limit (0): latency_p95_ms ")
    assert state.reason.endswith(" > 5")
    assert load.failed == []
    assert load.versions["3"] > 0
    assert promoted == []
    assert "card-fraud-v3" not in world.target.names("InferenceService")


def _make_slow_artifact(folder: Path) -> None:
    """A random forest of so many trees that one row takes it longer than 5 ms anywhere."""
    from sklearn.ensemble import RandomForestClassifier
    from skops import io

    manifest = make_artifact(folder, engine="sklearn", estimator="random_forest")
    reference = pq.read_table(folder / REFERENCE)
    rows = manifest.inputs.encode({name: reference[name].to_pylist() for name in manifest.inputs.names})
    forest = RandomForestClassifier(n_estimators=400, max_depth=2, random_state=0)
    score = forest.fit(rows, reference["label"].to_numpy()).predict_proba(rows)[:, 1]
    io.dump(forest, folder / "model.skops")
    place = reference.schema.get_field_index("score")
    pq.write_table(reference.set_column(place, "score", pa.array(score)), folder / REFERENCE)
    seal(folder, manifest)
