"""The translation of documents to Envoy's configuration."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serin import use_case
from serin.adapters import templates
from serin.adapters.local import envoy
from serin.deployments import virtual_service
from serin.errors import UnavailableError

ROOT = Path(__file__).resolve().parents[5]
CASE = use_case.load("card_fraud", ROOT / "pipelines" / "use_cases")
WEIGHTED = virtual_service(CASE, {"card-fraud-v1": 90, "card-fraud-v2": 10}, templates.load(ROOT).virtual_service)

TIMES = {"timeout": "30s", "max_grpc_timeout": "30s"}
# As istiod makes them.
PREVIOUS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
RETRIES = {
    "retry_on": "connect-failure,refused-stream",
    "num_retries": 2,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": f"type.googleapis.com/{PREVIOUS}"},
        }
    ],
    "host_selection_retry_max_attempts": "5",
}


def _document(**http: Any) -> dict[str, Any]:
    entry = {"route": [{"destination": {"host": "m-v1-predictor", "port": {"number": 80}}}], **http}
    return {"metadata": {"name": "m"}, "spec": {"hosts": ["m"], "gateways": ["serin"], "http": [entry]}}


def test_virtual_service_becomes_routes_with_the_same_weights() -> None:
    def action(port: int) -> dict[str, Any]:
        clusters = [
            {"name": f"card-fraud-v1-predictor:{port}", "weight": 90},
            {"name": f"card-fraud-v2-predictor:{port}", "weight": 10},
        ]
        return {"weighted_clusters": {"clusters": clusters}, **TIMES, "retry_policy": RETRIES}

    grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    unpinned = {"name": "serin-deployment", "present_match": True, "invert_match": True}
    made = envoy.routes(WEIGHTED)
    assert made["@type"] == "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
    assert made["name"] == "gateway"
    (host,) = made["virtual_hosts"]
    assert (host["name"], host["domains"]) == ("card-fraud", ["*"])
    calls = {"prefix": "/inference.GRPCInferenceService/", "headers": [grpc, unpinned]}
    assert host["routes"][-3:] == [
        {"name": "grpc", "match": calls, "route": action(8081)},
        {"name": "http", "match": {"prefix": "/v1/", "headers": [unpinned]}, "route": action(80)},
        {"name": "http", "match": {"prefix": "/v2/", "headers": [unpinned]}, "route": action(80)},
    ]


def test_each_deployment_has_routes_for_requests_that_name_it() -> None:
    routes = envoy.routes(WEIGHTED)["virtual_hosts"][0]["routes"][:-3]
    assert [route["name"] for route in routes] == [
        *("grpc-card-fraud-v1", "grpc-card-fraud-v2"),
        *("http-card-fraud-v1", "http-card-fraud-v1", "http-card-fraud-v2", "http-card-fraud-v2"),
    ]
    for route in routes:
        kind, _, name = route["name"].partition("-")
        pinned = {"name": "serin-deployment", "string_match": {"exact": name}}
        assert route["match"]["headers"][-1] == pinned
        clusters = [{"name": f"{name}-predictor:{8081 if kind == 'grpc' else 80}", "weight": 100}]
        assert route["route"]["weighted_clusters"] == {"clusters": clusters}


def test_an_exact_path_is_matched_whole() -> None:
    (route,) = envoy.routes(_document(match=[{"uri": {"exact": "/v2"}}]))["virtual_hosts"][0]["routes"]
    assert route["match"] == {"path": "/v2"}


def test_paths_are_made_plain_before_they_meet_a_route() -> None:
    (manager,) = envoy.listener(8080)["filter_chains"][0]["filters"]
    assert manager["typed_config"]["normalize_path"] is True


def test_a_destination_without_weight_gets_everything() -> None:
    (route,) = envoy.routes(_document())["virtual_hosts"][0]["routes"]
    assert route["route"] == {
        "weighted_clusters": {"clusters": [{"name": "m-v1-predictor:80", "weight": 100}]},
        "timeout": "0s",
        "max_grpc_timeout": "0s",
    }


def test_each_match_becomes_a_route() -> None:
    matches = [{"headers": {"a": {"exact": "1"}}}, {"headers": {"b": {"prefix": "2"}}}]
    routes = envoy.routes(_document(match=matches))["virtual_hosts"][0]["routes"]
    assert [route["match"]["headers"] for route in routes] == [
        [{"name": "a", "string_match": {"exact": "1"}}],
        [{"name": "b", "string_match": {"prefix": "2"}}],
    ]


@pytest.mark.parametrize(
    ("http", "place", "key"),
    [
        ({"mirror": {"host": "x"}}, "http[0]", "mirror"),
        ({"match": [{"port": 80}]}, "http[0].match[0]", "port"),
        ({"retries": {"attempts": 1, "retryOn": "5xx", "perTryTimeout": "1s"}}, "http[0].retries", "perTryTimeout"),
        (
            {"route": [{"destination": {"host": "x", "port": {"number": 80}}, "headers": {}}]},
            "http[0].route[0]",
            "headers",
        ),
        (
            {"route": [{"destination": {"host": "x", "port": {"number": 80}, "subset": "y"}}]},
            "http[0].route[0].destination",
            "subset",
        ),
    ],
)
def test_a_key_beyond_the_translation_is_named(http: dict[str, Any], place: str, key: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        envoy.routes(_document(**http))
    assert f"VirtualService m: spec.{place}: {key} is beyond the local gateway; it knows " in str(caught.value)


def test_a_spec_beyond_the_translation_says_what_is_known() -> None:
    document = _document()
    document["spec"]["tls"] = []
    with pytest.raises(UnavailableError, match=r"spec: tls is beyond .*; it knows gateways, hosts, http there"):
        envoy.routes(document)


@pytest.mark.parametrize(
    ("http", "problem"),
    [
        ({"route": []}, "http[0].route: List should have at least 1 item"),
        ({"route": None}, "http[0].route: Input should be a valid list (found None)"),
        ({"route": [{"weight": 1}]}, "http[0].route[0].destination: Field required"),
        ({"match": [{"headers": {"a": {"regex": "."}}}]}, "Input should be 'exact' or 'prefix' (found 'regex')"),
        ({"match": [{"uri": {"regex": "."}}]}, "Input should be 'exact' or 'prefix' (found 'regex')"),
        ({"match": [{"withoutHeaders": {"a": {"exact": "1"}}}]}, "Dictionary should have at most 0 items"),
        ({"timeout": "soon"}, "http[0].timeout: String should match"),
        ({"retries": {"attempts": "2", "retryOn": "5xx"}}, "http[0].retries.attempts: Input should be a valid integer"),
    ],
)
def test_a_malformed_virtual_service_is_told_by_key(http: dict[str, Any], problem: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        envoy.routes(_document(**http))
    assert str(caught.value).startswith("VirtualService m: spec.")
    assert problem in str(caught.value)


def test_weights_that_let_no_request_through_are_refused() -> None:
    destination = {"host": "m-v1-predictor", "port": {"number": 80}}
    with pytest.raises(UnavailableError, match="every weight is 0"):
        envoy.routes(_document(route=[{"destination": destination, "weight": 0}]))


@pytest.mark.parametrize("routes", [envoy.routes(WEIGHTED), envoy.no_routes()])
def test_envoy_takes_the_configuration(tmp_path: Path, routes: dict[str, Any]) -> None:
    """All of it in one static file: files that are discovered later are not read by --mode validate."""
    listener = envoy.listener(8080)
    (manager,) = listener["filter_chains"][0]["filters"]
    del manager["typed_config"]["rds"]
    manager["typed_config"]["route_config"] = _plain(routes)
    clusters = envoy.clusters({"card-fraud-v1": (9001, 9002), "card-fraud-v2": None})
    boot = envoy.bootstrap(9000)
    static = {**boot, "static_resources": {"listeners": [_plain(listener)], "clusters": list(map(_plain, clusters))}}
    del static["dynamic_resources"]
    for name, config in {"static.json": static, "bootstrap.json": boot}.items():
        (tmp_path / name).write_text(json.dumps(config))
    for name in ("cds", "lds", "rds"):
        (tmp_path / f"{name}.json").write_text(envoy.discovery()[0])
    for name in ("static.json", "bootstrap.json"):
        assert _validated(tmp_path, name) == "OK"


def _plain(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != "@type"}


def _validated(folder: Path, name: str) -> str:
    executable = Path(sys.executable).with_name("envoy")
    line = [executable, "--mode", "validate", "-c", name, "--concurrency", "1", "--disable-hot-restart"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return "OK" if done.returncode == 0 else done.stderr


def test_envoy_refuses_what_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "boot.json").write_text(json.dumps({**envoy.bootstrap(9000), "nods": {}}))
    assert "nods" in _validated(tmp_path, "boot.json")


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


def test_shared_clusters_are_those_with_a_weight_of_requests_that_name_no_deployment() -> None:
    document = virtual_service(CASE, {"card-fraud-v1": 100, "card-fraud-v2": 0}, templates.load(ROOT).virtual_service)
    assert envoy.shared_clusters(envoy.routes(document)) == {"card-fraud-v1-predictor:80"}
    assert envoy.shared_clusters(envoy.no_routes()) == set()


def test_the_listener_is_on_loopback_and_shares_its_port_with_nobody() -> None:
    found = envoy.listener(8080)
    assert found["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 8080}
    assert found["enable_reuse_port"] is False


def test_a_discovery_response_has_a_version_of_its_content() -> None:
    text, version = envoy.discovery({"name": "a"})
    assert json.loads(text) == {"version_info": version, "resources": [{"name": "a"}]}
    assert envoy.discovery({"name": "a"})[1] == version
    assert envoy.discovery({"name": "b"})[1] != version
