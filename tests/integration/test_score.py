"""`serin score`: what it writes is what the predictor would answer, whatever the table's format and place."""

import gzip
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from components.score import run, source
from components.score.run import score_table
from pipelines.commands import score as command
from pipelines.console import Console
from predictors.load import load
from predictors.metrics import Metrics
from predictors.scoring.tabular import TabularKind
from serin import storage
from serin.environment import changed
from serin.errors import DataError, NotFoundError, UnavailableError
from serin.platform import Platform, build
from serin.ports import RegisteredVersion
from serin.use_case import UseCase
from serin.workspace import Workspace
from tests.factories import make_artifact, make_case
from tests.predictor_process import set_up_store, workspace
from tests.services import s3

AS_OF = "2018-06-01T12:00:00"
NOW = datetime(2018, 6, 1, 12, tzinfo=UTC)
CASE = make_case(
    {
        "TRANSACTION_ID": "integer",
        "TX_DATETIME": "timestamp",
        "CUSTOMER_ID": "integer",
        "TERMINAL_ID": "integer",
        "TX_AMOUNT": "number",
        "CHANNEL": {"type": "text", "nullable": True},
        "TX_FRAUD": "integer",
    },
    name="card_fraud",
    request=("TX_AMOUNT", "CHANNEL"),
    timestamp="TX_DATETIME",
    label={"column": "TX_FRAUD", "delay": "7d"},
    entities={"customer": "CUSTOMER_ID", "terminal": "TERMINAL_ID"},
    data={"key": ["TRANSACTION_ID"], "rename": {"amount": "TX_AMOUNT"}},
)


@dataclass(frozen=True)
class Registry:
    """A model registry with one version, 12, the champion."""

    folder: Path

    def by_alias(self, name: str, alias: str) -> RegisteredVersion | None:
        return RegisteredVersion(name, 12, {}, (alias,)) if alias == "champion" else None

    def version(self, name: str, number: int) -> RegisteredVersion:
        if number != 12:
            raise NotFoundError(f"{name} has no version {number}")
        return RegisteredVersion(name, 12, {}, ())

    def fetch(self, version: RegisteredVersion, folder: Path) -> Path:
        return Path(shutil.copytree(self.folder, folder))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact") / "model"
    make_artifact(folder, store=True)
    return folder


@pytest.fixture
def platform(tmp_path: Path, model: Path) -> Platform:
    root = workspace(tmp_path / "root")
    place = Workspace.from_variables({"SERIN_ROOT": str(root)})
    return replace(build(place), registry=Registry(model))  # type: ignore[arg-type]


def table_of(rows: int = 500) -> pa.Table:
    random = np.random.default_rng(1)
    return pa.table(
        {
            "CUSTOMER_ID": np.arange(rows) + 100,
            "TX_DATETIME": np.datetime64("2018-05-01T00:00:00", "us") + np.arange(rows).astype("m8[m]"),
            "TX_AMOUNT": random.gamma(2.0, 40.0, rows).round(2),
            "CHANNEL": random.choice(["chip", "online", "pigeon"], rows),
            "customer_count_1d": random.poisson(3.0, rows).astype(float),
            "terminal_fraud_rate_7d": pa.array(random.random(rows).round(3), mask=random.random(rows) < 0.2),
        }
    )


def answers(model: Path, table: pa.Table) -> list[float]:
    """What the predictor answers to the rows, as one V1 request."""
    kind = TabularKind(load(model), None, Metrics("m", "1", "m-v1", CollectorRegistry()))
    instances = [
        {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        for row in table.to_pylist()
    ]
    rows = kind.schema.from_v1({"instances": instances}, NOW)
    return list(kind.answer(rows, None, NOW).outputs["score"])


def written(table: pa.Table, path: Path) -> str:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".gz":
        plain = path.with_suffix("")
        pacsv.write_csv(table, plain)
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    else:
        pacsv.write_csv(table, path)
    return str(path)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "rows.csv.gz"])
def test_scores_are_those_of_the_predictor_whatever_the_format(
    name: str, platform: Platform, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "BATCH_ROWS", 64)
    table = table_of()
    output = str(tmp_path / "scores.parquet")
    done = score_table(platform, CASE, written(table, tmp_path / name), output, as_of=AS_OF)
    found = pq.read_table(output)
    assert found.column_names == [*("row", "CUSTOMER_ID", "TX_DATETIME", "score", "decision", "model_version")]
    assert found["score"].to_pylist() == answers(model, table)
    assert found["row"].to_pylist() == list(range(500))
    assert found["CUSTOMER_ID"].to_pylist() == table["CUSTOMER_ID"].to_pylist()
    assert set(found["model_version"].to_pylist()) == {"12"}
    assert (done.raw, done.scored, done.refused, done.undated) == (True, 500, 0, 0)
    assert done.positive == found["decision"].to_pylist().count(True) > 0


def test_the_same_again_writes_the_same_bytes(platform: Platform, tmp_path: Path) -> None:
    there = written(table_of().drop(["TX_DATETIME"]), tmp_path / "rows.parquet")
    places = [tmp_path / "one.parquet", tmp_path / "other.parquet"]
    for place in places:
        done = score_table(platform, CASE, there, str(place), as_of=AS_OF)
    assert places[0].read_bytes() == places[1].read_bytes()
    assert done.undated == 500
    assert "500 rows have no event time, and are scored as of 2018-06-01 12:00:00" in done.sentences()


def test_columns_are_renamed_as_the_use_case_says_and_others_are_told(platform: Platform, tmp_path: Path) -> None:
    table = table_of(5).rename_columns({"TX_AMOUNT": "amount"}).append_column("TX_FRAUD", pa.array([0] * 5))
    there = written(table, tmp_path / "rows.parquet")
    done = score_table(platform, CASE, there, str(tmp_path / "scores.csv"), as_of=AS_OF)
    assert list(done.ignored) == ["TX_FRAUD"]
    assert (tmp_path / "scores.csv").read_text().startswith('"row","CUSTOMER_ID","TX_DATETIME","score"')
    with pytest.raises(DataError, match="has columns that the model does not take: TX_FRAUD"):
        score_table(platform, CASE, there, str(tmp_path / "more.csv"), strict=True)
    assert not (tmp_path / "more.csv").exists()


def test_column_that_is_nearly_one_of_the_model_is_asked_about(platform: Platform, tmp_path: Path) -> None:
    there = written(table_of(5).rename_columns({"CHANNEL": "Channel"}), tmp_path / "rows.parquet")
    done = score_table(platform, CASE, there, str(tmp_path / "scores.csv"), as_of=AS_OF)
    assert list(done.ignored) == ["Channel"]
    assert "columns that the model does not take are left out: Channel (is it CHANNEL?)" in done.sentences()
    with pytest.raises(DataError, match=r"does not take: Channel \(is it CHANNEL\?\)"):
        score_table(platform, CASE, there, str(tmp_path / "more.csv"), strict=True)


def bad_table(tmp_path: Path) -> str:
    lines = [
        "TX_AMOUNT,CHANNEL,CUSTOMER_ID,customer_count_1d,terminal_fraud_rate_7d",
        "12.5,chip,1,2,0.1",
        "-1,chip,2,2,0.1",
        "many,online,3,2,",
        "7,online,4,2,0.5,one,more",
        ",online,007,2,0.5",
        "8,,5,NaN,",
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "rows.csv")


def test_refused_rows_are_counted_and_set_aside_with_their_reasons(platform: Platform, tmp_path: Path) -> None:
    output = str(tmp_path / "scores.parquet")
    done = score_table(platform, CASE, bad_table(tmp_path), output, as_of=AS_OF)
    assert pq.read_table(output)["row"].to_pylist() == [0, 4]
    assert (done.scored, done.refused) == (2, 4)
    aside = pq.read_table(done.refused_file)
    assert done.refused_file == str(tmp_path / "scores.refused.parquet")
    assert dict(zip(aside["row"].to_pylist(), aside["reason"].to_pylist(), strict=True)) == {
        1: "TX_AMOUNT: below 0 (found -1.0)",
        2: "TX_AMOUNT: not a finite number (32 bits) (found 'many')",
        3: "CUSTOMER_ID: not a whole number (64 bits) (found '007'); TX_AMOUNT: missing",
        None: "7 fields, expected 5: 7,online,4,2,0.5,one,more",
    }
    assert "4 of 6 rows refused" in done.sentences()[0]
    assert done.reasons["TX_AMOUNT: missing"] == 1


def test_rows_of_which_nothing_is_known_are_one_reason() -> None:
    reasons = [f"none of the model's inputs is known of CUSTOMER_ID={key}" for key in range(3)]
    assert {run._rule(reason) for reason in reasons} == {"none of the model's inputs is known of the keys"}


def test_strict_refuses_the_table_and_leaves_what_was_there(platform: Platform, tmp_path: Path) -> None:
    output = tmp_path / "scores.parquet"
    output.write_text("before")
    with pytest.raises(DataError, match=r"rows can't be scored, so nothing is written:\n  row 1: TX_AMOUNT: below 0"):
        score_table(platform, CASE, bad_table(tmp_path), str(output), strict=True)
    assert output.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "rows.csv", "scores.parquet"]


def test_the_refused_rows_of_an_earlier_run_do_not_stay(platform: Platform, tmp_path: Path) -> None:
    output = str(tmp_path / "scores.parquet")
    before = score_table(platform, CASE, bad_table(tmp_path), output, as_of=AS_OF).refused_file
    score_table(platform, CASE, written(table_of(5), tmp_path / "good.parquet"), output, as_of=AS_OF)
    assert not Path(before).exists()


def test_a_run_that_is_interrupted_leaves_nothing_half_written(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "BATCH_ROWS", 64)
    monkeypatch.setattr(run, "_TOLD_EVERY", 0.0)
    rows = []

    def interrupt(count: int, _rate: float) -> None:
        rows.append(count)
        if len(rows) == 3:
            raise KeyboardInterrupt

    there = written(table_of(), tmp_path / "rows.parquet")
    with pytest.raises(KeyboardInterrupt):
        score_table(platform, CASE, there, str(tmp_path / "scores.parquet"), report=interrupt)
    assert rows == [64, 128, 192]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "rows.parquet"]


def test_a_folder_is_one_table(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    table = table_of(30)
    written(table.slice(0, 10), tmp_path / "rows" / "a.parquet")
    written(table.slice(10), tmp_path / "rows" / "b.csv")
    output = tmp_path / "scores.parquet"
    score_table(platform, CASE, str(tmp_path / "rows"), str(output), as_of=AS_OF)
    found = pq.read_table(output)
    assert (found["row"].to_pylist(), found["CUSTOMER_ID"].to_pylist()) == ([*range(30)], [*range(100, 130)])
    written(table.drop(["CHANNEL"]), tmp_path / "rows" / "c.parquet")
    with pytest.raises(DataError, match=r"c\.parquet and .*a\.parquet differ on CHANNEL"):
        score_table(platform, CASE, str(tmp_path / "rows"), str(output))
    with pytest.raises(DataError, match=r"scores\.parquet would be written, and is the table to score, or in it"):
        score_table(platform, CASE, str(tmp_path / "rows"), str(tmp_path / "rows" / "scores.parquet"))


def test_refused_rows_can_be_scored_again_but_not_onto_themselves(platform: Platform, tmp_path: Path) -> None:
    there = written(table_of(5), tmp_path / "scores.refused.parquet")
    with pytest.raises(DataError, match=r"scores\.refused\.parquet would be written, and is the table to score"):
        score_table(platform, CASE, there, str(tmp_path / "scores.parquet"))
    assert pq.read_table(there).num_rows == 5


def test_keyed_rows_read_the_online_store(platform: Platform, model: Path, tmp_path: Path) -> None:
    with changed({"SERIN_ROOT": str(platform.workspace.root)}):
        set_up_store(platform.workspace.root)
        keyed = pa.table(
            {
                "CUSTOMER_ID": [1, 2, None],
                "TERMINAL_ID": [7, 8, 8],
                "TX_AMOUNT": [80.5] * 3,
                "CHANNEL": ["chip"] * 3,
                "TX_DATETIME": [AS_OF] * 3,
            }
        )
        output = str(tmp_path / "scores.parquet")
        done = score_table(platform, CASE, written(keyed, tmp_path / "rows.parquet"), output)
    known = [
        {"customer_count_1d": 2.0, "terminal_fraud_rate_7d": 0.0},
        {"customer_count_1d": 9.0, "terminal_fraud_rate_7d": 0.9},
    ]
    raw = pa.Table.from_pylist([{**row, **features} for row, features in zip(keyed.to_pylist(), known, strict=False)])
    assert pq.read_table(output)["score"].to_pylist() == answers(model, raw)
    assert (done.raw, done.scored, done.refused) == (False, 2, 1)
    assert done.reasons == {"CUSTOMER_ID: missing": 1}


@pytest.fixture
def bucket() -> Iterator[None]:
    with s3("tables") as variables, changed(variables):
        yield


@pytest.mark.usefixtures("bucket")
def test_tables_and_scores_lie_on_s3_as_well(platform: Platform, model: Path) -> None:
    table = table_of(50)
    storage.write_table(table, "s3://tables/in/rows.parquet")
    done = score_table(platform, CASE, "s3://tables/in", "s3://tables/out/scores.parquet", as_of=AS_OF)
    pigeons = table["CHANNEL"].to_pylist().count("pigeon")
    assert f"{pigeons} rows scored without CHANNEL, whose value training did not know" in done.sentences()
    found = storage.read_file("s3://tables/out/scores.parquet")
    assert found["score"].to_pylist() == answers(model, table)
    assert done.scored == 50
    assert storage.files("s3://tables/out") == ["s3://tables/out/scores.parquet"]


@pytest.mark.parametrize(
    ("name", "text", "error", "told"),
    [
        ("rows.csv", "TX_AMOUNT,CHANNEL\n1,a\n", DataError, "the table lacks CUSTOMER_ID, TERMINAL_ID"),
        ("rows.csv", "", DataError, "begins with an empty line"),
        ("rows.csv", "a,a\n1,2\n", DataError, "more than one column of the same name"),
        ("rows.parquet", "no parquet", DataError, "can't be read"),
        ("rows.xlsx", "PK", DataError, "extension that is not scored"),
        ("other.csv", None, UnavailableError, "is not there"),
    ],
)
def test_what_is_no_table_is_told(
    name: str, text: str | None, error: type[Exception], told: str, platform: Platform, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(error, match=told):
        score_table(platform, CASE, str(tmp_path / name), str(tmp_path / "scores.parquet"))


def test_versions_and_formats_that_there_are_not_are_refused(platform: Platform, tmp_path: Path) -> None:
    there = written(table_of(5), tmp_path / "rows.parquet")

    def scored(output: str, version: str) -> Any:
        return score_table(platform, CASE, there, str(tmp_path / output), version=version)

    with pytest.raises(DataError, match="scores are written as"):
        scored("scores.xlsx", "12")
    with pytest.raises(NotFoundError, match="has no version @challenger"):
        scored("scores.parquet", "@challenger")
    with pytest.raises(NotFoundError, match=r"version 'twelve' of .*: allowed is a number"):
        scored("scores.parquet", "twelve")
    assert scored("scores.parquet", "12").version == 12


def test_the_command_tells_people_and_programs(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Platform, "own_use_case", lambda _self, _name: _case())
    there, output = bad_table(tmp_path), str(tmp_path / "scores.parquet")
    command.run(Console(), platform, "card_fraud", there, output, "@champion", AS_OF, False)
    out = capsys.readouterr().out
    assert "2 rows scored with v12" in out
    assert "4 of 6 rows refused, with reasons:" in out
    command.run(Console(as_json=True), platform, "card_fraud", there, output, "12", AS_OF, False)
    data = json.loads(capsys.readouterr().out)
    assert (data["scored"], data["refused"], data["rows"], data["version"]) == (2, 4, "raw", 12)
    assert data["reasons"]["TX_AMOUNT: below 0"] == 1


def _case() -> UseCase:
    return CASE
