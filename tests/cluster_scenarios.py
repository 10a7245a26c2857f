"""What a cluster's adapters must do, told once: against the stand-in API server, and against a real one.

Each takes an `Api` of a namespace that holds nothing of the model, and leaves nothing behind. What stands for KServe's
controller here, `KServeStandIn`, sets the status that the real one was seen to set.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components.rollout.controller import ANNOTATION, Surroundings, Update, roll_out
from components.rollout.states import parse_state
from serin import use_case
from serin.adapters import templates
from serin.adapters.cluster.api import SERVED, Api
from serin.adapters.cluster.serving import KubernetesServing
from serin.deployments import inference_service, virtual_service, weights_of
from serin.errors import NotFoundError, SerinError
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE, Document, Sample
from serin.use_case import Rollout, Step

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = templates.load(ROOT)
PLAN = Rollout(
    steps=(Step(weight=10, pause=timedelta(seconds=10)), Step(weight=50, pause=timedelta(seconds=10))),
    interval=timedelta(seconds=10),
    min_requests=10,
    failure_limit=0,
)
CASE = use_case.load("card_fraud", ROOT / "pipelines" / "use_cases").model_copy(update={"rollout": PLAN})
MODEL = CASE.model_name


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def service(version: int, uri: str = "s3://serin/models") -> Document:
    """The InferenceService of a version."""
    return inference_service(CASE, version, f"{uri}/{version}", TEMPLATES.inference_service)


def traffic(weights: Mapping[str, int], version: str | None = None) -> Document:
    """The VirtualService with these weights, in place of a resource version."""
    made = virtual_service(CASE, weights, TEMPLATES.virtual_service)
    if version:
        made["metadata"]["resourceVersion"] = version
    return made


class KServeStandIn:
    """Not KServe: a thread that says of every InferenceService of the model what `status` gives for its name."""

    def __init__(self, api: Api, status: Callable[[str], Mapping[str, Any]] | None = None) -> None:
        self._api, self._status = api, status or (lambda name: ready(name))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "KServeStandIn":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            for document in KubernetesServing(self._api, MODEL).list(INFERENCE_SERVICE):
                name, generation = document["metadata"]["name"], document["metadata"]["generation"]
                wanted = {**self._status(name), "observedGeneration": generation}
                if document.get("status") != wanted:
                    set_status(self._api, name, wanted)


def ready(name: str) -> dict[str, Any]:
    """The status of an InferenceService that serves."""
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind in ("IngressReady", "PredictorReady", "Ready")
    ]
    return {
        "conditions": conditions,
        "url": f"http://{name}.serin.svc.cluster.local",
        "modelStatus": {"transitionStatus": "UpToDate", "states": {"activeModelState": "Loaded"}},
    }


def failing(reason: str, message: str) -> dict[str, Any]:
    """The status that KServe gives a document which it can't follow."""
    return {
        "conditions": [
            {"type": "PredictorReady", "status": "Unknown", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ],
        "modelStatus": {
            "transitionStatus": "InvalidSpec",
            "states": {"activeModelState": "", "targetModelState": "FailedToLoad"},
            "lastFailureInfo": {"reason": reason, "message": message},
        },
    }


def set_status(api: Api, name: str, status: Mapping[str, Any]) -> None:
    """As a controller does: a merge patch of the subresource."""
    kind = SERVED[INFERENCE_SERVICE]
    path = f"{kind.root}/namespaces/{api.namespace}/{kind.plural}/{name}/status"
    merge(api, path, {"status": dict(status)}, "kserve-stand-in")


def edit(api: Api, kind: str, name: str, patch: Mapping[str, Any], manager: str = "kubectl-edit") -> None:
    """Somebody changes a document."""
    served = SERVED[kind]
    merge(api, f"{served.root}/namespaces/{api.namespace}/{served.plural}/{name}", patch, manager)


def merge(api: Api, path: str, patch: Mapping[str, Any], manager: str) -> None:
    """A merge patch, past the adapters, which have none."""
    from kubernetes.client import ApiException

    try:
        api._call("PATCH", path, "patch", {"fieldManager": manager}, patch, "application/merge-patch+json")
    except ApiException as error:
        if error.status not in (404, 409):  # Deleted or written meanwhile: looked at again.
            raise


class World:
    """A model on a cluster where time is told, and every second of it brings requests to the canary."""

    def __init__(self, api: Api) -> None:
        self.target = KubernetesServing(api, MODEL)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.ok = self.errors = 0.0
        self.error_share = 0.0
        self.champion: int | None = 1
        self.given_up: set[int] = set()
        self.updates: list[Update] = []
        self.ready_timeout = timedelta(minutes=5)
        self._left = -1
        self._after = False

    def sample(self, deployment: str) -> Sample:
        """The counters of the canary; see MetricsSource."""
        del deployment
        total = self.ok + self.errors
        return Sample(ok=self.ok, errors=self.errors, buckets={"0.005": total, "+Inf": total})

    def kill_at(self, write: int, *, after: bool = False) -> None:
        """End the next rollout just before, or just after, its n-th write (from 0)."""
        self._left, self._after = write, after

    def write(self, what: Callable[[], Any]) -> Any:
        """A write of the rollout, which may be its last."""
        self._left -= 1
        if self._left == -1 and not self._after:
            raise Killed
        done = what()
        if self._left == -1:
            raise Killed
        return done

    def deploy(self, version: int) -> None:
        """Create the version's InferenceService, unless it is there."""
        self.write(lambda: self.target.create(service(version)))

    def _promote(self, version: int, before: int | None) -> None:
        del before
        self.write(lambda: setattr(self, "champion", version))

    def _sleep(self, seconds: float) -> None:
        time.sleep(0.01 if seconds > 1 else 0.05)
        self.now += timedelta(seconds=seconds)
        failed = round(seconds * 10 * self.error_share)
        self.errors += failed
        self.ok += seconds * 10 - failed

    def roll_out(self, version: int) -> str:
        """Roll a version out; gives the phase in which that ended."""
        around = Surroundings(
            target=_Written(self.target, self),
            metrics=self,
            template=TEMPLATES.virtual_service,
            deploy=self.deploy,
            promote=self._promote,
            give_up=lambda number: self.write(lambda: self.given_up.add(number)),
            report=self.updates.append,
            clock=lambda: self.now,
            sleep=self._sleep,
            ready_timeout=self.ready_timeout,
        )
        return roll_out(CASE, version, around).phase

    def end(self) -> tuple[Any, ...]:
        """What a rollout leaves behind."""
        document = self.target.get(VIRTUAL_SERVICE, MODEL)
        state = parse_state(document["metadata"]["annotations"][ANNOTATION], "")
        names = [one["metadata"]["name"] for one in self.target.list(INFERENCE_SERVICE)]
        return state.phase, state.settled, weights_of(document), names, self.champion, self.given_up


class _Written:
    """A serving target whose writes are counted."""

    def __init__(self, target: KubernetesServing, world: World) -> None:
        self._target, self._world = target, world
        self.get, self.list, self.status, self.check = target.get, target.list, target.status, target.check

    def create(self, document: Mapping[str, Any]) -> Document:
        made: Document = self._world.write(lambda: self._target.create(document))
        return made

    def replace(self, document: Mapping[str, Any]) -> Document:
        made: Document = self._world.write(lambda: self._target.replace(document))
        return made

    def delete(self, kind: str, name: str) -> None:
        self._world.write(lambda: self._target.delete(kind, name))


@contextmanager
def served(api: Api, error_share: float = 0.0) -> Iterator[World]:
    """Version 1 has all traffic; everything of the model is gone at the end."""
    world = World(api)
    world.error_share = error_share
    try:
        world.target.create(service(1))
        world.target.create(traffic({f"{MODEL}-v1": 100}))
        yield world
    finally:
        clean(api)


def clean(api: Api, seconds: float = 60) -> None:
    """Delete the model's documents and wait until they are gone."""
    target = KubernetesServing(api, MODEL)
    target.delete(VIRTUAL_SERVICE, MODEL)
    names = [document["metadata"]["name"] for document in target.list(INFERENCE_SERVICE)]
    for name in names:
        target.delete(INFERENCE_SERVICE, name)
    deadline = time.monotonic() + seconds
    for name in names:
        while _is_there(api, name):
            assert time.monotonic() < deadline, f"{name} is still there; does a garbage collector run?"
            time.sleep(0.05)


def _is_there(api: Api, name: str) -> bool:
    try:
        api.get(SERVED[INFERENCE_SERVICE], name)
    except NotFoundError:
        return False
    return True


PROMOTED = ("Promoted", True, {f"{MODEL}-v2": 100}, [f"{MODEL}-v1", f"{MODEL}-v2"], 2, set())
ROLLED_BACK = ("RolledBack", True, {f"{MODEL}-v1": 100}, [f"{MODEL}-v1"], 1, {2})


def killed_between_any_two_writes(api: Api, error_share: float, wanted: tuple[Any, ...], *, after: bool) -> int:
    """Kill a rollout at its n-th write, for every n, start it again, and see that it ends as one that ran through.

    Returns how many writes there were.
    """
    write = 0
    while True:
        with served(api, error_share) as world, KServeStandIn(api):
            world.kill_at(write, after=after)
            try:
                world.roll_out(2)
            except Killed:
                world.roll_out(2)
                assert world.end() == wanted, f"killed {'after' if after else 'before'} write {write}"
            else:
                assert world.end() == wanted
                return write
        write += 1


def says_why(api: Api, status: Mapping[str, Any]) -> str:
    """What a rollout says of a version that KServe says this of; how long it waited is left to its clock."""
    with served(api) as world, KServeStandIn(api, lambda name: ready(name) if name.endswith("v1") else status):
        world.ready_timeout = timedelta(days=1)
        try:
            world.roll_out(2)
        except SerinError as error:
            assert [one["metadata"]["name"] for one in world.target.list(INFERENCE_SERVICE)] == [f"{MODEL}-v1"]
            assert weights_of(world.target.get(VIRTUAL_SERVICE, MODEL)) == {f"{MODEL}-v1": 100}
            return str(error)
    raise AssertionError("it was rolled out")


def managers(document: Document) -> set[tuple[str, str]]:
    """Who wrote a document, status aside, and how."""
    entries = document["metadata"]["managedFields"]
    return {(e["manager"], e["operation"]) for e in entries if not e.get("subresource") and "f:spec" in json.dumps(e)}
