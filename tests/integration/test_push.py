"""`serin push`: tables of events and labels, stored and online. Imports Feast: seconds."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest

from components.features.plan import log_plans
from components.features.run import refresh
from components.ingest.run import run as ingest
from pipelines.commands import push
from pipelines.console import Console
from serin import partitions
from serin.errors import UseCaseError
from serin.online.plan import LogPlan
from serin.online.store import EntityEvents
from serin.platform import Platform, build
from serin.simulate import simulate
from serin.times import micros, parse_time
from serin.use_case import UseCase
from serin.windows.events import event_id
from serin.workspace import Workspace
from tests import services

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
AS_OF = parse_time("2026-02-10")
KEY = "TRANSACTION_ID"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A workspace with 40 days of transactions, refreshed as of their end."""
    root = services.workspace_copy(tmp_path_factory.mktemp("push") / "root")
    made = build(Workspace.from_variables({"SERIN_ROOT": str(root)}))
    table = simulate(rows=3000, days=41, start=AS_OF.date() - timedelta(days=40), seed=1)
    before = table[pd.to_datetime(table["TX_DATETIME"], utc=True) < AS_OF]
    before.to_parquet(root / "before.parquet", index=False)
    table.drop(before.index).to_parquet(root / "after.parquet", index=False)
    case = made.own_use_case("card_fraud")
    ingest(made, case, str(root / "before.parquet"), AS_OF.isoformat())
    refresh(made, case, AS_OF)
    return made


@pytest.fixture
def case(platform: Platform) -> UseCase:
    return platform.own_use_case("card_fraud")


def log(platform: Platform, case: UseCase, key: str) -> LogPlan:
    views = [view for views in platform.features.kept(case.name).values() for view in views]
    return log_plans(case, views, platform.features.project)[key]


def pushed(platform: Platform, case: UseCase, key: str) -> Mapping[Any, EntityEvents]:
    return platform.features.online.pushed(log(platform, case, key))


def run(platform: Platform, table: Path, capsys: pytest.CaptureFixture[str], labels: bool = False) -> dict[str, Any]:
    push.run(Console(as_json=True), platform, "card_fraud", str(table), labels)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_events_are_stored_and_online_and_the_same_again_is_new_to_neither(
    platform: Platform, case: UseCase, capsys: pytest.CaptureFixture[str]
) -> None:
    table = platform.workspace.root / "after.parquet"
    rows = pd.read_parquet(table)
    first, again = (run(platform, table, capsys) for _ in range(2))
    count = len(rows)
    assert (first["new"], first["online"]) == (count, {"CUSTOMER_ID": count, "TERMINAL_ID": count})
    assert first["new_online"] == first["online"]
    assert (again["known"], again["new_online"]) == (count, {"CUSTOMER_ID": 0, "TERMINAL_ID": 0})
    one = rows.iloc[0]
    events = pushed(platform, case, "CUSTOMER_ID")[int(one["CUSTOMER_ID"])].pushed
    schema = log(platform, case, "CUSTOMER_ID").events
    row = orjson.loads(events[event_id(schema, {KEY: int(one[KEY])})])
    assert (row["TX_AMOUNT"], row["TERMINAL_ID"], "TX_FRAUD" in row) == (one["TX_AMOUNT"], one["TERMINAL_ID"], False)
    known = sum(len(each.labels) for each in pushed(platform, case, "TERMINAL_ID").values())
    assert known == count


def test_labels_correct_what_is_stored_and_go_online_and_others_are_told(
    platform: Platform, case: UseCase, capsys: pytest.CaptureFixture[str]
) -> None:
    before = pd.read_parquet(platform.workspace.root / "before.parquet").query("TX_FRAUD == 0").tail(5)
    labels = pd.DataFrame({KEY: [*before[KEY], 10**9], "TX_FRAUD": 1})
    table = platform.workspace.root / "labels.csv"
    labels.to_csv(table, index=False)
    first, again = (run(platform, table, capsys, labels=True) for _ in range(2))
    assert (first["rows"], first["corrected"], first["not_found"]) == (5, 5, 1)
    assert (first["online"], first["new_online"]) == ({"TERMINAL_ID": 5}, {"TERMINAL_ID": 5})
    assert (again["corrected"], again["known"], again["new_online"]) == (0, 5, {"TERMINAL_ID": 0})
    stored = partitions.read(platform.workspace.events(case.name)).table.to_pandas().set_index(KEY)
    assert stored.loc[before[KEY], "TX_FRAUD"].tolist() == [1] * 5
    schema = log(platform, case, "TERMINAL_ID").events
    one = before.iloc[0]
    found = pushed(platform, case, "TERMINAL_ID")[int(one["TERMINAL_ID"])].labels
    assert found[event_id(schema, {KEY: int(one[KEY])})] == b"1"
    # The data have them by now.
    refresh(platform, case, AS_OF + timedelta(days=1))
    assert all(not each.labels for each in pushed(platform, case, "TERMINAL_ID").values())


def test_what_is_pushed_of_merged_hops_is_told(
    platform: Platform, case: UseCase, capsys: pytest.CaptureFixture[str]
) -> None:
    online, plan = platform.features.online, log(platform, case, "CUSTOMER_ID")
    meta = online.meta(plan)
    assert meta is not None
    since = AS_OF - timedelta(days=2)
    raw = meta.start + plan.events.since - micros(since)
    hopping = plan.events.model_copy(update={"raw": raw, "hops": {3_600_000_000: (("count", ""),)}})
    table = pd.read_parquet(platform.workspace.root / "before.parquet")
    times = pd.to_datetime(table["TX_DATETIME"], utc=True)
    old, recent = table[times < since].tail(3), table[times >= since].head(2)
    path = platform.workspace.root / "again.parquet"
    pd.concat([old, recent]).to_parquet(path, index=False)
    online.publish(plan, [], replace(meta, schema=hopping.model_dump_json()))
    try:
        found = run(platform, path, capsys)
    finally:
        online.publish(plan, [], meta)
    assert (found["rows"], found["online"]["CUSTOMER_ID"], found["merged"]) == (5, 5, 3)
    assert run(platform, path, capsys)["merged"] == 0
    for key in case.entities.values():
        mine = log(platform, case, key)
        there = online.pushed(mine)
        ids = {event_id(mine.events, {KEY: number}) for number in pd.read_parquet(path)[KEY]}
        online.forget(mine, {entity: _some(one.pushed, ids) for entity, one in there.items()})
        online.forget_labels(mine, {entity: _some(one.labels, ids) for entity, one in there.items()})


def _some(pushed: Mapping[bytes, bytes], ids: set[bytes]) -> dict[bytes, bytes]:
    return {event: row for event, row in pushed.items() if event in ids}


def test_a_push_that_is_killed_is_finished_by_the_next(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    root = platform.workspace.root
    table = pd.read_parquet(root / "after.parquet")
    table = pd.concat([table.assign(**{KEY: table[KEY] + 10**6 * number}) for number in range(1, 8)])
    table.to_parquet(root / "more.parquet", index=False)
    command = [sys.executable, "-m", "pipelines", "push", "card_fraud", str(root / "more.parquet")]
    settings = {name: value for name, value in os.environ.items() if not name.startswith("SERIN_")}
    process = subprocess.Popen(
        command, env={**settings, "SERIN_ROOT": str(root)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    events = platform.workspace.events("card_fraud")
    first = partitions.snapshot(events)
    deadline = time.monotonic() + 60
    while partitions.snapshot(events) == first and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    done = run(platform, root / "more.parquet", capsys)
    assert done["new"] + done["known"] + done["corrected"] == len(table)
    assert done["online"] == {"CUSTOMER_ID": len(table), "TERMINAL_ID": len(table)}
    assert run(platform, root / "more.parquet", capsys)["new_online"] == {"CUSTOMER_ID": 0, "TERMINAL_ID": 0}


def test_events_without_a_key_can_not_be_pushed(platform: Platform) -> None:
    with pytest.raises(UseCaseError, match=r"bank_churn: events that are pushed have a time and a key"):
        push.run(Console(as_json=True), platform, "bank_churn", "x.csv", False)
