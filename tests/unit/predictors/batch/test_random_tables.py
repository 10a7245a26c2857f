"""Whatever a table of raw rows holds, it is scored as the predictor would score its rows one by one: the same bits, the
same refusals in the same words, the same gaps."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from predictors.batch.scorer import Batch, TableScorer
from predictors.load import LoadedModel
from predictors.metrics import Metrics
from predictors.requests.rows import RowsRefusedError
from predictors.scoring.tabular import TabularKind
from serin.artifact import Manifest, RequestColumn
from serin.schema import InputColumn, InputSchema
from serin.use_case import DerivedFeature
from tests.examples import examples
from tests.factories import make_manifest

NOW = datetime(2018, 6, 1, 12, tzinfo=UTC)
BEYOND = 2**53 + 1  # no float of 64 bits

_numbers = [0.0, -0.0, 1.0, 2.0, 2.5, 7.25, 1e-45, 16777217.0, 3.4e38, float("nan")]
_whole = [0, 1, 2, -3, 100]
_texts = ["", "a", "b", "1", "2018-05-01", "ä", "None", "nan"]
_times = [
    datetime(2018, 5, 1, 10, 30, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2199, 12, 31, 23, 59, 59),
]
_iso = ["2018-05-01T10:30:00", "2018-05-06", "2018-05-06T23:59:59+02:00"]
# Of each type of columns, what a table may hold it as: first as what it is.
_HELD: Mapping[str, Sequence[tuple[pa.DataType, Sequence[Any]]]] = {
    "number": [
        (pa.float64(), _numbers),
        (pa.float32(), [0.1, 1.0, 2.0, 3e38, float("nan")]),
        (pa.int64(), [*_whole, BEYOND, -BEYOND]),
        (pa.uint64(), [1, 2, 2**64 - 1]),
        (pa.float16(), [np.float16(1.0), np.float16(0.1), np.float16(-3.0)]),
    ],
    "integer": [
        (pa.int64(), [*_whole, BEYOND, BEYOND - 1, -BEYOND, 2**63 - 1, -(2**63)]),
        (pa.int32(), _whole),
        (pa.uint64(), [1, 2, BEYOND]),
        (pa.float64(), [0.0, 1.0, 2.0, 2.0**53 - 1, float("nan")]),
    ],
    "text": [
        (pa.string(), _texts),
        (pa.dictionary(pa.int8(), pa.string()), _texts),
        (pa.string_view(), _texts),
        (pa.large_string(), _texts),
    ],
    "boolean": [(pa.bool_(), [True, False])],
    "timestamp": [
        (pa.timestamp("us", tz="UTC"), _times),
        (pa.timestamp("ns", tz="Europe/Berlin"), _times),
        (pa.timestamp("s"), [time.replace(tzinfo=None) for time in _times]),
        (pa.date32(), [date(2018, 5, 1), date(1970, 1, 1)]),
        (pa.string(), _iso),
    ],
}
# The same, with values among them that are refused.
_ODD: Mapping[str, Sequence[tuple[pa.DataType, Sequence[Any]]]] = {
    "number": [
        (pa.float64(), [*_numbers, 1e39, float("inf"), None]),
        (pa.float32(), [0.5, float("-inf"), None]),
        (pa.string(), ["1", "2.5", ""]),
        (pa.bool_(), [True, False]),
        (pa.null(), [None]),
    ],
    "integer": [
        (pa.int64(), [1, None]),
        (pa.uint64(), [1, 2**64 - 1, None]),
        (pa.float64(), [1.0, 2.5, 2.0**53, -(2.0**53), 1e300, float("inf"), None]),
        (pa.string(), _texts),
    ],
    "text": [
        (pa.string(), [*_texts, "a\0b", "x" * 1025, None]),
        (pa.dictionary(pa.int8(), pa.string()), ["a", "a\0b", None]),
        (pa.int64(), _whole),
        (pa.binary(), [b"a", b"b", b"\xff"]),
    ],
    "boolean": [(pa.bool_(), [True, None]), (pa.int8(), [0, 1]), (pa.string(), ["true"])],
    "timestamp": [(pa.string(), [*_iso, "1905-01-01", "noon", "", None]), (pa.int64(), _whole)],
}

_RULES: Mapping[str, Sequence[dict[str, Any]]] = {
    "number": [{"min": 0}, {"max": 2}, {"min": 1, "max": 2.5}, {"max": 2.0**53}, {"allowed": (0, 1, 2)}],
    "integer": [{"min": 0}, {"max": 2}, {"max": 2.0**53}, {"min": -(2.0**53)}, {"allowed": (1, BEYOND)}],
    "text": [{"allowed": ("a", "b")}],
}
# A request column of each type; raw rows bring the feature of the store, a number that may be missing.
_REQUEST = {"AMOUNT": "number", "SHOP": "integer", "CHANNEL": "text", "ONLINE": "boolean", "SINCE": "timestamp"}
_TYPES = {**_REQUEST, "CUSTOMER": "integer", "TIME": "timestamp", "hour": "number", "count_1d": "number"}
_MAY_BE_ABSENT = ("CUSTOMER", "TIME", "hour")
_some = st.sets(st.sampled_from(list(_TYPES)), max_size=2)


@st.composite
def tables(draw: st.DrawFn) -> tuple[tuple[RequestColumn, ...], dict[str, pa.Array]]:
    """The request columns, and a table of up to eight rows. A column is held as what it is or as what may stand for it;
    up to two columns have rules, and up to two hold values that are refused or may be."""
    nullable, ruled, odd = draw(_some), draw(_some), draw(_some)
    request = tuple(
        RequestColumn(
            name=name,
            type=kind,  # type: ignore[arg-type]
            nullable=name in nullable,
            **(draw(st.sampled_from(_RULES[kind])) if name in ruled and kind in _RULES else {}),
        )
        for name, kind in _REQUEST.items()
    )
    count = draw(st.integers(1, 8))
    table = {}
    for name, kind in _TYPES.items():
        if name not in _MAY_BE_ABSENT or draw(st.booleans()):
            held, values = draw(st.sampled_from((_ODD if name in odd else _HELD)[kind]))
            if name in nullable:
                values = [*values, None]
            # Many of a kind: a column is taken at once where no value of it is odd.
            few = draw(st.lists(st.sampled_from(values), min_size=1, max_size=4))
            table[name] = pa.array(draw(st.lists(st.sampled_from(few), min_size=count, max_size=count)), held)
    return request, table


def manifest_of(request: tuple[RequestColumn, ...]) -> Manifest:
    inputs = InputSchema(
        columns=(
            *(InputColumn(name=name) for name in ("AMOUNT", "hour", "count_1d", "share", "age")),
            InputColumn(name="CHANNEL", kind="category", categories=("a", "1", "nan")),
            InputColumn(name="SHOP", kind="category", categories=("1", "2", str(BEYOND))),
            InputColumn(name="ONLINE", kind="category", categories=("True",)),
        )
    )
    made = (
        DerivedFeature(name="share", ratio=("AMOUNT", "count_1d")),
        DerivedFeature(name="age", elapsed=("SINCE", "TIME")),
    )
    return make_manifest(request=request, inputs=inputs, derived=made)


def all_of_it(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """A score that another bit of any input changes, whatever the other rows are."""
    scores = np.zeros(len(matrix))
    for place, column in enumerate(np.nan_to_num(matrix.astype(np.float64), nan=-0.375).T):
        scores += column / (1 + np.abs(column)) * (1 + place / 7)
    return scores


Told = tuple[dict[int, tuple[float, bool]], dict[int, str], Counter[str]]


def by_the_table(model: LoadedModel, kind: TabularKind, table: Mapping[str, pa.Array], runner: asyncio.Runner) -> Told:
    scorer = TableScorer(model, kind, set(table), NOW, runner)
    found = scorer.score(Batch(table, len(next(iter(table.values()))), 0, {}))
    rows, scores, decisions = (found.table[name].to_pylist() for name in ("row", "score", "decision"))
    return dict(zip(rows, zip(scores, decisions, strict=True), strict=True)), dict(found.refused), +Counter(found.gaps)


def one_by_one(kind: TabularKind, table: Mapping[str, pa.Array]) -> Told:
    answers, refused, gaps = {}, {}, Counter[str]()
    rows = pa.table(dict(table)).to_pylist()
    for place, row in enumerate(rows):
        instance = {name: value.isoformat() if isinstance(value, date) else value for name, value in row.items()}
        try:
            answered = kind.answer(kind.schema.from_v1({"instances": [instance]}, NOW), None, NOW)
        except RowsRefusedError as error:
            refused[place] = error.refused[0]
            continue
        answers[place] = (answered.outputs["score"][0], answered.outputs["decision"][0])
        gaps.update(f"{name}, whose value training did not know" for unknown in answered.unknown for name in unknown)
    return answers, refused, gaps


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@examples(150)
@given(given_table=tables())
def test_a_table_is_scored_as_its_rows_one_by_one(
    runner: asyncio.Runner, given_table: tuple[tuple[RequestColumn, ...], dict[str, pa.Array]]
) -> None:
    request, table = given_table
    model = LoadedModel(manifest_of(request), all_of_it)
    kind = TabularKind(model, None, Metrics("m", "1", "m-v1", CollectorRegistry()))
    # A share of nearly nothing is no number of 32 bits: it reaches the model as infinity, here as there.
    with np.errstate(over="ignore"):
        assert by_the_table(model, kind, table, runner) == one_by_one(kind, table)
