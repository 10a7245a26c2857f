"""What a stock Envoy, configured by istiod from Serin's documents, does with real requests to real predictors."""

import math
import uuid
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from serin import deployments
from tests.cluster import istio
from tests.cluster.api import Document
from tests.cluster.client import Client, Load
from tests.cluster.world import World
from tests.factories import make_artifact
from tests.integration.serving_world import CASE, TEMPLATES, until

ONE, TWO = f"{CASE.model_name}-v1", f"{CASE.model_name}-v2"


@pytest.fixture(scope="module")
def served(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Versions 1 and 2 are ready; each test shares traffic out as it needs it."""
    folder = tmp_path_factory.mktemp("artifacts")
    for version in (1, 2):
        make_artifact(folder / f"v{version}", seed=version)
        world.apply(version, world.store(folder / f"v{version}", version))
    for name in (ONE, TWO):
        world.await_ready(name)
    yield world
    world.remove(ONE, TWO)


@pytest.fixture
def client(served: World) -> Iterator[Client]:
    with Client(served) as made:
        yield made


def routes(weights: dict[str, int]) -> Document:
    return deployments.virtual_service(CASE, weights, TEMPLATES.virtual_service)


def apply(world: World, client: Client, document: Document) -> None:
    """Apply a VirtualService, and wait until its routes have arrived: they mark every answer."""
    mark = uuid.uuid4().hex
    for route in document["spec"]["http"]:
        route["headers"] = {"response": {"set": {"x-test": mark}}}
    world.plane.api.apply(document)
    until(lambda: client.predict().headers.get("x-test") == mark, "the routes at the gateway", 20)


def is_plausible(count: int, of: int, share: float) -> bool:
    """Whether a count is within four standard deviations of a binomial's mean: by chance it is not once in 16,000."""
    return abs(count - of * share) <= 4 * math.sqrt(of * share * (1 - share))


def test_http_requests_are_shared_as_the_weights_say(served: World, client: Client) -> None:
    apply(served, client, routes({ONE: 70, TWO: 30}))
    counted = Counter(client.version() for _ in range(400))
    assert set(counted) == {"1", "2"}
    assert is_plausible(counted["2"], 400, 0.3), counted


def test_grpc_requests_are_shared_as_the_weights_say(served: World, client: Client) -> None:
    apply(served, client, routes({ONE: 70, TWO: 30}))
    with client.grpc() as infer:
        counted = Counter(infer() for _ in range(200))
    assert set(counted) == {"1", "2"}
    assert is_plausible(counted["2"], 200, 0.3), counted


def test_a_weight_of_nothing_gets_nothing(served: World, client: Client) -> None:
    apply(served, client, routes({ONE: 0, TWO: 100}))
    with client.grpc() as infer:
        assert {infer() for _ in range(30)} == {"2"}
    assert {client.version() for _ in range(100)} == {"2"}


def test_traffic_moves_and_the_version_before_is_deleted_without_a_lost_request(
    served: World, client: Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    three = f"{CASE.model_name}-v3"
    folder = tmp_path_factory.mktemp("artifact")
    make_artifact(folder, seed=3)
    served.apply(3, served.store(folder, 3))
    served.await_ready(three)
    with Load(served) as load:
        for weight in (100, 90, 50, 0):
            apply(served, client, routes({three: weight, ONE: 100 - weight}))
        served.delete(three)
        load.more(50)
    assert load.failed == []
    assert load.versions["3"] > 0


def test_a_header_pins_a_version(served: World, client: Client) -> None:
    apply(served, client, routes({ONE: 100, TWO: 0}))
    pin = {"serin-deployment": TWO}
    assert {client.version(**pin) for _ in range(50)} == {"2"}
    assert {client.version() for _ in range(50)} == {"1"}
    with client.grpc(**pin) as pinned, client.grpc() as infer:
        assert ({pinned() for _ in range(20)}, {infer() for _ in range(20)}) == ({"2"}, {"1"})


def test_a_header_that_names_no_deployment_of_the_model_is_not_found(served: World, client: Client) -> None:
    apply(served, client, routes({ONE: 100}))
    assert client.predict(**{"serin-deployment": TWO}).status_code == 404


def test_a_mirror_sees_every_request_and_answers_none(served: World, client: Client) -> None:
    apply(served, client, routes({ONE: 100}))
    document = routes({ONE: 100})
    for route in document["spec"]["http"]:
        port = 8081 if route["name"].startswith("grpc") else 80
        route["mirror"] = {"host": f"{TWO}-predictor", "port": {"number": port}}
        route["mirrorPercentage"] = {"value": 100.0}
    apply(served, client, document)
    before = _answered(served, TWO)
    assert {client.version() for _ in range(100)} == {"1"}
    until(lambda: _answered(served, TWO) >= before + 100, "the mirrored requests", 20)


@pytest.mark.parametrize("path", ["/metrics", "/v2/repository/index", "/docs", "/openapi.json", "/"])
def test_what_is_no_prediction_is_not_reached_through_the_gateway(served: World, client: Client, path: str) -> None:
    apply(served, client, routes({ONE: 100}))
    assert httpx.get(served.address(ONE) + "/metrics").is_success
    assert client.request("GET", path).status_code == 403


def test_another_host_is_not_found(served: World, client: Client) -> None:
    apply(served, client, routes({ONE: 100}))
    assert client.predict(Host="bank-churn.serin.internal").status_code == 404


def test_a_request_without_a_token_is_refused(served: World, client: Client) -> None:
    apply(served, client, routes({ONE: 100}))
    assert client.predict(Authorization=None).status_code == 403


@pytest.mark.parametrize(
    ("issuer", "audience", "seconds"),
    [("https://elsewhere.example.com", "serin", 3600), ("", "another", 3600), ("", "serin", -600)],
    ids=["of another issuer", "for another audience", "that has expired"],
)
def test_a_token_is_refused(served: World, client: Client, issuer: str, audience: str, seconds: int) -> None:
    apply(served, client, routes({ONE: 100}))
    token = served.issuer.token(issuer or client.issuer, audience, seconds)
    assert client.predict(Authorization=f"Bearer {token}").status_code in (401, 403)


def test_events_are_pushed_with_the_role_alone(served: World, client: Client) -> None:
    apply(served, client, routes({ONE: 100}))
    assert client.request("POST", "/v1/events", json={}).status_code == 403
    token = served.issuer.token(client.issuer, "serin", roles=["serin-reader", "serin-push"])
    answer = client.request("POST", "/v1/events", json={}, headers={"Authorization": f"Bearer {token}"})
    # That model reads no events: the answer is the predictor's own.
    assert answer.status_code == 404
    assert "takes no events" in answer.json()["error"]


def test_plain_http_is_sent_to_tls(served: World, client: Client) -> None:
    apply(served, client, routes({ONE: 100}))
    answer = httpx.get(f"http://{istio.GATEWAY}/v2/health/ready", headers=client.headers)
    assert answer.status_code == 301
    assert answer.headers["Location"].startswith("https://")


def _answered(world: World, name: str) -> float:
    """Predictions that a version has answered, by its own count."""
    lines = httpx.get(world.address(name) + "/metrics").text.splitlines()
    counted = [line for line in lines if line.startswith("model_predictions_total{") and 'status="ok"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in counted)
