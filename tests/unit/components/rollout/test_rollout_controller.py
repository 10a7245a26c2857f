"""The rollout controller against the local target's documents and a /metrics server on the wire."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.rollout.controller import ANNOTATION, Surroundings, Update, roll_out
from components.rollout.states import parse_state, weights
from serin import deployments as logic
from serin import use_case
from serin.adapters import templates
from serin.adapters.local import processes
from serin.adapters.local.lease import FileLease
from serin.adapters.local.metrics import ScrapedMetrics
from serin.adapters.local.serving import LocalServing, write_status
from serin.errors import ConflictError, NotFoundError, UnavailableError
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE, Status
from serin.use_case import Rollout, Step

ROOT = Path(__file__).resolve().parents[4]
TEMPLATES = templates.load(ROOT)
PLAN = Rollout(
    steps=(Step(weight=10, pause=timedelta(seconds=20)), Step(weight=50, pause=timedelta(seconds=20))),
    interval=timedelta(seconds=10),
    min_requests=10,
    failure_limit=0,
    inconclusive_limit=2,
    error_limit=2,
)
CASE = use_case.load("card_fraud", ROOT / "pipelines" / "use_cases").model_copy(update={"rollout": PLAN})


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class World:
    """A model's folder, its predictors' counters, and a clock in which every second brings requests."""

    def __init__(self, folder: Path, port: int) -> None:
        self.lease = FileLease(folder / "locks")
        self.target = LocalServing(folder / "card-fraud", self.lease)
        self.port = port
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.ok = self.errors = 0
        self.seconds = 0.004
        self.error_share = 0.0
        self.single_errors = 0
        self.requests_a_second = 10
        self.deployed: list[int] = []
        self.promoted: list[tuple[int, int | None]] = []
        self.given_up: list[int] = []
        self.updates: list[Update] = []
        self.before_sleep: Callable[[], None] = lambda: None
        self.starts: Callable[[int], None] = lambda version: self.set_status(version, ready=True)
        self._served = ExitStack()
        self.attend()

    def attend(self) -> None:
        """Somebody acts on the documents."""
        self._served.enter_context(self.lease.hold(self.target.controller_lease))

    def leave(self) -> None:
        """Nobody does any more."""
        self._served.close()

    def deploy(self, version: int) -> None:
        document = logic.inference_service(CASE, version, f"/models/{version}", TEMPLATES.inference_service)
        self.target.create(document)
        self.deployed.append(version)
        self.starts(version)

    def set_status(self, version: int, *, ready: bool, restarts: int = 0, message: str = "") -> None:
        status = {
            "ready": ready,
            "message": message or ("ready" if ready else "exited with 1"),
            "restarts": restarts,
            "pid": os.getpid(),
            "identity": processes.identity(os.getpid()),
            "http_port": self.port,
        }
        write_status(self.target.folder, f"card-fraud-v{version}", status)

    def serve(self, weights: dict[str, int]) -> None:
        self.target.create(logic.virtual_service(CASE, weights, TEMPLATES.virtual_service))

    def traffic(self) -> logic.Document:
        return self.target.get(VIRTUAL_SERVICE, "card-fraud")

    def weights(self) -> dict[str, int]:
        return logic.weights_of(self.traffic())

    def services(self) -> list[str]:
        return [document["metadata"]["name"] for document in self.target.list(INFERENCE_SERVICE)]

    def roll_out(self, version: int, plan: Rollout = PLAN) -> str:
        around = Surroundings(
            target=self.target,
            metrics=ScrapedMetrics(self.target),
            template=TEMPLATES.virtual_service,
            deploy=self.deploy,
            promote=lambda version, before: self.promoted.append((version, before)),
            give_up=self.given_up.append,
            report=self.updates.append,
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
        made = World(tmp_path, server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.leave()
        server.shutdown()
        thread.join()


@pytest.fixture
def second(world: World) -> World:
    """Version 1 serves, version 2 starts when it is deployed."""
    world.deploy(1)
    world.serve({"card-fraud-v1": 100})
    return world


def test_a_good_version_is_stepped_and_promoted(second: World) -> None:
    assert second.roll_out(2) == "Promoted"
    canary = [update.weights.get("card-fraud-v2") for update in second.updates]
    assert canary == [10, 10, 50, 50, 100]
    assert [update.verdict for update in second.updates] == ["", *["Successful"] * 4]
    assert second.weights() == {"card-fraud-v2": 100}
    assert second.promoted == [(2, 1)]
    assert second.given_up == []
    assert second.services() == ["card-fraud-v1", "card-fraud-v2"]


def test_a_single_error_is_one_of_a_hundred_requests_and_ends_no_rollout(second: World) -> None:
    second.requests_a_second, second.single_errors = 5, 1
    assert second.roll_out(2) == "Promoted"
    assert [update.verdict for update in second.updates] == ["", "Inconclusive", *["Successful"] * 3]
    assert second.updates[1].reason == "error_rate 0.02 > 0.01 may be chance: errors 1, requests 50"


def test_a_failure_is_counted_once(second: World) -> None:
    second.single_errors = 31
    plan = PLAN.model_copy(update={"failure_limit": 1})
    assert second.roll_out(2, plan) == "Promoted"
    assert [update.verdict for update in second.updates] == ["", "Failed", *["Successful"] * 3]


def test_a_step_with_little_traffic_ends_after_its_pause(second: World) -> None:
    second.requests_a_second = 1
    plan = PLAN.model_copy(update={"min_requests": 15, "inconclusive_limit": 0})
    assert second.roll_out(2, plan) == "Promoted"
    assert [update.verdict for update in second.updates] == ["", *["Inconclusive", "Successful"] * 2]


def test_a_version_with_errors_is_rolled_back_given_up_and_removed(second: World) -> None:
    second.error_share = 0.31
    assert second.roll_out(2) == "RolledBack"
    assert second.updates[-1].reason == "failed (1) > failure_limit (0): error_rate 0.31 > 0.01"
    assert second.weights() == {"card-fraud-v1": 100}
    assert (second.promoted, second.given_up) == ([], [2])
    assert second.services() == ["card-fraud-v1"]


def test_a_slow_version_is_rolled_back(second: World) -> None:
    second.seconds = 0.09
    assert second.roll_out(2) == "RolledBack"
    assert second.updates[-1].reason == "failed (1) > failure_limit (0): latency_p95_ms 95.25 > 50"


def test_a_version_without_traffic_is_paused_and_stays_the_next_one(second: World) -> None:
    second.requests_a_second = 0
    assert second.roll_out(2) == "Paused"
    assert second.updates[-1].reason == "inconclusive (3) > inconclusive_limit (2): requests 0 < 10"
    assert second.weights() == {"card-fraud-v1": 100}
    assert (second.promoted, second.given_up) == ([], [])
    assert second.services() == ["card-fraud-v1"]


def test_a_paused_version_is_taken_up_from_its_first_step(second: World) -> None:
    second.requests_a_second = 0
    second.roll_out(2)
    second.requests_a_second = 10
    second.updates.clear()
    assert second.roll_out(2) == "Promoted"
    assert [update.weights.get("card-fraud-v2") for update in second.updates] == [10, 10, 50, 50, 100]


def test_a_version_that_crashes_is_rolled_back(second: World) -> None:
    second.before_sleep = lambda: second.set_status(2, ready=False)
    assert second.roll_out(2) == "RolledBack"
    assert second.updates[-1].reason.endswith("card-fraud-v2 is not ready: exited with 1")


def test_a_version_whose_metrics_vanish_is_rolled_back(second: World) -> None:
    second.before_sleep = lambda: setattr(second, "metrics", lambda: "")
    assert second.roll_out(2) == "RolledBack"
    assert second.updates[-1].reason == "error (3) > error_limit (2): no measurement: its metrics can't be read"
    assert second.given_up == [2]


def test_what_was_measured_stays_in_the_document(second: World) -> None:
    second.error_share = 0.31
    second.roll_out(2)
    (kept,) = parse_state(second.traffic()["metadata"]["annotations"][ANNOTATION], "").history
    assert (kept.weight, kept.outcome.value, kept.reason) == (10, "Failed", "error_rate 0.31 > 0.01")


def test_traffic_moves_before_anything_else_on_failure(second: World) -> None:
    second.error_share = 1.0
    moved: list[dict[str, int]] = []
    delete = second.target.delete

    class Watched(LocalServing):
        def delete(self, kind: str, name: str) -> None:
            moved.append(second.weights())
            delete(kind, name)

    second.target = Watched(second.target.folder, second.lease)
    second.roll_out(2)
    assert moved == [{"card-fraud-v1": 100}]


def test_the_first_version_gets_all_traffic_at_once(world: World) -> None:
    assert world.roll_out(1) == "Promoted"
    assert world.weights() == {"card-fraud-v1": 100}
    assert world.promoted == [(1, None)]


def _killed_at_sleep(world: World, number: int, version: int = 2) -> None:
    left = number

    def kill() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    world.before_sleep = kill
    with pytest.raises(Killed):
        world.roll_out(version)
    world.before_sleep = lambda: None


@pytest.mark.parametrize("sleeps", [1, 2, 3, 4])
def test_a_killed_rollout_goes_on_where_it_stopped(second: World, sleeps: int) -> None:
    _killed_at_sleep(second, sleeps)
    assert second.roll_out(2) == "Promoted"
    assert [update.weights.get("card-fraud-v2") for update in second.updates] == [10, 10, 50, 50, 100]
    assert second.promoted == [(2, 1)]


def test_a_rollout_killed_before_the_alias_moved_moves_it_later(second: World) -> None:
    class Registry(list[tuple[int, int | None]]):
        def append(self, moved: tuple[int, int | None]) -> None:
            raise Killed

    second.promoted = Registry()
    with pytest.raises(Killed):
        second.roll_out(2)
    assert second.weights() == {"card-fraud-v2": 100}
    second.promoted = []
    assert second.roll_out(2) == "Promoted"
    assert second.promoted == [(2, 1)]


def test_a_killed_roll_back_is_finished_by_the_next_rollout(second: World) -> None:
    second.error_share = 1.0
    plain = second.target

    class Dying(LocalServing):
        def delete(self, kind: str, name: str) -> None:
            raise Killed

    second.target = Dying(plain.folder, second.lease)
    with pytest.raises(Killed):
        second.roll_out(2)
    second.target, second.error_share = plain, 0.0
    assert second.roll_out(3) == "Promoted"
    assert second.services() == ["card-fraud-v1", "card-fraud-v3"]
    assert set(second.given_up) == {2}


def test_a_promoted_version_stays_as_it_is(second: World) -> None:
    second.roll_out(2)
    before = second.traffic()
    assert second.roll_out(2) == "Promoted"
    assert second.traffic() == before
    assert second.promoted == [(2, 1)]


def test_promotion_keeps_the_version_before_and_removes_older_ones(second: World) -> None:
    second.roll_out(2)
    second.roll_out(3)
    assert second.services() == ["card-fraud-v2", "card-fraud-v3"]


def test_rolling_out_another_version_meanwhile_is_a_conflict_and_deploys_nothing(second: World) -> None:
    _killed_at_sleep(second, 1)
    with pytest.raises(ConflictError, match=r"of card-fraud-v2 is under way, at step 1 of 2; .* \(--version 2\)"):
        second.roll_out(3)
    assert second.deployed == [1, 2]


def test_a_virtual_service_changed_by_somebody_else_is_a_conflict(second: World) -> None:
    def meddle() -> None:
        new = logic.virtual_service(CASE, {"card-fraud-v1": 100}, TEMPLATES.virtual_service)
        new["metadata"]["resourceVersion"] = second.traffic()["metadata"]["resourceVersion"]
        second.target.replace(new)

    second.before_sleep = meddle
    with pytest.raises(ConflictError, match="VirtualService card-fraud was changed since it was read"):
        second.roll_out(2)


def test_a_virtual_service_deleted_by_somebody_else_is_named(second: World) -> None:
    second.before_sleep = lambda: second.target.delete(VIRTUAL_SERVICE, "card-fraud")
    with pytest.raises(NotFoundError, match="VirtualService card-fraud was deleted since"):
        second.roll_out(2)


def test_traffic_that_is_shared_without_a_rollout_is_a_conflict(world: World) -> None:
    for version in (1, 2):
        world.deploy(version)
    world.serve({"card-fraud-v1": 50, "card-fraud-v2": 50})
    with pytest.raises(ConflictError, match="shares traffic between card-fraud-v1, card-fraud-v2, but no rollout"):
        world.roll_out(3)
    assert world.services() == ["card-fraud-v1", "card-fraud-v2"]


def test_a_version_that_is_not_ready_in_time_is_removed_and_stays_the_next_to_be_rolled_out(second: World) -> None:
    second.starts = lambda version: second.set_status(version, ready=False)
    with pytest.raises(UnavailableError, match="card-fraud-v2 is not ready after 30 s: exited with 1"):
        second.roll_out(2)
    assert second.weights() == {"card-fraud-v1": 100}
    assert second.given_up == []
    assert second.services() == ["card-fraud-v1"]


def test_a_version_that_is_not_ready_but_got_traffic_meanwhile_is_left_alone(world: World) -> None:
    world.starts = lambda version: world.set_status(version, ready=False)
    left = [lambda: world.serve({"card-fraud-v1": 100})]
    world.before_sleep = lambda: left.pop()() if left else None
    with pytest.raises(UnavailableError, match="card-fraud-v1 is not ready after 30 s"):
        world.roll_out(1)
    assert world.given_up == []
    assert world.services() == ["card-fraud-v1"]


def test_a_version_that_crashes_again_and_again_is_not_waited_for(world: World) -> None:
    world.starts = lambda version: world.set_status(version, ready=False, restarts=3)
    with pytest.raises(UnavailableError, match=r"card-fraud-v1 does not start \(3 times\): exited with 1"):
        world.roll_out(1)
    assert world.given_up == [1]
    assert world.services() == []


def test_a_version_that_can_not_get_ready_is_not_waited_for(second: World) -> None:
    class Hopeless(LocalServing):
        def status(self, name: str) -> Status:
            return Status(ready=False, message="NoSupportingRuntime: none for serin", failed=True)

    second.target = Hopeless(second.target.folder, second.lease)
    start = second.now
    with pytest.raises(UnavailableError, match="card-fraud-v2 can't get ready: NoSupportingRuntime: none for serin"):
        second.roll_out(2)
    assert second.now == start
    assert second.given_up == [2]
    assert second.services() == ["card-fraud-v1"]


def _state_of(world: World) -> tuple[str, int]:
    state = parse_state(world.traffic()["metadata"]["annotations"][ANNOTATION], "")
    return state.phase, state.failures


def test_a_rollout_that_nobody_serves_stops_keeps_its_state_and_blames_nobody(second: World) -> None:
    def killed() -> None:
        second.leave()
        second.set_status(2, ready=False, message="its process is gone")

    second.before_sleep = killed
    with pytest.raises(UnavailableError, match="nothing serves card_fraud on this machine; start `serin serve"):
        second.roll_out(2)
    assert _state_of(second) == ("Progressing", 0)
    assert second.weights() == {"card-fraud-v1": 90, "card-fraud-v2": 10}
    assert second.given_up == []


def test_a_rollout_goes_on_once_the_version_is_ready_in_a_new_server(second: World) -> None:
    _killed_at_sleep(second, 2)
    second.starts = lambda version: second.set_status(version, ready=False, message="starting")
    second.before_sleep = lambda: second.set_status(2, ready=True)
    assert second.roll_out(2) == "Promoted"
    assert "Failed" not in [update.verdict for update in second.updates]


def test_a_server_that_was_started_anew_between_two_looks_is_no_fault_of_the_version(second: World) -> None:
    """What the version does is not judged before it is ready again."""
    attendants = iter(["process 1"])

    class Restarted(LocalServing):
        def check(self) -> str:
            return next(attendants, "process 2")

    second.target = Restarted(second.target.folder, second.lease)
    looks = iter([lambda: second.set_status(2, ready=False, message="starting")])
    second.before_sleep = lambda: next(looks, lambda: second.set_status(2, ready=True))()
    assert second.roll_out(2) == "Promoted"
    assert "Failed" not in [update.verdict for update in second.updates]


def test_an_interrupted_version_that_does_not_come_back_is_rolled_back(second: World) -> None:
    _killed_at_sleep(second, 2)
    second.starts = lambda version: second.set_status(version, ready=False, restarts=3)
    assert second.roll_out(2) == "RolledBack"
    assert second.weights() == {"card-fraud-v1": 100}


def test_weights_always_fit_the_state_beside_them(second: World) -> None:
    seen: list[dict[str, int]] = []

    class Watched(LocalServing):
        def replace(self, document: Mapping[str, Any]) -> logic.Document:
            state = parse_state(document["metadata"]["annotations"][ANNOTATION], "")
            assert logic.weights_of(document) == weights(PLAN, state)
            seen.append(logic.weights_of(document))
            return super().replace(document)

    second.target = Watched(second.target.folder, second.lease)
    second.roll_out(2)
    canary = [shares.get("card-fraud-v2") for shares in seen]
    assert canary == [10, 10, 50, 50, 100, 100]
