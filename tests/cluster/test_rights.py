"""Who may do what, as the API server's RBAC answers with the roles of manifests/ in force."""

import pytest

from serin.adapters.cluster.rights import LEASES as LEASE_RIGHTS
from serin.adapters.cluster.rights import SERVING as SERVING_RIGHTS
from tests.cluster.world import World

GROUPS = ["system:serviceaccounts", "system:serviceaccounts:serin", "system:authenticated"]
ACCOUNTS = ("serin-pipeline", "serin-drift", "serin-rollout", "serin-predictor")
SERVING = "serving.kserve.io/inferenceservices"
ROUTES = "networking.istio.io/virtualservices"
LEASES = "coordination.k8s.io/leases"
# The code's own list; `serin doctor` asks for the same.
USED = [
    (account, verb, f"{kind.group}/{kind.plural}")
    for account, rights in (
        ("serin-rollout", SERVING_RIGHTS),
        ("serin-pipeline", LEASE_RIGHTS),
        ("serin-drift", LEASE_RIGHTS),
    )
    for kind, verbs in rights.items()
    for verb in verbs
]
# What would let a pipeline do more than its task.
KEPT = [
    *[(who, verb, kind) for who in ("serin-pipeline", "serin-drift", "serin-predictor")
      for verb in ("create", "patch", "delete") for kind in (SERVING, ROUTES)],
    *[(who, verb, "/secrets") for who in ("serin-rollout", "serin-drift", "serin-predictor")
      for verb in ("list", "watch", "create", "patch", "delete")],
    *[(who, verb, "rbac.authorization.k8s.io/rolebindings") for who in ACCOUNTS for verb in ("create", "patch")],
    *[(who, "create", "/serviceaccounts/token") for who in ACCOUNTS],
    *[(who, "create", "/pods/exec") for who in ACCOUNTS],
    *[(who, verb, "serving.kserve.io/servingruntimes") for who in ACCOUNTS for verb in ("create", "patch", "delete")],
    *[(who, "deletecollection", kind) for who in ACCOUNTS for kind in (SERVING, ROUTES, LEASES)],
    *[("serin-predictor", verb, kind) for verb in ("get", "list") for kind in (SERVING, "/pods", "/secrets", LEASES)],
]  # fmt: skip


@pytest.mark.parametrize(("account", "verb", "kind"), USED, ids=lambda value: str(value))
def test_an_account_may_do_what_the_code_does(world: World, account: str, verb: str, kind: str) -> None:
    assert is_allowed(world, account, verb, kind)


@pytest.mark.parametrize(("account", "verb", "kind"), KEPT, ids=lambda value: str(value))
def test_an_account_may_not_do_more(world: World, account: str, verb: str, kind: str) -> None:
    assert not is_allowed(world, account, verb, kind)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_an_account_has_no_rights_in_other_namespaces(world: World, account: str) -> None:
    asked = [
        (verb, kind)
        for verb in ("get", "list", "create", "patch", "delete")
        for kind in (SERVING, ROUTES, LEASES, "/secrets", "/pods", "/configmaps")
    ]
    assert not [pair for pair in asked if is_allowed(world, account, *pair, namespace="istio-ingress")]


def is_allowed(world: World, account: str, verb: str, kind: str, namespace: str = "serin") -> bool:
    """The answer to a SubjectAccessReview; `kind` is GROUP/PLURAL, and /SUBRESOURCE where one is meant."""
    group, resource, *part = kind.split("/")
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": resource}
    if part:
        attributes["subresource"] = part[0]
    spec = {"resourceAttributes": attributes, "user": f"system:serviceaccount:serin:{account}", "groups": GROUPS}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = world.plane.api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", json=review).json()
    return bool(answer["status"]["allowed"])
