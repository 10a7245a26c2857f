"""Envoy's configuration, made from the documents; pure functions, no process.

A VirtualService becomes a route configuration, a deployment two clusters: one a port of its KServe Service.
What the translation does not know is an error that names the key, never left out in silence.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from serin.errors import UnavailableError

Config = dict[str, Any]
# The loopback ports (HTTP, gRPC) of each deployment's predictor; None while it has no process.
Ports = Mapping[str, tuple[int, int] | None]

HTTP_PORT = 80
GRPC_PORT = 8081
ROUTES = "gateway"
_TYPES = "type.googleapis.com/envoy."
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# uvicorn closes a connection that was idle for 65 s (KServe's setting). Envoy must close it first, or a
# request can be sent into a connection that is just being closed.
_IDLE_TIMEOUT = "30s"


def cluster_name(host: str, port: int) -> str:
    """The cluster behind one port of a Service."""
    return f"{host}:{port}"


def clusters(ports: Ports) -> list[Config]:
    """Two clusters for each deployment; like a Service without pods, one without a process has no endpoint."""
    made = []
    for name, (http, grpc) in sorted((name, pair or (None, None)) for name, pair in ports.items()):
        made.append(_cluster(cluster_name(f"{name}-predictor", HTTP_PORT), http, "http_protocol_options"))
        made.append(_cluster(cluster_name(f"{name}-predictor", GRPC_PORT), grpc, "http2_protocol_options"))
    return made


def _cluster(name: str, port: int | None, protocol: str) -> Config:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "@type": f"{_TYPES}config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"{_TYPES}{_HTTP_OPTIONS.removeprefix('envoy.')}",
                "common_http_protocol_options": {"idle_timeout": _IDLE_TIMEOUT},
                "explicit_http_config": {protocol: {}},
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}] if port else []}],
        },
    }


def routes(document: Mapping[str, Any]) -> Config:
    """The route configuration of a VirtualService.

    The local gateway serves one model, so it answers to every host name, not to `spec.hosts` alone.
    Raises UnavailableError: a key that the translation does not know.
    """
    where = f"VirtualService {document['metadata']['name']}: spec"
    spec = _known(document["spec"], where, "hosts", "gateways", "http")
    return {
        "@type": f"{_TYPES}config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "virtual_hosts": [
            {
                "name": document["metadata"]["name"],
                "domains": ["*"],
                "routes": [
                    route
                    for index, entry in enumerate(spec["http"])
                    for route in _http_route(entry, f"{where}.http[{index}]")
                ],
            }
        ],
    }


def no_routes() -> Config:
    """The route configuration before there is a VirtualService: every request gets 404."""
    return {"@type": f"{_TYPES}config.route.v3.RouteConfiguration", "name": ROUTES, "virtual_hosts": []}


def routed_clusters(route_configuration: Mapping[str, Any]) -> set[str]:
    """The clusters that a route configuration names, with whatever weight."""
    return {
        cluster["name"]
        for host in route_configuration["virtual_hosts"]
        for route in host["routes"]
        for cluster in route["route"]["weighted_clusters"]["clusters"]
    }


def _http_route(entry: Mapping[str, Any], where: str) -> list[Config]:
    _known(entry, where, "name", "match", "route", "timeout", "retries")
    action: Config = {
        "weighted_clusters": {
            "clusters": [_destination(d, f"{where}.route[{i}]") for i, d in enumerate(entry["route"])]
        }
    }
    if "timeout" in entry:
        action["timeout"] = entry["timeout"]
    if "retries" in entry:
        retries = _known(entry["retries"], f"{where}.retries", "attempts", "retryOn")
        action["retry_policy"] = {"retry_on": retries["retryOn"], "num_retries": retries["attempts"]}
    matches = [_match(m, f"{where}.match[{i}]") for i, m in enumerate(entry.get("match", [{}]))]
    name = {"name": entry["name"]} if "name" in entry else {}
    return [{**name, "match": match, "route": action} for match in matches]


def _destination(entry: Mapping[str, Any], where: str) -> Config:
    _known(entry, where, "destination", "weight")
    destination = _known(entry["destination"], f"{where}.destination", "host", "port")
    port = _known(destination["port"], f"{where}.destination.port", "number")
    return {"name": cluster_name(destination["host"], port["number"]), "weight": entry.get("weight", 100)}


def _match(entry: Mapping[str, Any], where: str) -> Config:
    _known(entry, where, "headers")
    headers = []
    for name, value in entry.get("headers", {}).items():
        _known(value, f"{where}.headers.{name}", "exact", "prefix")
        headers.append({"name": name, "string_match": dict(value)})
    return {"prefix": "/", **({"headers": headers} if headers else {})}


def _known(entry: Mapping[str, Any], where: str, *keys: str) -> Mapping[str, Any]:
    for key in entry:
        if key not in keys:
            raise UnavailableError(
                f"{where}.{key} is beyond the local gateway; it knows {', '.join(sorted(keys))} there"
            )
    return entry


def listener(port: int) -> Config:
    """The one public listener: HTTP/1.1 and HTTP/2 without TLS (gRPC), told apart by their first bytes."""
    return {
        "@type": f"{_TYPES}config.listener.v3.Listener",
        "name": "gateway",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        # With it, two gateways would share a port, and requests, in silence.
        "enable_reuse_port": False,
        "filter_chains": [{"filters": [_connection_manager()]}],
    }


def _connection_manager() -> Config:
    router = f"{_TYPES}extensions.filters.http.router.v3.Router"
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_TYPES}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "gateway",
            "codec_type": "AUTO",
            "rds": {"route_config_name": ROUTES, "config_source": _source("rds.json")},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router}}],
        },
    }


def bootstrap(admin_port: int) -> Config:
    """Envoy's start-up file; it runs in the folder that holds cds.json, lds.json and rds.json."""
    return {
        "node": {"id": "serin", "cluster": "serin"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin_port}}},
        "dynamic_resources": {"cds_config": _source("cds.json"), "lds_config": _source("lds.json")},
    }


def _source(file: str) -> Config:
    return {"resource_api_version": "V3", "path_config_source": {"path": f"./{file}"}}


def discovery(*resources: Mapping[str, Any]) -> tuple[str, str]:
    """A discovery response as JSON text, and its version, which is a hash of its resources."""
    version = hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:12]
    return json.dumps({"version_info": version, "resources": resources}, indent=1) + "\n", version
