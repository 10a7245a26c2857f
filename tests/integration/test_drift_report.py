"""Drift measured by Evidently itself: false alarms, real shifts, and the page that it leaves."""

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.drift.bins import binned
from components.drift.decision import column_limits, decide, too_few_rows
from components.drift.measure import measure
from components.drift.run import check_drift
from serin import partitions, storage
from serin.artifact import REFERENCE
from serin.errors import DataError
from serin.platform import build
from serin.ports import RegisteredVersion
from serin.schema import InputColumn, InputSchema
from serin.use_case import Drift, load
from serin.workspace import Workspace
from tests.factories import make_artifact

# Evidently costs seconds to import: one worker runs this file.

INPUTS = InputSchema(
    columns=(
        InputColumn(name="amount"),
        InputColumn(name="count"),
        InputColumn(name="rate"),
        InputColumn(name="mean"),
        InputColumn(name="channel", kind="category", categories=("web", "shop", "phone")),
        InputColumn(name="constant"),
    )
)
# Sensitive on purpose: at 0.01 the use case's own limit no longer hides noise, only the floor holds it back.
SENSITIVE = Drift(min_rows=1000, column_limit=0.01, max_share=0.3)
USUAL = Drift(min_rows=1000, column_limit=0.2, max_share=0.3)


def rows(count, seed, *, factor=1.0, missing=0.05, score=0.0):
    """Rows of every awkward kind: heavy tail, ties, mostly zero, missing values, rare categories, a constant."""
    random = np.random.default_rng(seed)
    mean = random.normal(50, 10, count)
    mean[random.random(count) < missing] = np.nan
    return pd.DataFrame(
        {
            "amount": random.lognormal(3, 1.5, count) * factor,
            "count": random.poisson(2 * factor, count),
            "rate": np.where(random.random(count) < 0.93, 0, random.random(count)),
            "mean": mean,
            "channel": random.choice(["web", "shop", "phone", "rare"], count, p=[0.5, 0.3, 0.195, 0.005]),
            "constant": np.ones(count),
            "score": random.beta(1 + score, 20, count),
        }
    )


def psi(reference, current):
    """Evidently's PSI of every column of labels, without its report."""
    from evidently.legacy.calculations.stattests import psi_stat_test
    from evidently.legacy.core import ColumnType

    return {
        name: float(psi_stat_test.func(reference[name], current[name], ColumnType.Categorical, 0.1)[0])
        for name in reference
    }


def check(reference, current, limits):
    """The decision about one window."""
    before, after = binned(reference, current, INPUTS)
    bins = {name: len(set(before[name]) | set(after[name])) for name in before}
    bounds = column_limits(bins, len(current), len(reference), limits)
    return decide(psi(before, after), bounds, rows=len(current), limits=limits)


@pytest.fixture(scope="module")
def reference():
    return rows(10_000, seed=1)


@pytest.fixture(scope="module")
def measured(reference):
    return measure(reference, rows(1000, seed=2, factor=3.0), INPUTS, USUAL)


@pytest.mark.parametrize("count", [1000, 2000])
def test_no_shift_raises_no_alarm_in_100_windows(measured, reference, count):
    decisions = [check(reference, rows(count, seed), SENSITIVE) for seed in range(100, 200)]
    assert [d.reasons for d in decisions if d.drifted] == []


def test_a_small_window_raises_no_alarm_where_the_fixed_limit_would(measured, reference):
    limits = Drift(min_rows=100, column_limit=0.05)
    windows = [rows(100, seed) for seed in range(100, 150)]
    assert not any(check(reference, window, limits).drifted for window in windows)
    over = [window for window in windows if max(psi(*binned(reference, window, INPUTS)).values()) > 0.05]
    assert len(over) > 25


@pytest.mark.parametrize("count", [1000, 2000])
def test_a_shift_of_amounts_and_counts_raises_an_alarm_in_every_window(measured, reference, count):
    decisions = [check(reference, rows(count, seed, factor=3.0), USUAL) for seed in range(100, 120)]
    assert {d.drifted for d in decisions} == {("count", "amount")}
    assert all(d.retrain for d in decisions)


def test_values_that_go_missing_raise_an_alarm(measured, reference):
    decision = check(reference, rows(1000, 2, missing=0.5), Drift(min_rows=1000, max_share=0.1))
    assert decision.drifted == ("mean",)
    assert decision.retrain


def test_scores_that_shift_raise_an_alarm_by_themselves(measured, reference):
    decision = check(reference, rows(1000, 2, score=1.0), USUAL)
    assert decision.drifted == ("score",)
    assert decision.retrain


def test_thirty_rows_are_too_few_whatever_they_hold(reference):
    window = rows(30, seed=2, factor=100.0)
    assert too_few_rows(len(window), USUAL).retrain is False


def test_measure_reports_every_column_in_order_with_its_limit(measured):
    assert list(measured.psi) == [*INPUTS.names, "score"]
    assert measured.limits == dict.fromkeys(measured.psi, 0.2)
    assert measured.psi["amount"] > 0.2 > measured.psi["mean"]
    assert measured.psi["constant"] == 0.0


def test_measure_is_the_psi_of_the_binned_columns(measured, reference):
    labels = binned(reference, rows(1000, seed=2, factor=3.0), INPUTS)
    assert measured.psi == pytest.approx(psi(*labels))
    before, after = (table["channel"].value_counts(normalize=True).sort_index() for table in labels)
    assert measured.psi["channel"] == pytest.approx(((before - after) * np.log(before / after)).sum())


def test_measure_with_columns_that_are_all_missing(measured, reference):
    gone = rows(1000, seed=2).assign(mean=np.nan, channel=None)
    there = measure(reference, gone, INPUTS, USUAL).psi
    assert there["mean"] > 1
    assert there["channel"] > 1
    never = measure(reference.assign(mean=np.nan), gone, INPUTS, USUAL).psi
    assert never["mean"] == 0.0


class Page(HTMLParser):
    """What a browser would load from elsewhere, and how many script elements it sees."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.scripts = [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.loaded += [value for name, value in attrs if name == "src" or (tag == "link" and name == "href")]


def test_the_page_loads_nothing_from_elsewhere(measured):
    assert [source for source in Page(measured.html).loaded if not source.startswith("data:")] == []
    assert "amount" in measured.html


def test_the_page_is_safe_from_names_and_categories_with_markup(measured):
    name, bad = "</script><script>alert(1)", "</script><b>"
    schema = InputSchema(columns=(InputColumn(name=name, kind="category"),))
    before = pd.DataFrame({name: [bad, "b"] * 50, "score": np.linspace(0, 1, 100)})
    hostile = measure(before, before, schema, USUAL)
    assert hostile.psi == {name: 0.0, "score": 0.0}
    assert Page(hostile.html).scripts == Page(measured.html).scripts
    assert "alert(1)" in hostile.html
    assert name not in hostile.html
    assert bad not in hostile.html


@dataclass(frozen=True)
class OneChampion:
    """A model registry with one version, whose artifact lies in a folder."""

    folder: Path

    def by_alias(self, name, alias):
        return RegisteredVersion(name, 3, {}, (alias,))

    def fetch(self, version, folder):
        return Path(shutil.copytree(self.folder, folder))


AS_OF = datetime(2018, 6, 10, tzinfo=UTC)
CASE = load("card_fraud", Path(__file__).parents[2] / "pipelines" / "use_cases").model_copy(
    update={"drift": Drift(min_rows=100, max_share=1.0)}
)


@pytest.fixture
def platform(tmp_path):
    """A champion, and a day of 20 log files: the very rows that it was fitted to."""
    make_artifact(tmp_path / "model")
    logged = pq.read_table(tmp_path / "model" / REFERENCE).drop_columns(["label"])
    time = pa.array([AS_OF - timedelta(days=2)] * len(logged), pa.timestamp("us", tz="UTC"))
    for name in ("event_timestamp", "logged_at"):
        logged = logged.append_column(name, time)
    logged = logged.append_column("model_version", pa.array(["3"] * len(logged)))
    workspace = Workspace(
        tmp_path, "local", str(tmp_path / "state"), "sqlite:////nowhere", tmp_path / "feature_store.yaml"
    )
    for number in range(20):
        where = partitions.location(workspace.predictions(CASE.name), "2018-06-08", f"v3-{number}.parquet")
        storage.write_table(logged.slice(20 * number, 20), where)
    return replace(build(workspace), registry=OneChampion(tmp_path / "model"))


def test_damaged_log_file_is_told_and_the_other_rows_are_judged(platform):
    broken = Path(partitions.files(platform.workspace.predictions(CASE.name))[4])
    broken.write_bytes(broken.read_bytes()[:40])
    check = check_drift(platform, CASE, None)
    assert (check.rows, check.decision.verdict) == (380, "no_drift")
    assert check.decision.reasons[-1].startswith(f"passed over: {broken} is damaged: ")
    assert check.as_of == AS_OF - timedelta(days=2) + timedelta(microseconds=1)


def test_check_merges_the_small_files_of_days_that_are_over_and_finds_the_same_again(platform):
    log = platform.workspace.predictions(CASE.name)
    first = check_drift(platform, CASE, AS_OF)
    assert len(partitions.files(log)) == 1
    second = check_drift(platform, CASE, AS_OF)
    assert (first.rows, first.measured.psi) == (second.rows, second.measured.psi)
    assert second.rows == 400


def test_input_that_vanished_is_drift_though_every_other_one_stayed(platform):
    log = platform.workspace.predictions(CASE.name)
    for where in partitions.files(log):
        table = storage.read_file(where)
        gone = pa.nulls(len(table), table["TX_AMOUNT"].type)
        storage.write_table(table.set_column(table.column_names.index("TX_AMOUNT"), "TX_AMOUNT", gone), where)
    decision = check_drift(platform, CASE, AS_OF).decision
    assert decision.retrain
    assert decision.reasons[0] == "TX_AMOUNT: no row has a value, which is a drift of its own"


def test_log_of_damaged_files_only_is_no_empty_log(platform):
    for where in partitions.files(platform.workspace.predictions(CASE.name)):
        Path(where).write_bytes(b"PAR1")
    with pytest.raises(DataError, match="holds no file that can be used; `serin doctor` lists them"):
        check_drift(platform, CASE, None)
