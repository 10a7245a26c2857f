"""The rollout controller against the local target's documents and a /metrics server on the wire."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.rollout.controller import ANNOTATION, Event, Surroundings, roll_out
from components.rollout.states import parse_state, weights
from serin import deployments as logic
from serin import use_case
from serin.adapters import processes, templates
from serin.adapters.local.metrics import ScrapedMetrics
from serin.adapters.local.serving import LocalServing, write_status
from serin.errors import ConflictError, UnavailableError
from serin.use_case import Rollout, Step

ROOT = Path(__file__).resolve().parents[4]
TEMPLATES = templates.load(ROOT)
PLAN = Rollout(
    steps=(Step(weight=10, pause=timedelta(seconds=20)), Step(weight=50, pause=timedelta(seconds=20))),
    interval=timedelta(seconds=10),
    min_requests=10,
    failure_limit=0,
    inconclusive_limit=2,
)
CASE = use_case.load("card_fraud", ROOT / "pipelines" / "use_cases").model_copy(update={"rollout": PLAN})


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class World:
    """A model's folder, its predictors' counters, and a clock in which every second brings requests."""

    def __init__(self, folder: Path, port: int) -> None:
        self.target = LocalServing(folder)
        self.port = port
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.ok = self.errors = 0
        self.seconds = 0.004
        self.error_share = 0.0
        self.single_errors = 0
        self.requests_a_second = 10
        self.promoted: list[int] = []
        self.given_up: list[int] = []
        self.events: list[Event] = []
        self.before_sleep: Callable[[], None] = lambda: None

    def deploy(self, version: int, *, ready: bool = True, restarts: int = 0) -> None:
        document = logic.inference_service(CASE, version, f"/models/{version}", TEMPLATES.inference_service)
        self.target.apply(document)
        self.set_status(version, ready=ready, restarts=restarts)

    def set_status(self, version: int, *, ready: bool, restarts: int = 0) -> None:
        status = {
            "ready": ready,
            "message": "ready" if ready else "exited with 1",
            "restarts": restarts,
            "pid": os.getpid(),
            "identity": processes.identity(os.getpid()),
            "http_port": self.port,
        }
        write_status(self.target.folder, f"card-fraud-v{version}", status)

    def serve(self, weights: dict[str, int]) -> None:
        self.target.apply(logic.virtual_service(CASE, weights, TEMPLATES.virtual_service))

    def served(self) -> bool:
        return self.target.get("VirtualService", "card-fraud") is not None

    def weights(self) -> dict[str, int]:
        document = self.target.get("VirtualService", "card-fraud")
        assert document is not None
        return logic.weights_of(document)

    def roll_out(self, version: int, plan: Rollout = PLAN) -> str:
        around = Surroundings(
            target=self.target,
            metrics=ScrapedMetrics(self.target),
            template=TEMPLATES.virtual_service,
            promote=self.promoted.append,
            give_up=self.given_up.append,
            report=self.events.append,
            clock=lambda: self.now,
            sleep=self._sleep,
            ready_timeout=timedelta(seconds=30),
        )
        return roll_out(CASE.model_copy(update={"rollout": plan}), version, around).phase

    def _sleep(self, seconds: float) -> None:
        self.before_sleep()
        self.now += timedelta(seconds=seconds)
        requests = int(seconds * self.requests_a_second)
        failed = int(requests * self.error_share) + self.single_errors
        self.single_errors = 0
        self.errors += failed
        self.ok += requests - failed

    def metrics(self) -> str:
        lines = []
        for version in (1, 2, 3):
            label = f'deployment="card-fraud-v{version}"'
            lines.append(f'model_predictions_total{{{label},status="ok"}} {self.ok}')
            lines.append(f'model_predictions_total{{{label},status="error"}} {self.errors}')
            for bound in ("0.005", "0.1", "+Inf"):
                count = self.ok + self.errors if self.seconds <= float(bound) else 0
                lines.append(f'model_prediction_latency_seconds_bucket{{{label},le="{bound}"}} {count}')
        return "\n".join(lines) + "\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = made.metrics().encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as server:
        made = World(tmp_path / "card-fraud", server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture
def second(world: World) -> World:
    """Version 1 serves, version 2 is ready."""
    world.deploy(1)
    world.serve({"card-fraud-v1": 100})
    world.deploy(2)
    return world


def test_a_good_version_is_stepped_and_promoted(second: World) -> None:
    assert second.roll_out(2) == "Promoted"
    canary = [event.weights.get("card-fraud-v2") for event in second.events]
    assert canary == [10, 10, 50, 50, 100]
    assert [event.verdict for event in second.events] == ["", *["Successful"] * 4]
    assert second.weights() == {"card-fraud-v2": 100}
    assert second.promoted == [2]
    assert second.given_up == []
    assert second.target.names("InferenceService") == ("card-fraud-v1", "card-fraud-v2")


def test_a_single_error_is_one_of_a_hundred_requests_and_ends_no_rollout(second: World) -> None:
    second.requests_a_second, second.single_errors = 5, 1
    assert second.roll_out(2) == "Promoted"
    assert [event.verdict for event in second.events] == ["", "Inconclusive", *["Successful"] * 3]
    assert second.events[1].reason == "error_rate 0.02 > 0.01 may be chance: errors 1, requests 50"


def test_a_failure_is_counted_once(second: World) -> None:
    second.single_errors = 31
    plan = PLAN.model_copy(update={"failure_limit": 1})
    assert second.roll_out(2, plan) == "Promoted"
    assert [event.verdict for event in second.events] == ["", "Failed", *["Successful"] * 3]


def test_a_step_with_little_traffic_ends_after_its_pause(second: World) -> None:
    second.requests_a_second = 1
    plan = PLAN.model_copy(update={"min_requests": 15, "inconclusive_limit": 0})
    assert second.roll_out(2, plan) == "Promoted"
    assert [event.verdict for event in second.events] == ["", *["Inconclusive", "Successful"] * 2]


def test_a_version_with_errors_is_rolled_back_and_removed(second: World) -> None:
    second.error_share = 0.31
    assert second.roll_out(2) == "RolledBack"
    assert second.events[-1].reason == "failed (1) > failure_limit (0): error_rate 0.31 > 0.01"
    assert second.weights() == {"card-fraud-v1": 100}
    assert (second.promoted, second.given_up) == ([], [2])
    assert second.target.names("InferenceService") == ("card-fraud-v1",)


def test_a_slow_version_is_rolled_back(second: World) -> None:
    second.seconds = 0.09
    assert second.roll_out(2) == "RolledBack"
    assert second.events[-1].reason == "failed (1) > failure_limit (0): latency_p95_ms 95.25 > 50"


def test_a_version_without_traffic_is_rolled_back(second: World) -> None:
    second.requests_a_second = 0
    assert second.roll_out(2) == "RolledBack"
    assert second.events[-1].reason == "inconclusive (3) > inconclusive_limit (2): requests 0 < 10"


def test_a_version_that_crashes_is_rolled_back(second: World) -> None:
    second.before_sleep = lambda: second.set_status(2, ready=False)
    assert second.roll_out(2) == "RolledBack"
    assert second.events[-1].reason.endswith("card-fraud-v2 is not ready: exited with 1")


def test_a_version_whose_metrics_vanish_is_rolled_back(second: World) -> None:
    second.before_sleep = lambda: setattr(second, "metrics", lambda: "")
    assert second.roll_out(2) == "RolledBack"
    assert second.events[-1].reason.endswith("no measurement: its metrics can't be read")


def test_traffic_moves_before_anything_else_on_failure(second: World) -> None:
    second.error_share = 1.0
    moved: list[dict[str, int]] = []
    delete = second.target.delete

    class Watched(LocalServing):
        def delete(self, kind: str, name: str) -> None:
            moved.append(second.weights())
            delete(kind, name)

    second.target = Watched(second.target.folder)
    second.roll_out(2)
    assert moved == [{"card-fraud-v1": 100}]


def test_the_first_version_gets_all_traffic_at_once(world: World) -> None:
    world.deploy(1)
    assert world.roll_out(1) == "Promoted"
    assert world.weights() == {"card-fraud-v1": 100}
    assert world.promoted == [1]


@pytest.mark.parametrize("sleeps", [1, 2, 3, 4])
def test_a_killed_rollout_goes_on_where_it_stopped(second: World, sleeps: int) -> None:
    left = sleeps

    def kill() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    second.before_sleep = kill
    with pytest.raises(Killed):
        second.roll_out(2)
    second.before_sleep = lambda: None
    assert second.roll_out(2) == "Promoted"
    assert [event.weights.get("card-fraud-v2") for event in second.events] == [10, 10, 50, 50, 100]
    assert second.promoted == [2]


def test_a_rollout_killed_before_the_alias_moved_moves_it_later(second: World) -> None:
    class Registry(list[int]):
        def append(self, version: int) -> None:
            raise Killed

    second.promoted = Registry()
    with pytest.raises(Killed):
        second.roll_out(2)
    assert second.weights() == {"card-fraud-v2": 100}
    second.promoted = []
    assert second.roll_out(2) == "Promoted"
    assert second.promoted == [2]


def test_a_killed_roll_back_is_finished_by_the_next_rollout(second: World) -> None:
    second.error_share = 1.0
    plain = second.target

    class Dying(LocalServing):
        def delete(self, kind: str, name: str) -> None:
            raise Killed

    second.target = Dying(plain.folder)
    with pytest.raises(Killed):
        second.roll_out(2)
    second.target, second.error_share = plain, 0.0
    second.deploy(3)
    assert second.roll_out(3) == "Promoted"
    assert second.target.names("InferenceService") == ("card-fraud-v1", "card-fraud-v3")
    assert set(second.given_up) == {2}


def test_a_promoted_version_stays_as_it_is(second: World) -> None:
    second.roll_out(2)
    before = second.target.get("VirtualService", "card-fraud")
    assert second.roll_out(2) == "Promoted"
    assert second.target.get("VirtualService", "card-fraud") == before
    assert second.promoted == [2]


def test_promotion_keeps_the_version_before_and_removes_older_ones(second: World) -> None:
    second.roll_out(2)
    second.deploy(3)
    second.roll_out(3)
    assert second.target.names("InferenceService") == ("card-fraud-v2", "card-fraud-v3")


def test_rolling_out_another_version_meanwhile_is_a_conflict(second: World) -> None:
    def kill() -> None:
        raise Killed

    second.before_sleep = kill
    with pytest.raises(Killed):
        second.roll_out(2)
    second.deploy(3)
    with pytest.raises(ConflictError, match=r"the rollout of card-fraud-v2 is under way, at step 1 of 2"):
        second.roll_out(3)


def test_a_second_controller_is_a_conflict(second: World) -> None:
    found: list[str] = []

    def again() -> None:
        with pytest.raises(ConflictError) as caught:
            second.roll_out(2)
        found.append(str(caught.value))

    second.before_sleep = again
    second.roll_out(2)
    assert found[0] == f"rollout of card-fraud: process {os.getpid()} is at it already; let it end or stop it"


def test_a_virtual_service_changed_by_somebody_else_is_a_conflict(second: World) -> None:
    def meddle() -> None:
        document = second.target.get("VirtualService", "card-fraud")
        assert document is not None
        new = logic.virtual_service(CASE, {"card-fraud-v1": 100}, TEMPLATES.virtual_service)
        new["metadata"]["resourceVersion"] = document["metadata"]["resourceVersion"]
        second.target.apply(new)

    second.before_sleep = meddle
    with pytest.raises(ConflictError, match="VirtualService card-fraud was changed since it was read"):
        second.roll_out(2)


def test_traffic_that_is_shared_without_a_rollout_is_a_conflict(world: World) -> None:
    for version in (1, 2, 3):
        world.deploy(version)
    world.serve({"card-fraud-v1": 50, "card-fraud-v2": 50})
    with pytest.raises(ConflictError, match="shares traffic between card-fraud-v1, card-fraud-v2, but no rollout"):
        world.roll_out(3)


def test_a_version_that_is_not_deployed_is_an_error(world: World) -> None:
    with pytest.raises(UnavailableError, match="card-fraud-v9 is not deployed"):
        world.roll_out(9)


def test_a_version_that_never_gets_ready_is_given_up_and_removed(world: World) -> None:
    world.deploy(1)
    world.serve({"card-fraud-v1": 100})
    world.deploy(2, ready=False)
    with pytest.raises(UnavailableError, match="card-fraud-v2 is not ready after 30 s: exited with 1"):
        world.roll_out(2)
    assert world.weights() == {"card-fraud-v1": 100}
    assert world.given_up == [2]
    assert world.target.names("InferenceService") == ("card-fraud-v1",)


def test_a_version_that_is_not_ready_but_got_traffic_meanwhile_is_left_alone(world: World) -> None:
    world.deploy(1, ready=False)
    world.before_sleep = lambda: world.serve({"card-fraud-v1": 100}) if not world.served() else None
    with pytest.raises(UnavailableError, match="card-fraud-v1 is not ready after 30 s"):
        world.roll_out(1)
    assert world.given_up == []
    assert world.target.names("InferenceService") == ("card-fraud-v1",)


def test_a_version_that_crashes_again_and_again_is_not_waited_for(world: World) -> None:
    world.deploy(1, ready=False, restarts=3)
    with pytest.raises(UnavailableError, match=r"card-fraud-v1 does not start \(3 times\): exited with 1"):
        world.roll_out(1)
    assert world.given_up == [1]
    assert world.target.names("InferenceService") == ()


def test_weights_always_fit_the_state_beside_them(second: World) -> None:
    seen: list[dict[str, int]] = []

    class Watched(LocalServing):
        def apply(self, document: Mapping[str, Any]) -> logic.Document:
            state = parse_state(document["metadata"]["annotations"][ANNOTATION], "")
            assert logic.weights_of(document) == weights(PLAN, state)
            seen.append(logic.weights_of(document))
            return super().apply(document)

    second.target = Watched(second.target.folder)
    second.roll_out(2)
    canary = [shares.get("card-fraud-v2") for shares in seen]
    assert canary == [10, 10, 50, 50, 100, 100]
