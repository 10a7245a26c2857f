"""`serin serve` and `serin rollout` against the control plane, with real requests through the gateway meanwhile."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.rollout.controller import ANNOTATION
from serin.adapters.cluster.api import MANAGER
from serin.deployments import weights_of
from tests.cluster.api import Document
from tests.cluster.audit import writes
from tests.cluster.client import Load
from tests.cluster.commands import LENIENT, LONG, STRICT, Commands, commands
from tests.cluster.deadly_proxy import deadly_proxy
from tests.cluster.kserve_stand_in import SERVING
from tests.cluster.prometheus import prometheus
from tests.cluster.world import ISTIO, World
from tests.factories import make_artifact, make_slow_artifact
from tests.integration.serving_world import CASE, until

pytestmark = [
    # MLflow uses interfaces of SQLAlchemy, Pydantic and others that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
MODEL = CASE.model_name


@pytest.fixture(scope="module")
def serin(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """`serin serve` has brought version 1 into serving; tests register and roll out the next ones."""
    with prometheus(world.plane) as url:
        made = commands(world, tmp_path_factory.mktemp("workspace"), url)
        register(made, tmp_path_factory.mktemp("artifact"), seed=0)
        code, output = made.run("serve", CASE.name)
        assert code == 0, output
        yield made
        world.remove(*deployed(world))


@pytest.fixture
def load(world: World, serin: Commands) -> Iterator[Load]:
    """Requests through the gateway during the test, of which none may be lost."""
    with Load(world) as made:
        yield made
        made.more(20)
    assert made.failed == []


def register(serin: Commands, folder: Path, seed: int, slow: bool = False) -> int:
    """Register a new version, which becomes the challenger (the first one the champion)."""
    if slow:
        make_slow_artifact(folder, seed=seed)
    else:
        make_artifact(folder, seed=seed)
    return serin.register(folder)


def deployed(world: World) -> list[str]:
    return sorted(d["metadata"]["name"] for d in world.plane.api.list(SERVING, "InferenceService"))


def routes(world: World) -> Document:
    return world.plane.api.get(ISTIO, "VirtualService", MODEL)


def champion(world: World) -> str:
    """The deployment that has all traffic."""
    (name,) = [name for name, weight in weights_of(routes(world)).items() if weight == 100]
    return name


def phase(world: World) -> tuple[str, bool]:
    """The phase of the rollout, and whether it is settled, as the VirtualService says."""
    state = json.loads(routes(world)["metadata"]["annotations"][ANNOTATION])
    return state["phase"], state["settled"]


def is_rolled_back(world: World, canary: str) -> bool:
    """Whether a rollout of this version ended so, and nothing is left to do."""
    state = json.loads(routes(world)["metadata"].get("annotations", {}).get(ANNOTATION, "{}"))
    return state.get("canary") == canary and phase(world) == ("RolledBack", True)


def test_a_good_version_is_promoted_and_no_request_is_lost(
    world: World, serin: Commands, load: Load, tmp_path: Path
) -> None:
    before, version = champion(world), register(serin, tmp_path, seed=1)
    code, output = serin.run("rollout", CASE.name)
    assert code == 0, output
    assert (champion(world), phase(world)) == (f"{MODEL}-v{version}", ("Promoted", True))
    assert deployed(world) == sorted([before, f"{MODEL}-v{version}"])
    assert set(load.versions) == {before.removeprefix(f"{MODEL}-v"), str(version)}


def test_a_slow_version_is_rolled_back_and_no_request_is_lost(
    world: World, serin: Commands, load: Load, tmp_path: Path
) -> None:
    before, version = champion(world), register(serin, tmp_path, seed=2, slow=True)
    serin.plan(STRICT)
    try:
        code, output = serin.run("rollout", CASE.name)
    finally:
        serin.plan()
    assert code == 1
    assert f"{MODEL}-v{version} was rolled back: failed (1) > failure_limit (0): latency_p95_ms" in output
    assert (champion(world), phase(world)) == (before, ("RolledBack", True))
    # It goes in the foreground: marked at once, and gone once its pods are.
    until(lambda: f"{MODEL}-v{version}" not in deployed(world), "the removal", 60)
    assert load.versions[str(version)] > 0


def test_a_second_rollout_is_told_who_is_at_it_and_goes_on_once_that_was_killed(
    world: World, serin: Commands, load: Load, tmp_path: Path
) -> None:
    version = register(serin, tmp_path, seed=3)
    serin.plan(rollout=LONG)
    with serin.start("rollout", CASE.name) as first:
        try:
            assert first.stdout
            while "Progressing" not in (line := first.stdout.readline()):
                assert line, "it ended early"
            code, output = serin.run("rollout", CASE.name)
        finally:
            first.kill()
            serin.plan()
    assert code == 1
    assert re.search(rf"rollout-{MODEL}: \S+-{first.pid}-\w+ is at it already; let it end or stop it", output), output
    # Once its lease has lapsed, 30 s after it was killed.
    code, output = serin.run("rollout", CASE.name)
    assert code == 0, output
    assert (champion(world), phase(world)) == (f"{MODEL}-v{version}", ("Promoted", True))


@pytest.mark.parametrize(("slow", "end"), [(False, "Promoted"), (True, "RolledBack")], ids=["promoted", "rolled back"])
def test_a_rollout_that_is_killed_at_every_write_ends_as_if_it_were_not(
    world: World, serin: Commands, load: Load, tmp_path: Path, slow: bool, end: str
) -> None:
    before, version = champion(world), register(serin, tmp_path, seed=4 + slow, slow=slow)
    serin.plan(STRICT if slow else LENIENT)
    with deadly_proxy(world.plane) as (url, executioner):
        variables = {"KUBECONFIG": str(world.plane.kubeconfig("serin-rollout", url))}
        for start in range(40):
            with serin.module("tests.cluster.brief_rollout", CASE.name, str(version), **variables) as process:
                executioner.kill = process.kill
                output, _ = process.communicate(timeout=300)
            # One that was rolled back and settled is over: whoever asks for that version once more begins anew.
            if process.returncode != -signal.SIGKILL or is_rolled_back(world, f"{MODEL}-v{version}"):
                break
            assert len(executioner.killed) == start + 1, "one death a start"
    serin.plan()
    assert slow or (process.returncode == 0 and output.endswith("Promoted\n")), output
    canary = f"{MODEL}-v{version}"
    assert (champion(world), phase(world)) == (before if slow else canary, (end, True))
    until(lambda: (canary in deployed(world)) == (not slow), "the removal", 60)
    times = [when for when, _, path in executioner.killed if path.endswith(f"/virtualservices/{MODEL}")]
    # First step, next steps or the end, and what follows it: each before and after.
    assert times == ["before", "after"] * (len(times) // 2)
    assert len(times) >= 6


def test_every_write_was_server_side_apply_by_serins_own_manager(world: World, serin: Commands) -> None:
    done = writes(world.plane, "serin-rollout")
    kinds = {write.kind for write in done}
    beside = {"horizontalpodautoscalers", "poddisruptionbudgets"}
    assert {"inferenceservices", "virtualservices", "leases", *beside} <= kinds
    assert {write.verb for write in done} <= {"patch", "delete"}
    for write in done:
        assert write.verb == "delete" or (write.manager == MANAGER and write.is_server_side_apply), write
    others = {managed for write in done for managed in write.managers if managed[0] == MANAGER}
    assert others == {(MANAGER, "Apply")}


def test_kubectl_shows_what_a_rollout_has_left(world: World, serin: Commands) -> None:
    shown = kubectl(world, "get", "inferenceservice,virtualservice", "-o", "wide")
    for name in deployed(world):
        assert f"inferenceservice.serving.kserve.io/{name}" in shown
    assert f'["serin"]   ["{MODEL}.serin.internal"]' in shown
    text = kubectl(world, "get", "virtualservice", MODEL, "-o", "yaml", "--show-managed-fields=false")
    assert f"host: {champion(world)}-predictor" in text
    (world.plane.folder / "kubectl.txt").write_text(f"{shown}\n{text}")


def kubectl(world: World, *arguments: str) -> str:
    line = ["kubectl", "--kubeconfig", str(world.plane.admin), "--namespace", "serin", *arguments]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout
