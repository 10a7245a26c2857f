"""Every overlay, rendered: fields as upstream's schemas have them, and nothing named that is not there."""

import fnmatch

import pytest

from tests.manifests import references, scene, schemas
from tests.manifests.index import Index, Pod
from tests.manifests.rendering import OVERLAYS, overlay

OWN = {"predictor", "mlflow", "redis", "postgres", "s3"}


def _pods(name: str) -> list[Pod]:
    """What Serin itself runs, a predictor among it."""
    pods = Index(scene.of(name)).pods
    return [pod for pod in pods if pod.labels.get("app.kubernetes.io/component") in OWN]


@pytest.mark.parametrize("name", OVERLAYS)
def test_kubernetes_own_kinds_have_no_field_that_it_does_not_know(name: str):
    own = (document for document in overlay(name) if not schemas.is_custom(document))
    assert schemas.assess(own) == ([], [])


@pytest.mark.parametrize("name", OVERLAYS)
def test_custom_resources_have_no_field_that_their_crd_does_not_know(name: str):
    problems, missing = schemas.assess(document for document in overlay(name) if schemas.is_custom(document))
    assert problems == []
    if missing:
        pytest.skip("; ".join(missing))


@pytest.mark.parametrize("name", OVERLAYS)
def test_everything_that_is_named_is_there(name: str):
    assert references.problems(scene.of(name)) == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_containers_run_unprivileged_on_a_read_only_root_within_limits(name: str):
    for pod in _pods(name):
        for container in (*pod.spec.get("initContainers", []), *pod.spec["containers"]):
            if container["name"] == "istio-proxy":
                continue
            context, title = container["securityContext"], f"{pod.title} {container['name']}"
            assert context["readOnlyRootFilesystem"], title
            assert not context["allowPrivilegeEscalation"], title
            assert context["capabilities"] == {"drop": ["ALL"]}, title
            assert {**pod.spec.get("securityContext", {}), **context}["runAsNonRoot"], title
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys() & container["resources"]["requests"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_nothing_of_serins_talks_to_kubernetes_api_but_tasks(name: str):
    index = Index(scene.of(name))
    for pod in _pods(name):
        account = index.get("ServiceAccount", pod.namespace, pod.spec.get("serviceAccountName", "")) or {}
        tokens = pod.spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken"))
        assert tokens is False, pod.title


@pytest.mark.parametrize("name", OVERLAYS)
def test_images_have_a_version(name: str):
    for pod in _pods(name):
        for container in (*pod.spec.get("initContainers", []), *pod.spec["containers"]):
            if container["name"] != "istio-proxy":
                assert container["image"].rpartition(":")[2] not in ("", "latest"), container["image"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_secret_is_in_git(name: str):
    assert [document for document in overlay(name) if document["kind"] == "Secret"] == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_namespace_holds_its_pods_to_the_restricted_standard_of_one_release(name: str):
    (namespace,) = (document for document in overlay(name) if document["kind"] == "Namespace")
    labels = namespace["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert labels[f"pod-security.kubernetes.io/{mode}-version"] == f"v{schemas.KUBERNETES}"


@pytest.mark.parametrize("name", OVERLAYS)
def test_network_denies_what_no_policy_allows(name: str):
    policies = {
        document["metadata"]["name"]: document for document in overlay(name) if document["kind"] == "NetworkPolicy"
    }
    assert policies["deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("name", ["staging", "production"])
def test_gateway_asks_for_tls_and_a_token(name: str):
    documents = {(document["kind"], document["metadata"]["name"]): document for document in overlay(name)}
    https, http = documents["Gateway", "serin"]["spec"]["servers"]
    assert (https["tls"]["mode"], https["tls"]["minProtocolVersion"]) == ("SIMPLE", "TLSV1_2")
    assert http["tls"] == {"httpsRedirect": True}
    for rule in documents["AuthorizationPolicy", "serin"]["spec"]["rules"]:
        assert rule["from"] == [{"source": {"requestPrincipals": ["*"]}}]
    (jwt,) = documents["RequestAuthentication", "serin"]["spec"]["jwtRules"]
    assert jwt["jwksUri"].startswith("https://")
    assert "jwks" not in jwt


@pytest.mark.parametrize("name", ["staging", "production", "production-eks"])
def test_only_a_token_with_the_role_may_push_events(name: str):
    (policy,) = (d for d in overlay(name) if d["kind"] == "AuthorizationPolicy" and d["metadata"]["name"] == "serin")
    rules = [
        (operation["operation"], rule.get("when"))
        for rule in policy["spec"]["rules"]
        for operation in rule["to"]
        if any(fnmatch.fnmatch("/v1/events", path) for path in operation["operation"]["paths"])
    ]
    role = [{"key": "request.auth.claims[roles]", "values": ["serin-push"]}]
    assert rules == [({"methods": ["POST"], "paths": ["/v1/events"]}, role)]


def _calls_of_predictors(name: str) -> list[tuple[list[str], dict[str, list[str]]]]:
    """Whom an overlay lets call predictors, and what they may ask for."""
    return [
        (source["source"]["principals"], operation["operation"])
        for document in overlay(name)
        if document["kind"] == "AuthorizationPolicy" and document["metadata"]["namespace"] == "serin"
        for rule in document["spec"].get("rules", [])
        for source in rule["from"]
        for operation in rule["to"]
    ]


@pytest.mark.parametrize("name", OVERLAYS)
def test_predictors_take_events_from_the_gateway_alone(name: str):
    pushes = [
        (principals, operation["methods"])
        for principals, operation in _calls_of_predictors(name)
        if any(fnmatch.fnmatch("/v1/events", path) for path in operation["paths"])
    ]
    assert pushes == [(["cluster.local/ns/istio-ingress/sa/istio-ingressgateway"], ["POST"])]


@pytest.mark.parametrize("name", OVERLAYS)
def test_predictors_take_no_more_than_predictions_pushes_and_prometheus(name: str):
    calls = [(principals, operation["paths"]) for principals, operation in _calls_of_predictors(name)]
    metrics = [principals for principals, paths in calls if "/metrics" in paths]
    assert metrics == [["cluster.local/ns/monitoring/sa/kube-prometheus-stack-prometheus"]]
    assert not any(path in ("*", "/*", "/v2/*", "/v2/repository/*") for _, paths in calls for path in paths)
