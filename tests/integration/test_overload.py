"""More requests than a predictor can answer in time: some are refused at once, and the others answered as ever."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from tests.factories import make_slow_artifact
from tests.predictor_process import Predictor, start, workspace

MOST, CALLERS, SECONDS = 8, 60, 2.0
# A complete row for the model of `make_slow_artifact`.
BODY = {"instances": [{"TX_AMOUNT": 80.5, "CHANNEL": "chip", "TX_DATETIME": "2018-06-01T12:00:00"}]}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    root = workspace(tmp_path_factory.mktemp("overload") / "root")
    make_slow_artifact(root / "model")
    options = ["--max_threads", "1", "--max_concurrency", str(MOST)]
    started = start(root, root / "model", options=options)
    yield started
    assert started.stop() == 0


def test_requests_beyond_the_most_are_refused_at_once_with_the_time_to_come_back(predictor: Predictor) -> None:
    seen: Counter[int] = Counter()
    refused: list[httpx.Response] = []
    slowest = 0.0

    async def call(client: httpx.AsyncClient, until: float) -> None:
        nonlocal slowest
        while (before := time.monotonic()) < until:
            answer = await client.post("/v1/models/card-fraud:predict", json=BODY)
            slowest = max(slowest, time.monotonic() - before)
            seen[answer.status_code] += 1
            if answer.status_code == 503:
                refused.append(answer)

    async def crowd() -> None:
        limits = httpx.Limits(max_connections=CALLERS, max_keepalive_connections=CALLERS)
        async with httpx.AsyncClient(base_url=predictor.http, limits=limits, timeout=30) as client:
            until = time.monotonic() + SECONDS
            await asyncio.gather(*(call(client, until) for _ in range(CALLERS)))

    asyncio.run(crowd())
    assert set(seen) == {200, 503}
    assert refused[0].json()["error"].endswith(f"{MOST} requests are in flight; allowed: {MOST}")
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert predictor.metric("model_predictions_total", status="overloaded") == seen[503]
    assert predictor.metric("model_predictions_total", status="ok") == seen[200]
    assert predictor.metric("model_predictions_total", status="error") == 0
    # Nobody waited for more than a few batches; the machine may have other work.
    assert slowest < 5


def test_afterwards_everything_is_as_before(predictor: Predictor) -> None:
    assert httpx.post(f"{predictor.http}/v1/models/card-fraud:predict", json=BODY, timeout=30).status_code == 200
    assert predictor.metric("model_requests_in_flight") == 0
