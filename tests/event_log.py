"""The event logs of `factories.windows_plan`, filled as a refresh does, and the transactions that they are of."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from serin.online.plan import OnlinePlan
from serin.online.store import LogMeta, OnlineStore
from serin.times import micros
from serin.windows.packing import pack

REFRESHED = datetime(2018, 6, 1, tzinfo=UTC)
REACH = timedelta(days=15)
_TYPES = {
    "TRANSACTION_ID": pa.int64(),
    "TX_DATETIME": pa.timestamp("us", tz="UTC"),
    "CUSTOMER_ID": pa.int64(),
    "TERMINAL_ID": pa.int64(),
    "TX_AMOUNT": pa.float64(),
    "CHANNEL": pa.string(),
    "TX_FRAUD": pa.int64(),
}


def transaction(number: int, days: float, **changes: Any) -> dict[str, Any]:
    """Transaction `number`, as many days after REFRESHED; customer 1 at terminal 8, 10.0, no fraud."""
    usual = {"TRANSACTION_ID": number, "TX_DATETIME": REFRESHED + timedelta(days=days), "CUSTOMER_ID": 1}
    return {**usual, "TERMINAL_ID": 8, "TX_AMOUNT": 10.0, "CHANNEL": "chip", "TX_FRAUD": 0, **changes}


def sent(row: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """A transaction as a request or a push has it."""
    plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
    return {name: value for name, value in plain.items() if name not in without}


def fill(store: OnlineStore, plan: OnlinePlan, rows: Sequence[Mapping[str, Any]], until: datetime = REFRESHED) -> None:
    """Publish the logs of a plan as of `until`, with those of the rows that were by then."""
    known = [row for row in rows if until - REACH <= row["TX_DATETIME"] < until]
    table = pa.Table.from_pylist(known, pa.schema(list(_TYPES.items())))
    for key, log in plan.logs.items():
        start = micros(until - REACH)
        meta = LogMeta(start, micros(until), log.events.model_dump_json())
        store.publish(log, pack(table, key, log.events, log.events.raw_since(start)), meta)
