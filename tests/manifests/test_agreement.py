"""What Serin's code asks of a cluster, against what the overlays give: rights, accounts, variables, labels."""

from urllib.parse import urlsplit

import pytest

from pipelines import settings
from serin.adapters.cluster import pipelines, rights
from serin.ports import Document
from tests.manifests import scene
from tests.manifests.index import Index, matches
from tests.manifests.rendering import OVERLAYS

# Where KFP runs the tasks of an overlay.
TASKS = {"dev": "kubeflow", "staging": "serin", "production": "serin", "production-eks": "serin"}
NEEDED = {"serin-pipeline": rights.LEASES, "serin-drift": rights.LEASES, "serin-rollout": rights.SERVING}


def _granted(index: Index, account: str, namespace: str) -> set[tuple[str, str, str]]:
    """API group, resource and verb of everything that an account of `namespace` may do in `serin`."""
    bindings = [
        binding
        for binding in index.of("RoleBinding")
        if binding["metadata"]["namespace"] == "serin"
        and any((s["namespace"], s["name"]) == (namespace, account) for s in binding["subjects"])
    ]
    roles = [index.get("Role", "serin", binding["roleRef"]["name"]) for binding in bindings]
    return {right for role in roles for right in _rights(role)}


def _rights(role: Document | None) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in (role or {"rules": []})["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("account", NEEDED)
def test_account_has_the_rights_that_its_code_uses(overlay: str, account: str):
    needed = {(kind.group, kind.plural, verb) for kind, verbs in NEEDED[account].items() for verb in verbs}
    assert needed - _granted(Index(scene.of(overlay)), account, TASKS[overlay]) == set()


@pytest.mark.parametrize("role", ["serin-leases", "serin-rollout"])
def test_role_has_no_right_that_no_code_uses(role: str):
    used = {(kind.group, kind.plural, verb) for kind, verbs in rights.SERVING.items() for verb in verbs}
    assert _rights(Index(scene.of("production")).get("Role", "serin", role)) - used == set()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_accounts_that_pipelines_run_under_are_where_kfp_runs_them(overlay: str):
    index = Index(scene.of(overlay))
    accounts = set(pipelines.ACCOUNTS.values())
    assert accounts == set(NEEDED)
    assert [name for name in accounts if not index.get("ServiceAccount", TASKS[overlay], name)] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_tasks_find_their_endpoints_and_secrets(overlay: str):
    index, namespace = Index(scene.of(overlay)), TASKS[overlay]
    config = index.get("ConfigMap", namespace, settings.ENDPOINTS)
    assert config is not None
    # The cloud's own S3 needs no endpoint.
    spared = {"AWS_ENDPOINT_URL", "FEAST_S3_ENDPOINT_URL"} if overlay == "production-eks" else set()
    assert {*settings.REQUIRED_ENDPOINTS, *settings.OTHER_ENDPOINTS} - spared <= config["data"].keys()
    for name, keys in ((settings.REDIS, settings.REDIS_KEYS), (settings.S3, settings.S3_KEYS)):
        secret = index.get("Secret", namespace, name)
        assert secret is not None, name
        assert set(keys) <= secret["data"].keys()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_mlflow_answers_to_the_name_by_which_tasks_call_it(overlay: str):
    index = Index(scene.of(overlay))
    server, config = index.get("Deployment", "serin", "mlflow"), index.get("ConfigMap", "serin", settings.ENDPOINTS)
    assert server is not None
    assert config is not None
    (hosts,) = (
        argument.removeprefix("--allowed-hosts=").split(",")
        for argument in server["spec"]["template"]["spec"]["containers"][0]["args"]
        if argument.startswith("--allowed-hosts=")
    )
    assert urlsplit(config["data"]["MLFLOW_TRACKING_URI"]).netloc in hosts


def test_predictors_stay_off_the_spot_pools_of_trainings():
    affinity = scene.TEMPLATES.inference_service["spec"]["predictor"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    for kind in ("cpu", "gpu"):
        pool = settings.Pool(kind=kind, spot=True)
        assert not matches(term, {settings.POOL_LABEL: pool.name})
    assert matches(term, {settings.POOL_LABEL: settings.Pool(kind="gpu").name})
    assert matches(term, {})
