"""Documents on a cluster: the adapter against an API server on the wire (a stand-in; see tests/kubernetes_api.py)."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from serin.adapters.cluster.api import SERVED, Api
from serin.adapters.cluster.serving import KubernetesServing
from serin.errors import ConflictError, NotFoundError, SerinError, UnavailableError
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE
from tests import kubernetes_api
from tests.cluster_scenarios import MODEL, edit, managers, service, traffic
from tests.kubernetes_api import KubernetesApi, Outage

V1 = {f"{MODEL}-v1": 100}
SHARED = {f"{MODEL}-v1": 90, f"{MODEL}-v2": 10}
TRAFFIC_PATH = f"/apis/networking.istio.io/v1/namespaces/serin/virtualservices/{MODEL}"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[KubernetesApi, Path]]:
    with kubernetes_api.running(tmp_path) as running:
        yield running


@pytest.fixture
def server(cluster: tuple[KubernetesApi, Path]) -> KubernetesApi:
    return cluster[0]


@pytest.fixture
def api(cluster: tuple[KubernetesApi, Path]) -> Api:
    return Api(kubeconfig=cluster[1])


@pytest.fixture
def target(api: Api) -> KubernetesServing:
    return KubernetesServing(api, MODEL, patience=2.0)


def _shift(target: KubernetesServing, weights: dict[str, int]) -> None:
    target.replace(traffic(weights, target.get(VIRTUAL_SERVICE, MODEL)["metadata"]["resourceVersion"]))


def test_a_document_is_applied_by_serins_own_manager(target, server):
    for document in (target.create(service(1)), target.create(traffic(V1))):
        assert managers(document) == {("serin", "Apply")}
    _shift(target, SHARED)
    assert managers(target.get(VIRTUAL_SERVICE, MODEL)) == {("serin", "Apply")}
    assert {method for method, _ in server.requests} == {"GET", "PATCH"}


def test_a_document_that_is_there_with_the_same_content_is_returned_as_it_is(target):
    first = target.create(service(1))
    assert target.create(service(1)) == first


def test_a_document_with_what_server_and_webhooks_added_has_the_same_content(target, api):
    target.create(service(1))
    edit(api, INFERENCE_SERVICE, f"{MODEL}-v1", {"spec": {"predictor": {"maxReplicas": 0}}}, "kserve-webhook")
    assert target.create(service(1))["spec"]["predictor"]["maxReplicas"] == 0


def test_a_document_with_other_content_is_a_conflict(target):
    target.create(service(1))
    with pytest.raises(ConflictError, match=f"InferenceService {MODEL}-v1 exists already, .*: it has other content"):
        target.create(service(1, "s3://elsewhere"))


def test_a_document_that_somebody_changed_is_a_conflict_that_names_them(target, api):
    target.create(service(1))
    uri = {"spec": {"predictor": {"model": {"storageUri": "s3://mine"}}}}
    edit(api, INFERENCE_SERVICE, f"{MODEL}-v1", uri, "kubectl-edit")
    wanted = r"it was changed: \.spec\.predictor\.model\.storageUri \(kubectl-edit\)"
    with pytest.raises(ConflictError, match=wanted):
        target.create(service(1))


def test_a_document_that_somebody_else_made_is_not_taken_over(target, server):
    server._apply(TRAFFIC_PATH, "kubectl", traffic(V1))
    with pytest.raises(ConflictError, match="it was not made by Serin, but by kubectl"):
        target.create(traffic(V1))
    assert managers(server.objects[TRAFFIC_PATH]) == {("kubectl", "Apply")}


def test_of_two_who_create_at_once_one_makes_it_and_the_other_learns_of_a_difference(api):
    outcomes: list[str] = []

    def create(uri: str) -> None:
        try:
            outcomes.append(KubernetesServing(api, MODEL).create(service(1, uri))["metadata"]["uid"])
        except ConflictError:
            outcomes.append("conflict")

    for uris, expected in ((["s3://a"] * 4, 1), (["s3://a", "s3://b"] * 2, 2)):
        outcomes.clear()
        threads = [threading.Thread(target=create, args=(uri,)) for uri in uris]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 4
        assert len(set(outcomes)) == expected
        api.delete(SERVED[INFERENCE_SERVICE], f"{MODEL}-v1")


def test_a_name_that_is_being_deleted_is_free_once_everything_is_gone(target, server):
    first = target.create(service(1))
    server.lingers = True
    target.delete(INFERENCE_SERVICE, f"{MODEL}-v1")
    assert target.list(INFERENCE_SERVICE) == ()
    with pytest.raises(NotFoundError, match="it is being deleted"):
        target.get(INFERENCE_SERVICE, f"{MODEL}-v1")
    timer = threading.Timer(0.5, server.collect)
    timer.start()
    assert target.create(service(1))["metadata"]["uid"] != first["metadata"]["uid"]
    timer.join()


def test_a_name_whose_deletion_does_not_end_is_told(target, server):
    target.create(service(1))
    server.lingers = True
    target.delete(INFERENCE_SERVICE, f"{MODEL}-v1")
    with pytest.raises(UnavailableError, match=f"{MODEL}-v1 is being deleted and not gone after 2 s: kubectl -n serin"):
        target.create(service(1))


def test_replacing_what_was_changed_since_says_who_did_it(target, api):
    version = target.create(traffic(V1))["metadata"]["resourceVersion"]
    edit(api, VIRTUAL_SERVICE, MODEL, {"metadata": {"labels": {"team": "x"}}}, "kubectl-label")
    with pytest.raises(ConflictError, match=rf"was changed since .* not {version}; last by kubectl-label at 20"):
        target.replace(traffic(SHARED, version))


def test_replacing_a_field_that_somebody_changed_says_how_to_give_it_back(target, api):
    target.create(traffic(V1))
    edit(api, VIRTUAL_SERVICE, MODEL, {"spec": {"http": []}}, "kubectl-edit")
    with pytest.raises(ConflictError) as caught:
        _shift(target, SHARED)
    text = str(caught.value)
    assert text.startswith(
        f'VirtualService {MODEL} was changed by somebody else: .spec.http (conflict with "kubectl-edit"'
    )
    assert f"kubectl -n serin patch virtualservices {MODEL} --type=json -p '" in text
    assert '"path": "/metadata/managedFields/1/manager", "value": "kubectl-edit"' in text


def test_replacing_what_was_deleted_makes_nothing_anew(target):
    version = target.create(traffic(V1))["metadata"]["resourceVersion"]
    target.delete(VIRTUAL_SERVICE, MODEL)
    with pytest.raises(NotFoundError, match=f"VirtualService {MODEL} was deleted since version {version} was read"):
        target.replace(traffic(SHARED, version))


def test_an_inference_service_is_never_edited(target):
    document = target.create(service(1))
    with pytest.raises(ConflictError, match="is never edited"):
        target.replace(document)


@pytest.mark.parametrize("status", [None, 503, 429])
@pytest.mark.parametrize("done", [False, True])
def test_a_write_whose_answer_is_lost_is_repeated_and_counts_once(target, server, status, done):
    for document in (service(1), traffic(V1)):
        server.outages = [Outage("PATCH", status, done=done)]
        assert target.create(document)["metadata"]["generation"] == 1
    server.outages = [Outage("PATCH", status, done=done)]
    _shift(target, SHARED)
    assert target.get(VIRTUAL_SERVICE, MODEL)["metadata"]["generation"] == 2
    assert server.outages == []


def test_deleting_what_is_not_there_is_no_error(target):
    target.delete(VIRTUAL_SERVICE, MODEL)


def test_a_list_has_the_documents_of_this_model_alone_by_name(target, api):
    for version in (10, 2):
        target.create(service(version))
    other = service(3)
    other["metadata"] |= {"name": "other-v3", "labels": {**other["metadata"]["labels"], "serin/model": "other"}}
    KubernetesServing(api, "other").create(other)
    names = [document["metadata"]["name"] for document in target.list(INFERENCE_SERVICE)]
    assert names == [f"{MODEL}-v10", f"{MODEL}-v2"]


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        ("/models/1", "an artifact that only this machine has can't be served there"),
        ("file:///models/1", "an artifact that only this machine has"),
        (
            "mlflow-artifacts:/1/models/m-1",
            "start its server with --no-serve-artifacts and --default-artifact-root s3://",
        ),
    ],
)
def test_an_artifact_that_no_pod_can_read_is_told_before_anything_is_applied(target, server, uri, advice):
    document = service(1)
    document["spec"]["predictor"]["model"]["storageUri"] = uri
    with pytest.raises(UnavailableError, match=re.escape(f"storageUri is {uri!r}; allowed: s3://")) as caught:
        target.create(document)
    assert advice in str(caught.value)
    assert server.requests == []


def test_a_right_that_is_missing_is_named_with_what_the_server_said(target, server):
    server.refused = {"patch virtualservices"}
    wanted = (
        f'apply VirtualService {MODEL} in namespace serin: the API server does not allow it: virtualservices "{MODEL}"'
    )
    with pytest.raises(UnavailableError, match=wanted):
        target.create(traffic(V1))


def test_credentials_that_have_expired_are_told(cluster, tmp_path):
    server = Api(kubeconfig=cluster[1]).host
    expired = KubernetesServing(Api(kubeconfig=kubernetes_api.kubeconfig(tmp_path, server, "old")), MODEL)
    with pytest.raises(UnavailableError, match=r"does not know who asks .* have expired; log in again"):
        expired.get(VIRTUAL_SERVICE, MODEL)


@pytest.mark.parametrize("group", ["serving.kserve.io/v1beta1", "networking.istio.io/v1"])
def test_a_cluster_without_the_kinds_is_told(target, server, group):
    assert target.check().startswith("KServe and Istio of http://127.0.0.1:")
    server.unknown = {f"/apis/{group}"}
    with pytest.raises(UnavailableError, match=rf"does not serve \w+ \({group}\); install (KServe|Istio) there"):
        target.check()


def test_an_api_server_that_is_away_is_told_within_seconds(target, server):
    server.down = True
    with pytest.raises(
        UnavailableError, match=f"read VirtualService {MODEL} in namespace serin: the API server .* does"
    ):
        target.get(VIRTUAL_SERVICE, MODEL)


def test_a_namespace_that_is_not_there_is_told(cluster):
    lost = KubernetesServing(Api("nowhere", cluster[1]), MODEL)
    with pytest.raises(UnavailableError, match='namespaces "nowhere" not found'):
        lost.create(traffic(V1))


def test_no_namespace_is_told(tmp_path):
    api = Api(kubeconfig=kubernetes_api.kubeconfig(tmp_path, "http://127.0.0.1:9", namespace=None))
    with pytest.raises(UnavailableError, match="no namespace is named; set SERIN_NAMESPACE"):
        api.namespace  # noqa: B018


def test_no_cluster_is_told(tmp_path):
    with pytest.raises(UnavailableError, match=r"no cluster is configured: .* Set KUBECONFIG, or run in a pod"):
        Api("serin", tmp_path / "missing").host  # noqa: B018


def test_a_kind_that_serin_does_not_serve_is_refused(target):
    with pytest.raises(ConflictError, match="Secret is no kind of a serving document"):
        target.get("Secret", "x")


def test_a_document_that_the_server_refuses_is_told_as_such(target, server):
    server.outages = [Outage("PATCH", 422)]
    with pytest.raises(
        SerinError, match=f"VirtualService {MODEL} in namespace serin: the API server refused the document"
    ):
        target.create(traffic(V1))


def test_a_version_without_its_document_waits_in_vain(target):
    status = target.status(f"{MODEL}-v9")
    assert (status.ready, status.failed) == (False, True)
    assert status.message == f"there is no InferenceService {MODEL}-v9"
