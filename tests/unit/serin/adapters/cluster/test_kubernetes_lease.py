"""Leases through an API server on the wire (a stand-in; see tests/kubernetes_api.py), between threads and processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from serin.adapters.cluster.api import Api
from serin.adapters.cluster.lease import KubernetesLease, object_name
from serin.adapters.cluster.renewal import Times
from serin.errors import ConflictError, UnavailableError
from tests import kubernetes_api
from tests.kubernetes_api import KubernetesApi, path_of

TIMES = Times(duration=2.0, renew=0.2, deadline=1.0, poll=0.05)
PATH = path_of("/apis/coordination.k8s.io/v1", "leases", "job")
_HOLDER = """
import pathlib, sys, time
from serin.adapters.cluster.api import Api
from serin.adapters.cluster.lease import KubernetesLease
from serin.adapters.cluster.renewal import Times
lease = KubernetesLease(Api(kubeconfig=pathlib.Path(sys.argv[1])), Times(2.0, 0.2, 1.0, 0.05))
with lease.hold("job"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[KubernetesApi, Path]]:
    with kubernetes_api.running(tmp_path) as running:
        yield running


@pytest.fixture
def server(cluster: tuple[KubernetesApi, Path]) -> KubernetesApi:
    return cluster[0]


@pytest.fixture
def lease(cluster: tuple[KubernetesApi, Path]) -> KubernetesLease:
    return KubernetesLease(Api(kubeconfig=cluster[1]), TIMES)


@contextmanager
def _another(kubeconfig: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process, which holds the lease `job` until it is killed."""
    line = [sys.executable, "-c", _HOLDER, str(kubeconfig)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_lease_has_its_holder_while_the_block_runs_and_nobody_after(lease, server):
    with lease.hold("job"):
        holder = server.objects[PATH]["spec"]["holderIdentity"]
        assert f"-{os.getpid()}-" in holder
        assert lease.holder("job") == holder
    assert lease.holder("job") is None
    assert "holderIdentity" not in server.objects[PATH]["spec"]
    assert {entry["manager"] for entry in server.objects[PATH]["metadata"]["managedFields"]} == {"serin"}


def test_a_lease_that_nobody_ever_held_has_no_holder(lease):
    assert lease.holder("job") is None


def test_a_live_holder_is_named_and_keeps_its_lease(lease, cluster):
    with _another(cluster[1]) as other:
        for _ in range(2):
            with pytest.raises(ConflictError, match=rf"job: \S+-{other.pid}-\w+ is at it already"), lease.hold("job"):
                pass
        assert f"-{other.pid}-" in str(lease.holder("job"))


def test_a_holder_that_was_killed_loses_its_lease_to_whoever_comes_next(lease, cluster, server):
    with _another(cluster[1]) as other:
        other.kill()
        other.wait()
        start = time.monotonic()
        with lease.hold("job"):
            assert time.monotonic() - start >= TIMES.duration
            assert f"-{os.getpid()}-" in str(lease.holder("job"))
        assert server.objects[PATH]["spec"]["leaseTransitions"] == 1


def test_who_waits_hears_once_for_whom(lease, cluster):
    heard: list[str] = []
    with _another(cluster[1]) as other:

        def hear(holder: str) -> None:
            heard.append(holder)
            threading.Timer(0.5, other.kill).start()  # after some renewals, of which nothing is told

        with lease.hold("job", wait=True, waits_for=hear):
            pass
    (holder,) = heard
    assert f"-{other.pid}-" in holder


def test_who_need_not_wait_hears_nothing(lease):
    for _ in range(2):
        with lease.hold("job", wait=True, waits_for=pytest.fail):
            pass


def test_two_at_once_exclude_each_other_and_both_have_their_turn(lease):
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(3):
            with lease.hold("job", wait=True):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.01)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 9


def test_a_lease_is_renewed_while_the_block_runs(lease, server):
    with lease.hold("job"):
        first = server.objects[PATH]["spec"]["renewTime"]
        time.sleep(0.6)
        assert server.objects[PATH]["spec"]["renewTime"] > first


def test_the_lease_is_let_go_of_when_the_block_fails(lease):
    with pytest.raises(ZeroDivisionError), lease.hold("job"):
        raise ZeroDivisionError
    assert lease.holder("job") is None


def _work(lease: KubernetesLease, *names: str, spoil: Callable[[], object]) -> None:
    """Hold leases, one in the other, for a minute in which something happens to them."""
    with ExitStack() as held:
        for name in names:
            held.enter_context(lease.hold(name))
        spoil()
        time.sleep(60)


def test_work_whose_lease_can_not_be_renewed_is_interrupted_before_another_may_begin(lease, server):
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=r"job: its lease was lost, and the work was interrupted: .* does not"):
        _work(lease, "job", spoil=lambda: setattr(server, "down", True))
    assert time.monotonic() - start < 30


def test_work_whose_lease_another_has_is_interrupted_and_told_who(lease, server):
    stolen = {"spec": {"holderIdentity": "thief"}}
    with pytest.raises(UnavailableError, match=r"its lease was lost, .*: thief has it now"):
        _work(lease, "job", spoil=lambda: server.edit(PATH, stolen, "kubectl-edit"))


def test_a_lease_that_somebody_wrote_into_says_how_to_free_it(lease, server):
    with lease.hold("job"):
        pass
    server.edit(PATH, {"spec": {"leaseDurationSeconds": 1}}, "kubectl-edit")
    with pytest.raises(ConflictError, match=r"conflict with \"kubectl-edit.* kubectl -n serin delete lease job$"):
        _work(lease, "job", spoil=lambda: None)


def test_work_whose_lease_was_deleted_is_interrupted(lease, server):
    with pytest.raises(UnavailableError, match=r"its lease was lost, .*: nobody has it now"):
        _work(lease, "job", spoil=lambda: server.objects.pop(PATH))


def test_an_interruption_passes_through_an_inner_lease_and_frees_it(lease, server):
    with pytest.raises(UnavailableError, match="job: its lease was lost"):
        _work(lease, "job", "inner", spoil=lambda: server.objects.pop(PATH))
    assert lease.holder("inner") is None


def test_work_in_another_thread_learns_of_a_lost_lease_at_its_end(lease, server):
    caught: list[str] = []

    def work() -> None:
        try:
            with lease.hold("job"):
                del server.objects[PATH]
                time.sleep(1.0)
        except UnavailableError as error:
            caught.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert caught
    assert "job: its lease was lost" in caught[0]


def test_a_renewal_that_fails_for_a_moment_loses_nothing(lease, server):
    with lease.hold("job"):
        server.outages = [kubernetes_api.Outage("PATCH", 503), kubernetes_api.Outage("PATCH", done=True)]
        time.sleep(1.5)
        assert server.outages == []
    assert lease.holder("job") is None


def test_the_signal_handler_is_as_it_was_after_the_block(lease):
    before = signal.getsignal(signal.SIGUSR2)
    with lease.hold("job"):
        assert signal.getsignal(signal.SIGUSR2) is not before
    assert signal.getsignal(signal.SIGUSR2) is before


def test_no_thread_is_left_behind(lease):
    with lease.hold("job"):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lease")]


@pytest.mark.parametrize("name", ["rollout-card-fraud", "a" * 63])
def test_a_name_that_kubernetes_allows_stays(name):
    assert object_name(name) == name


def test_other_names_become_allowed_ones_that_differ():
    names = ["ingest-card_fraud", "ingest-card-fraud_", "Ingest", "a" * 200, "a" * 201]
    made = [object_name(name) for name in names]
    assert len({*made, "ingest-card-fraud", "ingest"}) == len(names) + 2
    assert all(len(name) <= 63 and name == name.lower().replace("_", "") for name in made)
