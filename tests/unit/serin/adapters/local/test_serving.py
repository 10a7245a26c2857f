"""Documents and status of the local serving target."""

import os
from pathlib import Path
from typing import Any

import pytest

from serin.adapters.local import processes
from serin.adapters.local.serving import LocalServing, write_status
from serin.errors import ConflictError, UnavailableError
from serin.ports import Status


def _traffic(weight: int = 100, **metadata: str) -> dict[str, Any]:
    destination = {"host": "m-v1-predictor", "port": {"number": 80}}
    spec = {"hosts": ["m"], "http": [{"route": [{"destination": destination, "weight": weight}]}]}
    return {"kind": "VirtualService", "metadata": {"name": "m", **metadata}, "spec": spec}


def _service(uri: str = "/models/1") -> dict[str, Any]:
    return {"kind": "InferenceService", "metadata": {"name": "m-v1"}, "spec": {"storageUri": uri}}


@pytest.fixture
def target(tmp_path: Path) -> LocalServing:
    return LocalServing(tmp_path / "m")


def test_a_new_document_is_stored_at_version_1(target: LocalServing) -> None:
    assert target.get("VirtualService", "m") is None
    stored = target.apply(_traffic())
    assert stored["metadata"]["resourceVersion"] == "1"
    assert target.get("VirtualService", "m") == stored


def test_the_version_that_was_read_is_replaced(target: LocalServing) -> None:
    target.apply(_traffic())
    assert target.apply(_traffic(50, resourceVersion="1"))["metadata"]["resourceVersion"] == "2"


def test_storing_the_same_again_changes_nothing(target: LocalServing) -> None:
    assert target.apply(_service()) == target.apply(_service())
    assert target.get("InferenceService", "m-v1") == target.apply(_service())


def test_a_stale_write_is_a_conflict(target: LocalServing) -> None:
    target.apply(_traffic())
    target.apply(_traffic(50, resourceVersion="1"))
    with pytest.raises(ConflictError, match="changed since it was read: it is at version 2, not 1"):
        target.apply(_traffic(10, resourceVersion="1"))


def test_an_update_of_a_deleted_document_is_a_conflict(target: LocalServing) -> None:
    target.apply(_traffic())
    target.delete("VirtualService", "m")
    with pytest.raises(ConflictError, match="VirtualService m was deleted since version 1 was read"):
        target.apply(_traffic(50, resourceVersion="1"))


def test_creating_what_exists_otherwise_is_a_conflict(target: LocalServing) -> None:
    target.apply(_traffic())
    with pytest.raises(ConflictError, match="VirtualService m exists already, at version 1; read it before"):
        target.apply(_traffic(50))


def test_an_inference_service_is_never_edited(target: LocalServing) -> None:
    edited = {**_service("/models/2"), "metadata": target.apply(_service())["metadata"]}
    with pytest.raises(ConflictError, match="InferenceService m-v1 exists and is never edited"):
        target.apply(edited)


def test_a_virtual_service_that_the_gateway_cannot_follow_is_not_stored(target: LocalServing) -> None:
    document = _traffic()
    document["spec"]["http"][0]["mirror"] = {"host": "m-v2-predictor"}
    with pytest.raises(UnavailableError, match=r"http\[0\]\.mirror is beyond the local gateway"):
        target.apply(document)
    assert target.get("VirtualService", "m") is None


@pytest.mark.parametrize(("kind", "name"), [("Secret", "m"), ("VirtualService", "../m"), ("VirtualService", "M")])
def test_other_kinds_and_names_are_refused(target: LocalServing, kind: str, name: str) -> None:
    with pytest.raises(ConflictError, match="can't be served here; allowed: InferenceService and VirtualService"):
        target.get(kind, name)


def test_names_are_those_of_one_kind(target: LocalServing) -> None:
    assert target.names("InferenceService") == ()
    target.apply(_traffic())
    target.apply(_service())
    assert target.names("InferenceService") == ("m-v1",)


def test_deleting_what_is_not_there_is_no_error(target: LocalServing) -> None:
    target.delete("InferenceService", "m-v1")
    assert target.names("InferenceService") == ()


def test_status_before_a_start_says_what_starts_it(target: LocalServing) -> None:
    assert target.status("m-v1") == Status(ready=False, message="not started; `serin serve` starts it")


def _status(pid: int, identity: str | None) -> dict[str, Any]:
    state = {"ready": True, "message": "ready", "restarts": 2}
    return {**state, "pid": pid, "identity": identity, "http_port": 9001}


def test_status_of_a_running_process_is_what_its_file_says(target: LocalServing) -> None:
    write_status(target.folder, "m-v1", _status(os.getpid(), processes.identity(os.getpid())))
    assert target.status("m-v1") == Status(ready=True, message="ready", restarts=2, url="http://127.0.0.1:9001")


def test_status_of_a_process_that_is_gone_is_not_ready(target: LocalServing) -> None:
    write_status(target.folder, "m-v1", _status(os.getpid(), "another start"))
    assert target.status("m-v1") == Status(ready=False, message="its process is gone", restarts=2)


def test_a_purpose_is_held_by_one(target: LocalServing) -> None:
    with target.exclusive("rollout"):
        with pytest.raises(ConflictError, match=f"rollout of m: process {os.getpid()} is at it already"):
            target.exclusive("rollout").__enter__()
        with target.exclusive("something else"):
            pass
    with target.exclusive("rollout"):
        pass


def test_the_stamp_changes_with_every_document(target: LocalServing) -> None:
    stamps = [target.stamp()]
    target.apply(_traffic())
    stamps.append(target.stamp())
    target.apply(_traffic(50, resourceVersion="1"))
    stamps.append(target.stamp())
    assert target.stamp() == stamps[-1]
    target.delete("VirtualService", "m")
    stamps.append(target.stamp())
    assert len(set(stamps)) == 3
    assert stamps[0] == stamps[-1]


@pytest.mark.parametrize(("text", "problem"), [("a: [", "is no valid YAML"), ("- a", "holds no document: found list")])
def test_a_document_that_was_broken_by_hand_is_named(target: LocalServing, text: str, problem: str) -> None:
    target.apply(_service())
    path = target.folder / "documents" / "inferenceservice.m-v1.yaml"
    path.write_text(text)
    with pytest.raises(UnavailableError, match=f"{path} {problem}"):
        target.get("InferenceService", "m-v1")
