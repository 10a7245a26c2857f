"""Counters from a predictor's /metrics."""

import pytest

from serin.adapters.local.metrics import parse
from serin.ports import Sample

TEXT = """\
# TYPE model_predictions_total counter
model_predictions_total{deployment="m-v1",model="m",model_version="1",status="ok"} 95
model_predictions_total{deployment="m-v1",model="m",model_version="1",status="error"} 3
model_predictions_total{deployment="m-v1",model="m",model_version="1",status="overloaded"} 2
model_predictions_total{deployment="m-v1",model="m",model_version="1",status="invalid"} 7
model_predictions_total{deployment="m-v2",model="m",model_version="2",status="ok"} 1000
# TYPE model_prediction_latency_seconds histogram
model_prediction_latency_seconds_bucket{deployment="m-v1",le="0.1",protocol="http"} 60
model_prediction_latency_seconds_bucket{deployment="m-v1",le="+Inf",protocol="http"} 70
model_prediction_latency_seconds_bucket{deployment="m-v1",le="0.1",protocol="grpc"} 30
model_prediction_latency_seconds_bucket{deployment="m-v1",le="+Inf",protocol="grpc"} 30
model_prediction_latency_seconds_count{deployment="m-v1"} 100
"""


def test_a_sample_sums_what_belongs_to_the_deployment() -> None:
    assert parse(TEXT, "m-v1") == Sample(ok=95, errors=5, buckets={"0.1": 90, "+Inf": 100})


def test_a_deployment_that_counted_no_latency_has_no_buckets() -> None:
    assert parse(TEXT, "m-v2") == Sample(ok=1000, errors=0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>502</html>",
        'model_predictions_total{deployment="m-v1",status="ok"} NaN\n',
        'model_predictions_total{deployment="m-v1"} 1\n',
        'model_predictions_total{deployment="m-v1",status="ok"} many\n',
    ],
)
def test_a_text_without_usable_counters_is_no_sample(text: str) -> None:
    assert parse(text, "m-v1") is None
