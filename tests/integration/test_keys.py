"""Keys keep their identity from the file to the online store and the request: no two merge, none changes."""

import asyncio
import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.features.plan import online_plan
from components.features.run import refresh
from components.ingest.run import run as ingest
from predictors.requests.schema import RequestSchema
from serin import tables
from serin.artifact import Manifest, RequestColumn
from serin.platform import Platform, build
from serin.scaffold.proposal import propose
from serin.scaffold.render import render_definitions, render_yaml
from serin.schema import InputColumn, InputSchema
from serin.workspace import Workspace
from tests.examples import examples
from tests.services import workspace_copy

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
NOW = datetime(2026, 6, 1, tzinfo=UTC)
# A key that a CSV file can hold as it is: no line end or NUL, and something besides blanks.
_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=20)
TEXTS = st.lists(_TEXT.filter(lambda text: text.strip() != ""), min_size=30, max_size=40, unique=True)
DIGITS = st.lists(st.from_regex(r"0{0,3}[1-9][0-9]{0,17}", fullmatch=True), min_size=30, max_size=40, unique=True)
UUIDS = [uuid.uuid5(uuid.NAMESPACE_URL, str(number)) for number in range(40)]
INTEGERS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=30, max_size=40, unique=True)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    root = workspace_copy(tmp_path_factory.mktemp("keys"))
    for path in (root / "feature_repo").glob("*.py"):
        path.unlink()
    return build(Workspace.from_variables({"SERIN_ROOT": str(root)}))


def served(platform: Platform, table: Path, asked: Sequence[Any]) -> list[Any]:
    """The number that each key of the table has, after a request for `asked` went through JSON."""
    name = f"k{uuid.uuid4().hex[:12]}"
    read = tables.read(str(table), needed=["k"])
    case = propose(read.frame, name=name, label="y", entities=["k"]).case
    definitions = platform.workspace.feature_repo / f"{name}.py"
    (platform.workspace.use_cases / f"{name}.yaml").write_text(render_yaml(case))
    definitions.write_text(render_definitions(case))
    try:
        ingest(platform, case, str(table), NOW.isoformat())
        refreshed = refresh(platform, case, NOW)
    finally:
        definitions.unlink()
    key = RequestColumn(name="k", type=case.data.columns["k"].type)
    manifest = Manifest(
        use_case=name, model_name=name, estimator="xgboost", engine="xgboost", models={"xgboost": "model.ubj"},
        feature_service=refreshed.service, entities=(key,), inputs=InputSchema(columns=(InputColumn(name="x"),)),
        threshold=0.5, data_snapshot="s", as_of=NOW.isoformat(),
    )  # fmt: skip
    body = orjson.loads(json.dumps({"instances": [{"k": each} for each in asked]}))
    rows = RequestSchema(manifest).from_v1(body, NOW)
    (plan,) = online_plan(case, refreshed.served, platform.features.project).tables
    found = asyncio.run(platform.features.online.read([(plan, list(rows.columns["k"]))], []))
    return [row and row.values[list(plan.features).index("x")] for row in found.rows[0]]


def columns(keys: Sequence[Any], type_: pa.DataType | None = None) -> pa.Table:
    count = len(keys)
    # Each key has a number of its own; the label is what no column tells.
    return pa.table(
        {
            "k": pa.array(keys, type_),
            "x": pa.array([number * 1.5 + 0.25 for number in range(count)]),
            "y": pa.array([(number * 7919 % 13) % 2 for number in range(count)]),
        }
    )


def own(keys: Sequence[Any]) -> list[float]:
    return [number * 1.5 + 0.25 for number in range(len(keys))]


FEW = settings(
    examples(4),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@FEW
@given(keys=st.one_of(TEXTS, DIGITS))
def test_texts_of_a_csv_file_are_answered_each_with_its_own_features(platform: Platform, keys: list[str]):
    path = platform.workspace.root / f"{uuid.uuid4().hex}.csv"
    pyarrow.csv.write_csv(columns(keys), path)
    read = tables.read(str(path), needed=["k"]).frame["k"].tolist()
    asked: list[Any] = keys
    if all(key.isascii() and key.isdigit() and key == str(int(key)) for key in keys):
        asked = [int(key) for key in keys]  # Whole numbers throughout are integers.
    assert len(set(read)) == len(keys)
    assert served(platform, path, asked) == own(keys)


@FEW
@given(keys=INTEGERS)
def test_integers_of_64_bits_are_answered_each_with_its_own_features(platform: Platform, keys: list[int]):
    path = platform.workspace.root / f"{uuid.uuid4().hex}.parquet"
    pq.write_table(columns(keys, pa.int64()), path)
    assert served(platform, path, keys) == own(keys)


@pytest.mark.parametrize(
    ("keys", "type_", "asked"),
    [
        ([2**64 - 1 - n for n in range(40)], pa.uint64(), [str(2**64 - 1 - n) for n in range(40)]),
        ([Decimal(n) / 100 for n in range(40)], pa.decimal128(10, 2), [f"{n / 100:.2f}" for n in range(40)]),
        ([each.bytes for each in UUIDS], pa.binary(16), [str(each) for each in UUIDS]),
        ([f"k{n:02}".encode() for n in range(40)], pa.binary(), [f"k{n:02}" for n in range(40)]),
        ([("\u00e9" if n % 2 else "e\u0301") + str(n // 2) for n in range(40)], pa.string(), None),
        ([("a" if n % 2 else "A") + " " * (n // 2) + "b" for n in range(40)], pa.string(), None),
    ],
    ids=["unsigned", "decimal", "uuid bytes", "bytes", "composed and decomposed", "case and blanks"],
)  # fmt: skip
def test_other_kinds_of_keys_keep_apart(platform: Platform, keys: list[Any], type_: pa.DataType, asked: Any):
    path = platform.workspace.root / f"{uuid.uuid4().hex}.parquet"
    pq.write_table(columns(keys, type_), path)
    assert served(platform, path, asked or keys) == own(keys)
