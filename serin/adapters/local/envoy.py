"""Envoy's configuration, made from the documents; pure functions, no process.

A VirtualService becomes a route configuration, a deployment two clusters: one a port of its KServe Service.
What the translation does not know is an error that names the key, never left out in silence.

Where the local gateway differs from Istio's:

    hosts     it serves one model, so it answers to every host name, not to `spec.hosts` alone
    access    nobody has to show a token, and nothing is encrypted: it listens on loopback only
    weights   of the requests of one Envoy process, not of many gateways
    errors    its own answers to HTTP requests are JSON, as the predictors' are
    health    a deployment without a process answers 503 at once; there is no outlier detection
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from serin.adapters.local import documents
from serin.adapters.local.documents import Match, Route, VirtualService

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
# A request may name its deployment in this header (istio/virtualservice.yaml).
_DEPLOYMENT = "serin-deployment"
_SHOWN = 200  # characters of a path or a header that an answer repeats
_FROM = {"default_value": 400, "runtime_key": "serin.told_from"}  # the lowest HTTP status that is an error
# What Istio adds to every retry: another pod than those tried. Here a deployment is one process, and gets it again.
_OTHER_HOSTS: Config = {
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": f"{_TYPES}extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
        }
    ],
    "host_selection_retry_max_attempts": "5",
}


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

    Raises UnavailableError: a key that the translation does not know.
    """
    name = document["metadata"]["name"]
    service = documents.read(VirtualService, document, f"VirtualService {name}")
    found = [made for route in service.spec.http for made in _routes(route)]
    return {
        "@type": f"{_TYPES}config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "virtual_hosts": [{"name": name, "domains": ["*"], "routes": found}],
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


def shared_clusters(route_configuration: Mapping[str, Any]) -> set[str]:
    """The clusters that have a share of the traffic; the last route is that of requests that name no deployment."""
    return {
        cluster["name"]
        for host in route_configuration["virtual_hosts"]
        for cluster in host["routes"][-1]["route"]["weighted_clusters"]["clusters"]
        if cluster["weight"]
    }


def _routes(entry: Route) -> list[Config]:
    shares = [
        {"name": cluster_name(share.destination.host, share.destination.port.number), "weight": share.weight}
        for share in entry.route
    ]
    # As Istio has them: none where none is given, and a gRPC client may ask for less.
    timeout = entry.timeout or "0s"
    action: Config = {
        "weighted_clusters": {"clusters": shares},
        "timeout": timeout,
        "max_grpc_timeout": timeout,
    }
    if entry.retries:
        action["retry_policy"] = {
            "retry_on": entry.retries.retryOn,
            "num_retries": entry.retries.attempts,
            **_OTHER_HOSTS,
        }
    name = {"name": entry.name} if entry.name else {}
    return [{**name, "match": _match(match), "route": action} for match in entry.match]


def _match(entry: Match) -> Config:
    """Istio's `exact` of a path is Envoy's `path`, its `prefix` the same."""
    ((kind, value),) = (entry.uri or {"prefix": "/"}).items()
    headers: list[Config] = [{"name": name, "string_match": text} for name, text in entry.headers.items()]
    headers += [{"name": name, "present_match": True, "invert_match": True} for name in entry.withoutHeaders]
    return {"path" if kind == "exact" else kind: value, **({"headers": headers} if headers else {})}


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
            # /v1/../metrics is /metrics, before it meets a route; Istio's default as well.
            "normalize_path": True,
            "rds": {"route_config_name": ROUTES, "config_source": _source("rds.json")},
            "local_reply_config": {"mappers": _answers()},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router}}],
        },
    }


def _answers() -> list[Config]:
    """What Envoy answers by itself, over HTTP, as the predictors tell their errors; the first that fits counts. A gRPC
    caller is told the plain text as its status."""
    asked, named = f"%REQ(:METHOD)% %REQ(:PATH):{_SHOWN}%", f"%REQ({_DEPLOYMENT}):{_SHOWN}%"
    lost: Config = {"response_flag_filter": {"flags": ["NR"]}}
    told = "allowed are paths that begin with /v1/ or /v2/, once the model is served"
    of = f"allowed beside `{_DEPLOYMENT}` are the names of deployments that run, and paths that begin with /v1/ or /v2/"
    return [
        _answer([lost, _header(_DEPLOYMENT, {"present_match": True})], f"{asked} leads nowhere for {named}; {of}"),
        _answer([lost], f"{asked} leads nowhere; {told}"),
        _answer([], "the gateway: %LOCAL_REPLY_BODY%"),
    ]


def _answer(filters: list[Config], text: str) -> Config:
    match: Config = {"string_match": {"prefix": "application/grpc"}, "invert_match": True}
    # Of a header that is missing Envoy would say that it does not match, inverted or not.
    http = _header("content-type", {**match, "treat_missing_header_as_empty": True})
    failed = {"status_code_filter": {"comparison": {"op": "GE", "value": _FROM}}}
    return {
        "filter": {"and_filter": {"filters": [http, failed, *filters]}},
        "body_format_override": {"json_format": {"error": text}},
    }


def _header(name: str, match: Config) -> Config:
    return {"header_filter": {"header": {"name": name, **match}}}


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
