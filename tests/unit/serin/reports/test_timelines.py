"""Traffic and latency over time."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from serin.errors import DataError
from serin.reports.timelines import Mark, latency, traffic
from tests.markup import texts

START = datetime(2018, 6, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_traffic_counts_requests_versions_and_failures(samples):
    found = texts(traffic(samples))
    assert "2,000 requests to 2 versions, 4 failed" in found
    assert {"v1", "v2", "Failed", "Time (s)"} <= set(found)


def test_traffic_without_failures_has_no_panel_for_them(samples):
    assert "Failed" not in texts(traffic(samples[samples["status"] == 200]))


def test_traffic_numbers_marks_and_lists_them(samples):
    found = texts(traffic(samples, [Mark(after(40), "v2: 5 %"), Mark(after(50), "<b>promoted</b> $x$")]))
    assert {"1", "2"} <= set(found)
    assert any("1 v2: 5 %" in " ".join(text.split()) for text in found)
    assert any("<b>promoted</b> $x$" in text for text in found)


def test_traffic_takes_marks_before_the_first_and_after_the_last_request(samples):
    assert texts(traffic(samples, [Mark(after(-1e6), "early"), Mark(after(1e6), "late")]))


def test_traffic_of_one_request():
    one = pd.DataFrame({"time": [START], "version": ["v1"], "status": [200], "latency_ms": [2.0]})
    assert "1 requests to 1 version, 0 failed" in texts(traffic(one))
    assert texts(latency(one))


def test_latency_names_each_versions_percentile_and_the_limit(samples):
    found = texts(latency(samples, limit_ms=50))
    expected = samples[samples["version"] == "v1"]["latency_ms"].quantile(0.95)
    assert any(text.startswith(f"95th percentile: v1 {expected:,.1f} ms, v2 ") for text in found)
    assert "limit 50 ms" in found


@pytest.mark.parametrize("draw", [traffic, latency])
def test_samples_without_rows(samples, draw):
    with pytest.raises(DataError, match=r"^traffic over time: the samples hold no rows; at least one is needed$"):
        draw(samples.iloc[:0])
