"""Rows and requests that every report test draws."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def scored():
    """Labels, good scores and poor scores of 4,000 rows; one in twenty is positive."""
    random = np.random.default_rng(0)
    labels = (random.random(4000) < 0.05).astype(int)
    good = np.clip(random.normal(0.3, 0.1, 4000) + 0.3 * labels, 0, 1)
    poor = np.clip(random.normal(0.3, 0.2, 4000) + 0.1 * labels, 0, 1)
    return labels, good, poor


@pytest.fixture(scope="session")
def samples():
    """2,000 requests in 100 s, first to v1, then to v2; four of v2 failed."""
    random = np.random.default_rng(0)
    second = np.sort(random.uniform(0, 100, 2000))
    status = np.full(2000, 200)
    status[[1500, 1600]], status[[1700, 1800]] = 503, 0
    return pd.DataFrame(
        {
            "time": pd.Timestamp("2018-06-01", tz="UTC") + pd.to_timedelta(second, unit="s"),
            "version": np.where(second < 50, "v1", "v2"),
            "status": status,
            "latency_ms": random.lognormal(1, 0.3, 2000),
        }
    )
