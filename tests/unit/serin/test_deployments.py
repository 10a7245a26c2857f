"""The documents that a model version gets."""

from pathlib import Path

import pytest

from serin import deployments as logic
from serin import use_case
from serin.adapters import templates
from serin.errors import ConflictError, UnavailableError

ROOT = Path(__file__).resolve().parents[3]
CASE = use_case.load("card_fraud", ROOT / "pipelines" / "use_cases")
TEMPLATES = templates.load(ROOT)


def _virtual_service(weights: dict[str, int]) -> logic.Document:
    return logic.virtual_service(CASE, weights, TEMPLATES.virtual_service)


def test_inference_service_is_one_version_in_standard_mode() -> None:
    document = logic.inference_service(CASE, 12, "s3://serin/models/12", TEMPLATES.inference_service)
    assert document["apiVersion"] == "serving.kserve.io/v1beta1"
    assert document["metadata"]["name"] == "card-fraud-v12"
    assert document["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    assert document["metadata"]["labels"]["serin/version"] == "12"
    assert document["spec"]["predictor"]["model"] == {
        "modelFormat": {"name": "serin"},
        "protocolVersion": "v2",
        "runtime": "serin-predictor",
        "storageUri": "s3://serin/models/12",
        "args": ["--model_name=card-fraud", "--model_version=12"],
    }


def test_inference_service_never_runs_on_a_spot_node() -> None:
    affinity = TEMPLATES.inference_service["spec"]["predictor"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    keys = {rule["key"] for rule in term["matchExpressions"] if rule["operator"] == "NotIn"}
    assert keys == {
        "serin/pool",
        "karpenter.sh/capacity-type",
        "cloud.google.com/gke-spot",
        "eks.amazonaws.com/capacityType",
    }


def test_autoscaler_scales_the_versions_deployment_on_cpu_alone_fast_up_and_slow_down() -> None:
    document = logic.autoscaler(CASE, 12, TEMPLATES.autoscaler)
    assert document["metadata"]["name"] == "card-fraud-v12"
    spec = document["spec"]
    assert spec["scaleTargetRef"]["name"] == "card-fraud-v12-predictor"
    (metric,) = spec["metrics"]
    assert metric["containerResource"]["name"] == "cpu"
    assert metric["containerResource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    up, down = spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"]
    assert up["stabilizationWindowSeconds"] < down["stabilizationWindowSeconds"]
    assert 1 < spec["minReplicas"] < spec["maxReplicas"]


def test_autoscaler_has_not_the_name_under_which_kserve_would_take_it_for_its_own() -> None:
    document = logic.autoscaler(CASE, 12, TEMPLATES.autoscaler)
    assert document["metadata"]["name"] != document["spec"]["scaleTargetRef"]["name"]
    service = logic.inference_service(CASE, 12, "s3://serin/models/12", TEMPLATES.inference_service)
    assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "external"


def test_disruption_budget_is_for_the_pods_of_the_version() -> None:
    document = logic.disruption_budget(CASE, 12, TEMPLATES.disruption_budget)
    assert document["spec"]["selector"] == {"matchLabels": {"serving.kserve.io/inferenceservice": "card-fraud-v12"}}
    assert document["spec"]["maxUnavailable"] == 1


def test_owned_document_names_its_owner_as_the_api_server_knows_it() -> None:
    service = logic.inference_service(CASE, 12, "s3://serin/models/12", TEMPLATES.inference_service)
    stored = {**service, "metadata": {**service["metadata"], "uid": "4b1d", "resourceVersion": "7"}}
    document = logic.owned(logic.autoscaler(CASE, 12, TEMPLATES.autoscaler), stored)
    assert document["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "name": "card-fraud-v12",
            "uid": "4b1d",
        }
    ]


def test_inference_service_leaves_its_template_as_it_is() -> None:
    logic.inference_service(CASE, 1, "/models/1", TEMPLATES.inference_service)
    assert TEMPLATES.inference_service["metadata"]["name"] == "${deployment}"


def test_virtual_service_gives_http_and_grpc_the_same_weights() -> None:
    document = _virtual_service({"card-fraud-v1": 95, "card-fraud-v2": 5})
    assert document["apiVersion"] == "networking.istio.io/v1"
    assert document["metadata"]["name"] == "card-fraud"
    assert document["spec"]["hosts"] == ["card-fraud.serin.internal"]
    grpc, http = document["spec"]["http"][-2:]
    for route, port in ((grpc, 8081), (http, 80)):
        assert route["route"] == [
            {"destination": {"host": "card-fraud-v1-predictor", "port": {"number": port}}, "weight": 95},
            {"destination": {"host": "card-fraud-v2-predictor", "port": {"number": port}}, "weight": 5},
        ]


def test_virtual_service_lets_requests_reach_the_inference_protocols_alone() -> None:
    """Not /metrics, above all."""
    spec = _virtual_service({"card-fraud-v1": 95, "card-fraud-v2": 5})["spec"]
    paths = {match["uri"]["prefix"] for route in spec["http"] for match in route["match"]}
    assert paths == {"/v1/", "/v2/", "/inference.GRPCInferenceService/"}


def test_virtual_service_sends_a_request_that_names_a_deployment_there_and_nowhere_else() -> None:
    routes = _virtual_service({"card-fraud-v1": 100, "card-fraud-v2": 0})["spec"]["http"]
    for route in routes[:-2]:
        (named,) = {match["headers"]["serin-deployment"]["exact"] for match in route["match"]}
        (destination,) = route["route"]
        assert destination["destination"]["host"] == f"{named}-predictor"
        assert route["name"].endswith(f"-{named}")
    assert {route["name"] for route in routes[:-2]} == {
        *("grpc-card-fraud-v1", "grpc-card-fraud-v2", "http-card-fraud-v1", "http-card-fraud-v2"),
    }
    for route in routes[-2:]:
        assert all(match["withoutHeaders"] == {"serin-deployment": {}} for match in route["match"])


@pytest.mark.parametrize("weights", [{}, {"a": 50}, {"a": 60, "b": 60}, {"a": -10, "b": 110}])
def test_virtual_service_with_weights_that_are_no_shares_is_refused(weights: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="weights of card-fraud must be 0 to 100 with the sum 100, found"):
        _virtual_service(weights)


def test_weights_are_read_back_from_a_virtual_service() -> None:
    weights = {"card-fraud-v1": 75, "card-fraud-v2": 25}
    assert logic.weights_of(_virtual_service(weights)) == weights


def test_version_is_read_back_from_a_deployment_name() -> None:
    assert logic.version_of(CASE, logic.deployment_name(CASE, 12)) == 12


@pytest.mark.parametrize("name", ["card-fraud", "card-fraud-vx", "bank-churn-v1"])
def test_version_of_another_models_deployment_is_an_error(name: str) -> None:
    with pytest.raises(ConflictError, match=f"routes to '{name}'; allowed: card-fraud-v<version>"):
        logic.version_of(CASE, name)


def test_versions_are_those_of_this_model_alone() -> None:
    names = ("card-fraud-v2", "card-fraud-test", "bank-churn-v1", "card-fraud-v10")
    services = [{"metadata": {"name": name}} for name in names]
    assert logic.versions_of(CASE, services) == {"card-fraud-v2": 2, "card-fraud-v10": 10}


def test_templates_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"the template .*inferenceservice\.yaml can't be read"):
        templates.load(tmp_path)


def test_a_template_with_a_mistyped_name_is_refused() -> None:
    broken = {"metadata": {"name": "${deploiment}"}}
    with pytest.raises(
        UnavailableError, match=r"a template has '\$\{deploiment\}', which can't be filled; allowed here"
    ):
        logic.inference_service(CASE, 1, "/models/1", broken)


def test_a_route_with_a_mistyped_name_is_refused() -> None:
    destination = {"destination": {"host": "${deployment}-predictor"}}
    broken = {"spec": {"http": [{"name": "${modell}", "route": [destination]}]}}
    with pytest.raises(UnavailableError, match=r"'\$\{modell\}', which can't be filled; allowed here: \$\{model\}"):
        logic.virtual_service(CASE, {"card-fraud-v1": 100}, broken)
