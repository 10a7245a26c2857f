"""A table is scored as its rows would be one by one: the same scores, the same refusals, in the same words."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from predictors.batch.scorer import Batch, ScoredBatch, TableScorer
from predictors.batch.typed import typed
from predictors.load import LoadedModel, load
from predictors.metrics import Metrics
from predictors.online.enrich import OnlineFeatures
from predictors.requests.rows import RowsRefusedError
from predictors.requests.values import read
from predictors.scoring.tabular import TabularKind
from serin.artifact import Manifest, RequestColumn
from serin.columns import TYPES
from serin.environment import changed
from serin.errors import DataError, RequestError
from serin.online.opening import open_store
from tests.factories import make_artifact, windows_plan
from tests.predictor_process import set_up_store, workspace

NOW = datetime(2018, 6, 1, 12, tzinfo=UTC)
TIME = datetime(2018, 5, 1, 10, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("windows") / "model"
    make_artifact(folder, online=windows_plan())
    return load(folder)


def kind_of(model: LoadedModel) -> TabularKind:
    return TabularKind(model, None, Metrics("m", "1", "m-v1", CollectorRegistry()))


def scored(model: LoadedModel, columns: Mapping[str, Any], first: int = 0) -> ScoredBatch:
    arrays = {name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()}
    with asyncio.Runner() as runner:
        scorer = TableScorer(model, kind_of(model), set(arrays), NOW, runner)
        count = len(next(iter(arrays.values())))
        return scorer.score(Batch(arrays, count, first, {}))


def one_by_one(
    model: LoadedModel, instances: list[dict[str, Any]]
) -> tuple[dict[int, tuple[float, bool]], dict[int, str]]:
    """By row, what the served model answers, and what it refuses, each row being a request of its own."""
    kind = kind_of(model)
    answers, refused = {}, {}
    for row, instance in enumerate(instances):
        try:
            rows = kind.schema.from_v1({"instances": [instance]}, NOW)
            outputs = kind.answer(rows, None, NOW).outputs
            answers[row] = (outputs["score"][0], outputs["decision"][0])
        except RowsRefusedError as error:
            refused |= {row: error.refused[0]}
    return answers, refused


def instances(count: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(3)

    def some(values: list[Any]) -> Any:
        return values[random.integers(len(values))]

    return [
        {
            "TX_AMOUNT": some([1.5, 250.0, 30.0, -1.0, 0.0, 1e39]),
            "CHANNEL": some(["chip", "online", "carrier pigeon", None, "a\0b", "x" * 1025]),
            "TX_DATETIME": some(["2018-05-01T10:30:00", "2018-05-06T23:59:59Z", None]),
            "CUSTOMER_ID": some([1, 2, None, -5]),
            "TRANSACTION_ID": some([2**53 - 1, 7, None]),
            "customer_count_1d": some([2.0, None, float("nan"), 5.5]),
            "customer_amount_7d": some([0.0, None, 99.0]),
            "terminal_fraud_rate_7d": some([0.0, None, 0.7, float("inf")]),
            "hour": some([None, 3.0, 25.0]),
        }
        for _ in range(count)
    ]


def test_raw_rows_are_scored_and_refused_as_one_by_one(windows: LoadedModel) -> None:
    rows = instances(600)
    answers, refused = one_by_one(windows, rows)
    assert len(answers) > 50
    assert len({text.split(" (")[0] for text in refused.values()}) > 5
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    found = scored(windows, columns, first=1000)
    assert found.refused == refused
    table = found.table.to_pydict()
    assert [row - 1000 for row in table["row"]] == list(answers)
    assert [*zip(table["score"], table["decision"], strict=True)] == list(answers.values())
    pigeons = sum(rows[row]["CHANNEL"] == "carrier pigeon" for row in answers)
    assert found.gaps == {"CHANNEL, whose value training did not know": pigeons}


def test_keys_and_times_stay_with_their_rows(windows: LoadedModel) -> None:
    row = {"TX_AMOUNT": 4.0, "CHANNEL": "chip", "customer_count_1d": 1.0, "customer_amount_7d": 9.0}
    columns = {name: [value] * 2 for name, value in row.items()}
    columns |= {"terminal_fraud_rate_7d": [0.1, 0.1], "TX_DATETIME": [TIME, None], "CUSTOMER_ID": [2**60, None]}
    found = scored(windows, columns)
    assert found.undated == 1
    assert found.table.select(["row", "CUSTOMER_ID", "TX_DATETIME"]).to_pydict() == {
        "row": [0, 1],
        "CUSTOMER_ID": [2**60, None],
        "TX_DATETIME": [TIME, NOW],
    }


def test_rows_of_which_nothing_is_known_are_refused(tmp_path: Path) -> None:
    make_artifact(tmp_path / "model", store=True)
    model = load(tmp_path / "model")
    used = model.manifest.model_copy(update={"calendar": (), "inputs": _without(model.manifest, "hour", "weekday")})
    model = LoadedModel(used, lambda matrix: np.full(len(matrix), 0.25))
    nothing = {"TX_AMOUNT": None, "CHANNEL": "?", "customer_count_1d": None, "terminal_fraud_rate_7d": None}
    used_request = tuple(column.model_copy(update={"nullable": True}) for column in used.request)
    model = LoadedModel(used.model_copy(update={"request": used_request}), model.predict)
    columns = {name: [value, value] for name, value in nothing.items()} | {"customer_count_1d": [None, 2.0]}
    columns |= {"CUSTOMER_ID": [4, 4], "TERMINAL_ID": [None, None]}
    found = scored(model, columns)
    assert found.refused == {0: "none of the model's inputs is known of CUSTOMER_ID=4, TERMINAL_ID=None"}
    assert found.table["score"].to_pylist() == [0.25]
    assert found.gaps == {"CHANNEL, whose value training did not know": 1}  # of the row that was scored


def test_a_table_without_a_required_column_is_refused(windows: LoadedModel) -> None:
    with pytest.raises(DataError, match=r"the table lacks TX_AMOUNT, .*raw rows, as it has features"):
        scored(windows, {"customer_count_1d": [1.0]})
    with pytest.raises(
        DataError, match=r"the table lacks CUSTOMER_ID, TERMINAL_ID; it is read as one of rows with keys"
    ):
        scored(windows, {"TX_AMOUNT": [1.0]})
    with pytest.raises(DataError, match=r"lacks CUSTOMER_ID \(is it the table's customer-id\?\), TERMINAL_ID; it is"):
        scored(windows, {"TX_AMOUNT": [1.0], "customer-id": [1]})


def test_rows_that_the_model_can_not_take_are_refused_alone(windows: LoadedModel) -> None:
    def picky(matrix: Any) -> Any:
        if (matrix[:, 0] == 3).any():
            raise RequestError("the model can't score these rows: a three")
        return windows.predict(matrix)

    model = LoadedModel(windows.manifest, picky, folder=windows.folder)
    good = {"CHANNEL": "chip", "customer_count_1d": 1.0, "customer_amount_7d": 9.0, "terminal_fraud_rate_7d": 0.1}
    columns = {name: [value] * 5 for name, value in good.items()} | {"TX_AMOUNT": [1.0, 3.0, 2.0, 4.0, 3.0]}
    found = scored(model, columns)
    assert found.refused == dict.fromkeys([1, 4], "the model can't score these rows: a three")
    assert found.table["row"].to_pylist() == [0, 2, 3]


_COLUMNS = [
    RequestColumn(name="c", type="number", min=0, nullable=True),
    RequestColumn(name="c", type="number", allowed=(1, 2)),
    RequestColumn(name="c", type="integer", min=-3, max=10),
    RequestColumn(name="c", type="integer", nullable=True),
    RequestColumn(name="c", type="text"),
    RequestColumn(name="c", type="text", allowed=("a", "b"), nullable=True),
    RequestColumn(name="c", type="boolean", nullable=True),
    RequestColumn(name="c", type="timestamp"),
]
_VALUES = [
    pa.array([1.0, 2.5, None, float("nan"), float("inf"), -1.0, 1e300, 2.0**60]),
    pa.array([1.0, 2.0, None, -2.0], pa.float32()),
    pa.array([1, None, -7, 2**62]),
    pa.array([1, 2, None], pa.int8()),
    pa.array([1, 2**64 - 1, None], pa.uint64()),
    pa.array(["a", None, "b", "", "2018-05-01", "7", "x" * 1025]),
    pa.array(["a", None, "b", "a"]).dictionary_encode(),
    pa.array([True, None, False]),
    pa.nulls(3),
    pa.array([[1], [2], None]),
    pa.array([b"a", None, b"\xff"]),
]


@pytest.mark.parametrize("values", _VALUES, ids=lambda values: str(values.type))
@pytest.mark.parametrize("column", _COLUMNS, ids=lambda column: f"{column.type}-{column.nullable}")
def test_values_of_a_table_are_read_as_those_of_a_request(column: RequestColumn, values: pa.Array) -> None:
    expected, wrong = read(column, values.to_pylist())
    found, told = typed(column, values)
    assert told == wrong
    plain = [None if value != value else value for value in found.cast(TYPES[column.type].arrow).to_pylist()]
    assert plain == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([TIME, None], pa.timestamp("ns", tz="UTC")), [TIME, None]),
        (pa.array([TIME.replace(tzinfo=None)], pa.timestamp("s")), [TIME]),
        (pa.array([TIME], pa.timestamp("ms", tz="Europe/Berlin")), [TIME]),
        (pa.array([date(2018, 5, 1)]), [datetime(2018, 5, 1, tzinfo=UTC)]),
    ],
    ids=str,
)
def test_times_of_arrow_are_times(values: pa.Array, expected: list[Any]) -> None:
    found, wrong = typed(RequestColumn(name="c", type="timestamp", nullable=True), values)
    assert (found.to_pylist(), wrong) == (expected, {})


_INFINITE, _WRAPPED = 2**63 - 1, 2**62  # 2**62 milliseconds are a multiple of what 64 bits of microseconds count


@pytest.mark.parametrize(
    ("count", "kind"),
    [
        (_INFINITE, pa.timestamp("us", tz="UTC")),
        (-_INFINITE, pa.timestamp("us")),
        (_INFINITE, pa.timestamp("ns", tz="Pacific/Kiritimati")),
        (_WRAPPED, pa.timestamp("ms")),
        (_WRAPPED, pa.timestamp("ms", tz="Europe/Berlin")),
        (2**31 - 1, pa.date32()),
        (253_402_300_800, pa.timestamp("s", tz="UTC")),
        (-1, pa.timestamp("ns")),
    ],
    ids=str,
)
def test_a_time_that_no_calendar_holds_is_refused_and_becomes_no_other(count: int, kind: pa.DataType) -> None:
    whole = pa.int32() if pa.types.is_date32(kind) else pa.int64()
    values = pa.array([0, None, count], whole).cast(kind)
    found, wrong = typed(RequestColumn(name="c", type="timestamp", nullable=True), values)
    assert found.to_pylist() == [datetime(1970, 1, 1, tzinfo=UTC), None, None]
    assert list(wrong) == [2]
    assert wrong[2].startswith("not an ISO 8601 time")


def test_a_time_of_another_age_is_refused() -> None:
    values = pa.array([datetime(1905, 1, 1), TIME.replace(tzinfo=None)])
    found, wrong = typed(RequestColumn(name="c", type="timestamp"), values)
    assert found.to_pylist() == [None, TIME]
    assert wrong[0].startswith("not an ISO 8601 time")


def test_whole_numbers_are_held_to_their_limits_where_floats_no_longer_tell_them_apart() -> None:
    column = RequestColumn(name="c", type="integer", max=1e18)
    found, wrong = typed(column, pa.array([10**18, 10**18 + 1]))
    assert (found.to_pylist(), wrong) == ([10**18, None], {1: "above 1e+18 (found 1000000000000000001)"})


def test_decimals_are_numbers() -> None:
    values = pa.array([Decimal("1.50"), None])
    found, wrong = typed(RequestColumn(name="c", type="number", nullable=True), values)
    assert ([value if value == value else None for value in found.to_pylist()], wrong) == ([1.5, None], {})


def _without(manifest: Manifest, *names: str) -> Any:
    kept = tuple(column for column in manifest.inputs.columns if column.name not in names)
    return manifest.inputs.model_copy(update={"columns": kept})


def test_keyed_rows_are_scored_with_what_the_online_store_has(tmp_path: Path) -> None:
    make_artifact(tmp_path / "model", store=True)
    model = load(tmp_path / "model")
    root = workspace(tmp_path / "root")
    with changed({"SERIN_ROOT": str(root)}):
        set_up_store(root)
        store = open_store(root / "feature_repo" / "feature_store.yaml")
    kind = TabularKind(model, OnlineFeatures(store, model.manifest), Metrics("m", "1", "m-v1", CollectorRegistry()))
    count = 5000  # more than a request may hold
    columns = {
        "CUSTOMER_ID": [1, 2, 3, None] * (count // 4),
        "TERMINAL_ID": [7, 8] * (count // 2),
        "TX_AMOUNT": [float(place % 90) for place in range(count)],
        "CHANNEL": ["chip", "online", None, "chip", "?"] * (count // 5),
        "TX_DATETIME": ["2018-06-01T12:00:00"] * count,
    }
    with asyncio.Runner() as runner:
        scorer = TableScorer(model, kind, set(columns), NOW, runner)
        found = scorer.score(Batch({name: pa.array(values) for name, values in columns.items()}, count, 0, {}))

        def alone(row: int) -> float:
            rows = kind.schema.from_v1({"instances": [{name: column[row] for name, column in columns.items()}]}, NOW)
            score: float = kind.answer(rows, runner.run(kind.read(rows)), NOW).outputs["score"][0]
            return score

        assert not scorer.raw
        assert found.refused == dict.fromkeys(range(3, count, 4), "CUSTOMER_ID: missing")
        rows, scores = found.table["row"].to_pylist(), found.table["score"].to_pylist()
        assert rows == [row for row in range(count) if row % 4 != 3]
        for place in [*range(0, 40), *range(len(rows) - 40, len(rows))]:
            assert scores[place] == alone(rows[place])
        # Customer 3 is not in the store; "?" is no channel; customers that are missing are refused.
        lacking = {"CHANNEL, whose value training did not know": count // 5 - count // 20}
        assert found.gaps == lacking | {"features that the online store lacks, or has too old": count // 4}
    store.close()
    assert len(set(scores)) > 20
