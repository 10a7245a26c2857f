"""Documents and status of the local serving target."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from serin.adapters.local import processes
from serin.adapters.local.controller import end_leftovers
from serin.adapters.local.lease import FileLease
from serin.adapters.local.serving import LocalServing, write_status
from serin.errors import ConflictError, NotFoundError, UnavailableError
from serin.ports import Status


def _traffic(weight: int = 100, **metadata: str) -> dict[str, Any]:
    destination = {"host": "m-v1-predictor", "port": {"number": 80}}
    spec = {"hosts": ["m"], "http": [{"route": [{"destination": destination, "weight": weight}]}]}
    return {"kind": "VirtualService", "metadata": {"name": "m", **metadata}, "spec": spec}


def _service(uri: str = "/models/1") -> dict[str, Any]:
    spec = {"predictor": {"minReplicas": 1, "model": {"storageUri": uri}}}
    return {"kind": "InferenceService", "metadata": {"name": "m-v1"}, "spec": spec}


@pytest.fixture
def lease(tmp_path: Path) -> FileLease:
    return FileLease(tmp_path / "locks")


@pytest.fixture
def target(tmp_path: Path, lease: FileLease) -> LocalServing:
    return LocalServing(tmp_path / "m", lease)


def _names(target: LocalServing) -> list[str]:
    return [document["metadata"]["name"] for document in target.list("InferenceService")]


def test_a_new_document_is_stored_at_version_1(target: LocalServing) -> None:
    with pytest.raises(NotFoundError, match="there is no VirtualService m"):
        target.get("VirtualService", "m")
    stored = target.create(_traffic())
    assert stored["metadata"]["resourceVersion"] == "1"
    assert target.get("VirtualService", "m") == stored


def test_creating_the_same_again_changes_nothing(target: LocalServing) -> None:
    assert target.create(_service()) == target.create(_service())
    assert target.get("InferenceService", "m-v1") == target.create(_service())


def test_creating_what_exists_otherwise_is_a_conflict(target: LocalServing) -> None:
    target.create(_traffic())
    with pytest.raises(ConflictError, match="VirtualService m exists already, at version 1, with other content"):
        target.create(_traffic(50))


def test_the_version_that_was_read_is_replaced(target: LocalServing) -> None:
    target.create(_traffic())
    assert target.replace(_traffic(50, resourceVersion="1"))["metadata"]["resourceVersion"] == "2"


def test_replacing_a_document_by_itself_changes_nothing(target: LocalServing) -> None:
    stored = target.create(_traffic())
    assert target.replace(stored) == stored


def test_a_stale_write_is_a_conflict(target: LocalServing) -> None:
    target.create(_traffic())
    target.replace(_traffic(50, resourceVersion="1"))
    with pytest.raises(ConflictError, match="changed since it was read: it is at version 2, not 1"):
        target.replace(_traffic(10, resourceVersion="1"))


def test_replacing_a_deleted_document_says_that_it_is_gone(target: LocalServing) -> None:
    target.create(_traffic())
    target.delete("VirtualService", "m")
    with pytest.raises(NotFoundError, match="VirtualService m was deleted since version 1 was read"):
        target.replace(_traffic(50, resourceVersion="1"))


def test_an_inference_service_is_never_edited(target: LocalServing) -> None:
    edited = {**_service("/models/2"), "metadata": target.create(_service())["metadata"]}
    with pytest.raises(ConflictError, match="InferenceService m-v1 is never edited; create one of another version"):
        target.replace(edited)


def test_of_many_who_replace_a_document_at_once_one_wins(target: LocalServing) -> None:
    target.create(_traffic())

    def replace(weight: int) -> bool:
        try:
            return bool(target.replace(_traffic(weight, resourceVersion="1")))
        except ConflictError:
            return False

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(replace, (10, 20, 30, 40))) == [False, False, False, True]


def test_a_virtual_service_that_the_gateway_cannot_follow_is_not_stored(target: LocalServing) -> None:
    document = _traffic()
    document["spec"]["http"][0]["mirror"] = {"host": "m-v2-predictor"}
    with pytest.raises(
        UnavailableError, match=r"VirtualService m: spec\.http\[0\]: mirror is beyond the local gateway"
    ):
        target.create(document)
    with pytest.raises(NotFoundError):
        target.get("VirtualService", "m")


@pytest.mark.parametrize(("kind", "name"), [("Secret", "m"), ("VirtualService", "../m"), ("VirtualService", "M")])
def test_other_kinds_and_names_are_refused(target: LocalServing, kind: str, name: str) -> None:
    with pytest.raises(ConflictError, match="can't be served here; allowed: InferenceService and VirtualService"):
        target.get(kind, name)


def test_a_list_has_the_documents_of_one_kind(target: LocalServing) -> None:
    assert _names(target) == []
    target.create(_traffic())
    target.create(_service())
    assert _names(target) == ["m-v1"]


def test_deleting_what_is_not_there_is_no_error(target: LocalServing) -> None:
    target.delete("InferenceService", "m-v1")
    assert _names(target) == []


def test_status_before_a_start_says_what_starts_it(target: LocalServing) -> None:
    assert target.status("m-v1") == Status(ready=False, message="not started; `serin serve` starts it")


def _status(pid: int, identity: str | None) -> dict[str, Any]:
    state = {"ready": True, "message": "ready", "restarts": 2}
    return {**state, "pid": pid, "identity": identity, "http_port": 9001}


def test_status_of_a_running_process_is_what_its_file_says(target: LocalServing) -> None:
    write_status(target.folder, "m-v1", _status(os.getpid(), processes.identity(os.getpid())))
    assert target.status("m-v1") == Status(ready=True, message="ready", restarts=2, url="http://127.0.0.1:9001")


@pytest.mark.parametrize("identity", ["another start", "1.0", None])
def test_status_of_a_process_that_is_gone_is_not_ready(target: LocalServing, identity: str | None) -> None:
    write_status(target.folder, "m-v1", _status(os.getpid(), identity))
    assert target.status("m-v1") == Status(ready=False, message="its process is gone", restarts=2)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ready: [", "is no valid YAML"),
        ("", "holds no document: found NoneType, allowed: a mapping"),
        ("message: up", "ready: Field required"),
        ("{ready: true, message: up, pid: soon}", r"pid: Input should be a valid integer \(found 'soon'\)"),
    ],
)
def test_a_status_file_that_was_broken_is_named(target: LocalServing, text: str, problem: str) -> None:
    path = target.folder / "status" / "m-v1.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(UnavailableError, match=f"{path}:? {problem}"):
        target.status("m-v1")


def test_somebody_acts_on_the_documents_while_the_lease_is_held(target: LocalServing, lease: FileLease) -> None:
    with lease.hold(target.controller_lease):
        assert target.check() == f"process {os.getpid()}"
    with pytest.raises(UnavailableError, match="nothing serves m on this machine; start `serin serve m`"):
        target.check()


def test_the_stamp_changes_with_every_document(target: LocalServing) -> None:
    stamps = [target.stamp()]
    target.create(_traffic())
    stamps.append(target.stamp())
    target.replace(_traffic(50, resourceVersion="1"))
    stamps.append(target.stamp())
    assert target.stamp() == stamps[-1]
    target.delete("VirtualService", "m")
    stamps.append(target.stamp())
    assert len(set(stamps)) == 3
    assert stamps[0] == stamps[-1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "is no valid YAML"),
        ("- a", "holds no document: found list"),
        ("\udcff", "can't be read: .*utf-8"),
        ("{metadata: {name: m-v1}}", "spec: Field required"),
        ("{metadata: {name: m-v1}, spec: {predictor: {}}}", r"spec\.predictor\.model: Field required"),
        (
            "{metadata: {name: m-v1}, spec: {predictor: {model: {storageUri: 5}}}}",
            "storageUri: Input should be a valid",
        ),
        (
            "{metadata: {name: m-v2}, spec: {predictor: {model: {storageUri: /m}}}}",
            "metadata.name is 'm-v2'; allowed: m-v1",
        ),
    ],
)
def test_a_document_that_was_broken_by_hand_is_named_and_left_out_of_lists(
    target: LocalServing, text: str, problem: str
) -> None:
    target.create(_service())
    path = target.folder / "documents" / "inferenceservice.m-v1.yaml"
    path.write_text(text, errors="surrogateescape")
    path.with_name("inferenceservice.m-v2.yaml").write_text(yaml.safe_dump(_named(_service(), "m-v2")))
    with pytest.raises(UnavailableError, match=f"{path}:? .*{problem}"):
        target.get("InferenceService", "m-v1")
    assert _names(target) == ["m-v2"]
    assert target.names("InferenceService") == ("m-v1", "m-v2")


def _named(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {**document, "metadata": {"name": name}}


def test_a_document_that_was_put_there_by_hand_can_be_replaced(target: LocalServing) -> None:
    path = target.folder / "documents" / "virtualservice.m.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(_traffic()))
    read = target.get("VirtualService", "m")
    assert target.replace({**_traffic(50), "metadata": read["metadata"]})["metadata"]["resourceVersion"] == "1"


def test_documents_of_a_moved_workspace_lead_to_its_own_artifacts(tmp_path: Path) -> None:
    before, after = tmp_path / "be fore" / ".serin", tmp_path / "after" / ".serin"
    uri = f"{before.as_uri()}/mlflow/artifacts/m/1"
    served = LocalServing(before / "serving" / "m", FileLease(before / "locks"))
    service = _service(uri)
    created = served.create(service)
    assert served.create(service) == created == served.get("InferenceService", "m-v1")
    before.parent.rename(after.parent)
    moved = LocalServing(after / "serving" / "m", FileLease(after / "locks")).get("InferenceService", "m-v1")
    assert moved["spec"]["predictor"]["model"]["storageUri"] == f"{after.as_uri()}/mlflow/artifacts/m/1"


def test_copy_of_a_workspace_does_not_take_the_processes_of_the_original_for_its_own(tmp_path: Path) -> None:
    original, copied = tmp_path / "original", tmp_path / "copy"
    lease = FileLease(original / "locks")
    target = LocalServing(original / "serving" / "m", lease)
    target.create(_service())
    pid = os.getpid()
    status = {"ready": True, "message": "ready", "restarts": 0, "pid": pid, "identity": processes.identity(pid)}
    write_status(target.folder, "m-v1", status)
    with lease.hold(target.controller_lease):
        shutil.copytree(original, copied)
        other = LocalServing(copied / "serving" / "m", FileLease(copied / "locks"))
        assert target.status("m-v1").ready
        assert not other.status("m-v1").ready
        assert target.check() == f"process {pid}"
        with pytest.raises(UnavailableError, match="nothing serves m on this machine"):
            other.check()
        end_leftovers(other.folder, print)
    assert target.status("m-v1").ready
