"""What Prometheus is asked for the counters of a deployment: data, in two sets.

    serin   what the predictor counts itself: every request that reached it
    istio   what the gateway and the mesh's clients count: also requests that reached no predictor; needs no scrape of
            the predictors

Each text selects counters; $namespace and $deployment are filled in.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from serin.adapters.cluster.endpoints import QuerySet


@dataclass(frozen=True)
class Queries:
    """Selectors of counters whose sum is the number of `ok` and of `errors`, and of the buckets of `latency`, whose
    bounds are in units of `seconds`.

    `starts` selects gauges that change when a process starts anew ("" where there are none). `witness` selects series
    that are there, and scraped, whenever a measurement is possible, with or without traffic. `each_pod`: of every ready
    predictor pod there must be one, told by its label `pod`.
    """

    ok: tuple[str, ...]
    errors: tuple[str, ...]
    latency: str
    seconds: float
    starts: str
    witness: str
    each_pod: bool


_PREDICTOR = 'namespace="$namespace",deployment="$deployment"'
# The reporter is the client's side: what never reached a predictor counts as well.
_MESH = 'reporter="source",destination_service_namespace="$namespace",destination_service_name="$deployment-predictor"'
# UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNAVAILABLE, DATA_LOSS; all others but OK are the
# caller's fault.
_GRPC_ERRORS = "2|4|8|10|13|14|15"

QUERIES: Mapping[QuerySet, Queries] = {
    "serin": Queries(
        ok=(f'model_predictions_total{{{_PREDICTOR},status="ok"}}',),
        # What a predictor refuses because it has too much to do is no less an error to the caller.
        errors=(f'model_predictions_total{{{_PREDICTOR},status=~"error|overloaded"}}',),
        latency=f"model_prediction_latency_seconds_bucket{{{_PREDICTOR}}}",
        seconds=1.0,
        starts=f"model_load_timestamp{{{_PREDICTOR}}}",
        witness=f'model_predictions_total{{{_PREDICTOR},status="ok"}}',
        each_pod=True,
    ),
    "istio": Queries(
        ok=(
            f'istio_requests_total{{{_MESH},request_protocol!="grpc",response_code=~"[23].."}}',
            f'istio_requests_total{{{_MESH},request_protocol="grpc",grpc_response_status="0"}}',
        ),
        errors=(
            f'istio_requests_total{{{_MESH},request_protocol!="grpc",response_code=~"5.."}}',
            # No answer at all, and not because the client had left (downstream connection termination).
            f'istio_requests_total{{{_MESH},response_code="0",response_flags!~".*(DC|DPE).*"}}',
            f'istio_requests_total{{{_MESH},request_protocol="grpc",response_code!="0",'
            f'grpc_response_status=~"{_GRPC_ERRORS}"}}',
            f'istio_requests_total{{{_MESH},request_protocol="grpc",grpc_response_status="",response_code=~"5.."}}',
        ),
        latency=f"istio_request_duration_milliseconds_bucket{{{_MESH}}}",
        seconds=0.001,
        starts="",
        # Whatever the gateway counts for any service here shows that it is scraped.
        witness='istio_requests_total{reporter="source",destination_service_namespace="$namespace"}',
        each_pod=False,
    ),
}
