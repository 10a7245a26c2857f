"""The translation of documents to Envoy's configuration."""

import json
from pathlib import Path
from typing import Any

import pytest

from serin import use_case
from serin.adapters import envoy, templates
from serin.deployments import virtual_service
from serin.errors import UnavailableError

ROOT = Path(__file__).resolve().parents[4]
CASE = use_case.load("card_fraud", ROOT / "pipelines" / "use_cases")
WEIGHTED = virtual_service(CASE, {"card-fraud-v1": 90, "card-fraud-v2": 10}, templates.load(ROOT).virtual_service)


def _document(**http: Any) -> dict[str, Any]:
    entry = {"route": [{"destination": {"host": "m-v1-predictor", "port": {"number": 80}}}], **http}
    return {"metadata": {"name": "m"}, "spec": {"hosts": ["m"], "gateways": ["serin"], "http": [entry]}}


def test_virtual_service_becomes_routes_with_the_same_weights() -> None:
    retries = {"retry_on": "connect-failure,refused-stream", "num_retries": 2}

    def action(port: int) -> dict[str, Any]:
        clusters = [
            {"name": f"card-fraud-v1-predictor:{port}", "weight": 90},
            {"name": f"card-fraud-v2-predictor:{port}", "weight": 10},
        ]
        return {"weighted_clusters": {"clusters": clusters}, "timeout": "30s", "retry_policy": retries}

    grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    assert envoy.routes(WEIGHTED) == {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "gateway",
        "virtual_hosts": [
            {
                "name": "card-fraud",
                "domains": ["*"],
                "routes": [
                    {"name": "grpc", "match": {"prefix": "/", "headers": [grpc]}, "route": action(8081)},
                    {"name": "http", "match": {"prefix": "/"}, "route": action(80)},
                ],
            }
        ],
    }


def test_a_destination_without_weight_gets_everything() -> None:
    (route,) = envoy.routes(_document())["virtual_hosts"][0]["routes"]
    assert route["route"] == {"weighted_clusters": {"clusters": [{"name": "m-v1-predictor:80", "weight": 100}]}}


def test_each_match_becomes_a_route() -> None:
    matches = [{"headers": {"a": {"exact": "1"}}}, {"headers": {"b": {"prefix": "2"}}}]
    routes = envoy.routes(_document(match=matches))["virtual_hosts"][0]["routes"]
    assert [route["match"]["headers"] for route in routes] == [
        [{"name": "a", "string_match": {"exact": "1"}}],
        [{"name": "b", "string_match": {"prefix": "2"}}],
    ]


@pytest.mark.parametrize(
    ("http", "key"),
    [
        ({"mirror": {"host": "x"}}, r"http\[0\]\.mirror"),
        ({"match": [{"uri": {"prefix": "/"}}]}, r"http\[0\]\.match\[0\]\.uri"),
        ({"match": [{"headers": {"a": {"regex": "."}}}]}, r"http\[0\]\.match\[0\]\.headers\.a\.regex"),
        ({"retries": {"attempts": 1, "perTryTimeout": "1s"}}, r"http\[0\]\.retries\.perTryTimeout"),
        ({"route": [{"destination": {"host": "x"}, "headers": {}}]}, r"http\[0\]\.route\[0\]\.headers"),
        (
            {"route": [{"destination": {"host": "x", "subset": "y"}}]},
            r"http\[0\]\.route\[0\]\.destination\.subset",
        ),
    ],
)
def test_a_key_beyond_the_translation_is_named(http: dict[str, Any], key: str) -> None:
    with pytest.raises(UnavailableError, match=rf"VirtualService m: spec\.{key} is beyond the local gateway"):
        envoy.routes(_document(**http))


def test_a_spec_beyond_the_translation_says_what_is_known() -> None:
    document = _document()
    document["spec"]["tls"] = []
    with pytest.raises(UnavailableError, match=r"spec\.tls is beyond .*; it knows gateways, hosts, http there"):
        envoy.routes(document)


def test_a_deployment_has_a_cluster_for_http_and_one_for_grpc() -> None:
    http, grpc = envoy.clusters({"m-v1": (9001, 9002)})
    assert (http["name"], grpc["name"]) == ("m-v1-predictor:80", "m-v1-predictor:8081")
    for cluster, port, protocol in ((http, 9001, "http_protocol_options"), (grpc, 9002, "http2_protocol_options")):
        (options,) = cluster["typed_extension_protocol_options"].values()
        assert options["explicit_http_config"] == {protocol: {}}
        (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        address = endpoint["endpoint"]["address"]["socket_address"]
        assert address == {"address": "127.0.0.1", "port_value": port}


def test_a_deployment_without_a_process_has_clusters_without_endpoints() -> None:
    found = envoy.clusters({"m-v1": None})
    assert [cluster["load_assignment"]["endpoints"] for cluster in found] == [[{"lb_endpoints": []}]] * 2


def test_routed_clusters_are_those_that_routes_name() -> None:
    assert envoy.routed_clusters(envoy.routes(WEIGHTED)) == {
        "card-fraud-v1-predictor:80",
        "card-fraud-v1-predictor:8081",
        "card-fraud-v2-predictor:80",
        "card-fraud-v2-predictor:8081",
    }
    assert envoy.routed_clusters(envoy.no_routes()) == set()


def test_the_listener_is_on_loopback_and_shares_its_port_with_nobody() -> None:
    found = envoy.listener(8080)
    assert found["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 8080}
    assert found["enable_reuse_port"] is False


def test_a_discovery_response_has_a_version_of_its_content() -> None:
    text, version = envoy.discovery({"name": "a"})
    assert json.loads(text) == {"version_info": version, "resources": [{"name": "a"}]}
    assert envoy.discovery({"name": "a"})[1] == version
    assert envoy.discovery({"name": "b"})[1] != version
