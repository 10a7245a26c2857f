"""The offline windows of card_fraud over simulated events: seconds, and the most memory that the process ever held.

Each size is a process of its own, which makes the events and computes both views one after the other. There is no
reference beside it: what is printed is how time and memory grow, and whether the largest stays within what is promised.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pyarrow as pa

SIZES = (2_000_000, 20_000_000)
LIMIT = 4 * 2**30  # bytes, of the whole process with the events in it
MEMORY = "1GB"  # what DuckDB may take of it
DAYS, EVENTS_A_CUSTOMER, EVENTS_A_TERMINAL = 183, 350, 175


def run(sizes: tuple[int, ...] = SIZES) -> None:
    """Measure each size once, and print how the second grows from the first."""
    found = [_measured(size) for size in sizes]
    print(
        f"offline windows of card_fraud (13 features of two entities), DuckDB within {MEMORY}, {os.cpu_count()} cores"
    )
    for size, (seconds, peak) in zip(sizes, found, strict=True):
        print(f"  {size:,} events: {seconds:.1f} s, {size / seconds:,.0f} events/s, {peak / 2**30:.2f} GiB at most")
    (first, lower), (last, upper) = found[0], found[-1]
    print(f"  {sizes[-1] / sizes[0]:.0f} x the events: {last / first:.1f} x the time, {upper / lower:.1f} x the memory")
    print(f"  {'holds' if upper <= LIMIT else 'MISSED'}: {upper / 2**30:.2f} GiB, at most {LIMIT / 2**30:.0f} GiB")


def _measured(size: int) -> tuple[float, int]:
    """Seconds for both views, and the peak of the process's memory in bytes."""
    line = [sys.executable, "-m", "tests.bench.windows", str(size)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{size:,} events: exit code {process.returncode}"
    return float(json.loads(said)), usage.ru_maxrss * 1024


def _compute(size: int) -> float:
    from pathlib import Path

    from serin.use_case import load
    from serin.windows.query import Columns, window_features

    case = load("card_fraud", Path(__file__).parents[2] / "pipelines" / "use_cases")
    events = _events(size)
    start = time.perf_counter()
    for view in case.features.windows.values():
        columns = Columns(case.entities[view.entity], case.timestamp or "", case.data.key)
        found = window_features(events, view, columns, memory=MEMORY)
        assert len(found) == size
        del found
    return time.perf_counter() - start


def _events(size: int) -> pa.Table:
    """Transactions in the order of their times, customers and terminals at random."""
    chance: Any = np.random.default_rng(size)
    times = np.sort(chance.integers(0, DAYS * 86_400, size)) * 1_000_000 + 1_522_540_800_000_000
    return pa.table(
        {
            "TRANSACTION_ID": np.arange(size),
            "TX_DATETIME": pa.array(times).cast(pa.timestamp("us", tz="UTC")),
            "CUSTOMER_ID": chance.integers(0, size // EVENTS_A_CUSTOMER, size),
            "TERMINAL_ID": chance.integers(0, size // EVENTS_A_TERMINAL, size),
            "TX_AMOUNT": np.round(chance.exponential(50, size), 2),
            "TX_FRAUD": (chance.random(size) < 0.01).astype(np.int64),
        }
    )


if __name__ == "__main__":
    print(json.dumps(_compute(int(sys.argv[1]))))
