"""The online store against Feast's own writing and reading, on a real Redis server and in a SQLite file: entities/s of
`write_rows` beside `feast materialize`, and requests of 1 and of 100 entities beside `get_online_features`."""

import asyncio
import contextlib
import io
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from serin.columns import TypeName
from serin.online.opening import open_store
from serin.online.plan import TablePlan
from serin.online.store import OnlineStore
from tests import feast_repo, services

AS_OF = datetime(2026, 2, 10, tzinfo=UTC)
THEIRS, RUNS = 10_000, 3  # entities that Feast writes, and how often
NUMBERS: dict[str, TypeName] = {f"f{number}": "number" for number in range(12)}
# As of a customer's snapshot: half of the columns are numbers, and in each a tenth of the values is missing.
MIXED: dict[str, TypeName] = {f"f{number}": ("number", "integer", "text")[number % 3] for number in range(12)}
READS = {1: 400, 100: 60}  # requests, by entities


@dataclass(frozen=True)
class _Both:
    """The same view in one store, for Serin and for Feast."""

    ours: OnlineStore
    theirs: Any
    plan: TablePlan


def run() -> None:
    """Print the ratios, store by store."""
    logging.disable(logging.INFO)
    warnings.simplefilter("ignore")
    numbers, mixed = ("12 numbers", NUMBERS), ("12 numbers and texts, a tenth missing", MIXED)
    with services.redis() as address:
        redis = f'{{type: redis, connection_string: "{address}", skip_dedup: true}}'
        _compare("Redis", redis, *numbers, 100_000)
        _compare("Redis", redis, *mixed, 100_000)
    _compare("SQLite", feast_repo.SQLITE, *numbers, 20_000)


def _compare(name: str, store: str, what: str, features: dict[str, TypeName], count: int) -> None:
    """`count`: how many entities Serin writes."""
    with tempfile.TemporaryDirectory() as folder:
        _compare_in(Path(folder), name, store, what, features, count)


def _compare_in(folder: Path, name: str, store: str, what: str, features: dict[str, TypeName], count: int) -> None:
    yaml = feast_repo.write_yaml(folder, store)
    with _quiet():
        theirs = feast_repo.store(folder, features=features)
    both = _Both(open_store(yaml), theirs, feast_repo.plan(features=features))
    try:
        _writes(name, what, folder, both, count)
        if features is NUMBERS:
            _reads(name, both)
    finally:
        both.ours.close()


def _writes(name: str, what: str, folder: Path, both: _Both, count: int) -> None:
    """Both begin at the view's file."""
    rows, file = _rows(count, both.plan), folder / "ours.parquet"
    pq.write_table(rows, file)
    pq.write_table(rows.slice(0, THEIRS), folder / "rows.parquet")

    def feast() -> None:
        with _quiet():
            both.theirs.materialize(AS_OF - timedelta(days=1), AS_OF + timedelta(days=1))

    rates: dict[str, list[float]] = {"serin": [], "feast": []}
    for _ in range(RUNS):
        rates["feast"].append(THEIRS / _seconds(feast))
        rates["serin"].append(count / _seconds(lambda: both.ours.write_rows(both.plan, pq.read_table(file))))
        _check(both, rows)
    serin, feast_rate = (median(rates[each]) for each in ("serin", "feast"))
    print(f"materialisation into {name}, {what}: {serin / feast_rate:.1f} x `feast materialize`")
    print(f"  serin {serin:,.0f} entities/s ({count:,}); feast {feast_rate:,.0f} entities/s ({THEIRS:,}) (median)")


def _check(both: _Both, rows: pa.Table) -> None:
    """Raises AssertionError where Feast does not read what was written."""
    keys = rows["id"][::9973].to_pylist()
    names = list(both.plan.features)
    with _quiet():
        answer = _asked(both, keys).to_dict()
    for name in names:
        assert answer[name] == rows[name][::9973].to_pylist(), name


def _reads(name: str, both: _Both) -> None:
    chosen = np.random.default_rng(2)
    for count, requests in READS.items():
        asked = [chosen.choice(THEIRS, count, replace=False).tolist() for _ in range(requests)]
        with _quiet():
            ours, theirs = asyncio.run(_turns(both, asked))
        ratio = _shown(theirs, 0.5) / _shown(ours, 0.5)
        told = f"{count} entit{'y' if count == 1 else 'ies'}"
        print(f"online read of {told} from {name}, 12 features: {ratio:.1f} x `get_online_features` (p50)")
        for who, seconds in (("serin", ours), ("feast", theirs)):
            print(f"  {who} p50 {_shown(seconds, 0.5):.2f} ms, p99 {_shown(seconds, 0.99):.2f} ms")


async def _turns(both: _Both, asked: Sequence[list[int]]) -> tuple[list[float], list[float]]:
    """Seconds of each request, of Serin and of Feast, who take turns."""
    ours, theirs = [], []
    await both.ours.read([(both.plan, asked[0])], [])
    for keys in asked:
        start = time.perf_counter()
        await both.ours.read([(both.plan, keys)], [])
        middle = time.perf_counter()
        _asked(both, keys)
        theirs.append(time.perf_counter() - middle)
        ours.append(middle - start)
    return ours, theirs


def _asked(both: _Both, keys: Sequence[int]) -> Any:
    features = [f"{both.plan.view}:{name}" for name in both.plan.features]
    return both.theirs.get_online_features(features, [{"id": key} for key in keys])


def _rows(count: int, plan: TablePlan) -> pa.Table:
    random = np.random.default_rng(1)
    made: dict[TypeName, Callable[[], Any]] = {
        "number": lambda: random.random(count),
        "integer": lambda: random.integers(0, 10**6, count),
        "text": lambda: np.char.add("category ", random.integers(0, 1000, count).astype(str)),
    }
    missing = plan.features != NUMBERS
    columns = {
        name: pa.array(made[kind](), mask=random.random(count) < 0.1 if missing else None)
        for name, kind in plan.features.items()
    }
    times = pa.array([AS_OF] * count, pa.timestamp("us", tz="UTC"))
    return pa.table({"id": np.arange(count), **columns, "event_timestamp": times})


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _shown(seconds: Sequence[float], share: float) -> float:
    """A quantile, in milliseconds."""
    return quantiles(seconds, n=100, method="inclusive")[round(share * 100) - 1] * 1000


@contextlib.contextmanager
def _quiet() -> Any:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
