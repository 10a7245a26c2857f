"""The command line as a user meets it: each test is a process of its own."""

import json
import subprocess
import sys

import pytest

from pipelines.commands.new import _refuse_module_names
from tests import services


def serin(*arguments: str, root=None) -> subprocess.CompletedProcess[str]:
    import os

    environment = {key: value for key, value in os.environ.items() if not key.startswith("SERIN_")}
    environment |= {"SERIN_ROOT": str(root)} if root else {}
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments], capture_output=True, text=True, env=environment, timeout=120
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return services.workspace_copy(tmp_path_factory.mktemp("workspace"))


def test_help_is_a_table_of_contents_and_imports_nothing_heavy():
    code = (
        "import sys; from typer.testing import CliRunner; from pipelines.cli import app;"
        "out = CliRunner().invoke(app, ['--help']).output;"
        "heavy = {'pandas', 'numpy', 'kfp', 'mlflow', 'feast', 'sklearn', 'pyarrow', 'duckdb'} & set(sys.modules);"
        "print(sorted(heavy)); print(out)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
    assert found.startswith("[]\n")
    commands = "demo new train push refresh serve score rollout drift skew leak retrain status doctor compile"
    for command in commands.split():
        assert command in found


def test_unknown_use_case_is_one_line_and_exit_code_1(root):
    done = serin("train", "frauds", "--data", "x.parquet", root=root)
    assert done.returncode == 1
    assert done.stderr.startswith("serin: no use case 'frauds'; known: bank_churn, card_fraud.")
    assert "Traceback" not in done.stderr


def test_option_that_is_none_is_exit_code_2():
    done = serin("train", "card_fraud", "--dta", "x")
    assert done.returncode == 2
    assert "No such option: --dta" in done.stderr


def test_days_are_not_replaced_without_a_table():
    done = serin("train", "card_fraud", "--replace-days")
    assert done.returncode == 2
    assert "Invalid value for --replace-days" in done.stderr
    assert "--data TABLE" in done.stderr


def test_simulate_writes_what_card_fraud_takes(tmp_path):
    done = serin("simulate", "--out", str(tmp_path / "t.csv"), "--rows", "1000", "--days", "5", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] > 500
    header = (tmp_path / "t.csv").read_text().splitlines()[0]
    assert header == "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD"


def test_simulate_refuses_a_format_it_can_not_write(tmp_path):
    done = serin("simulate", "--out", str(tmp_path / "t.xlsx"))
    assert done.returncode == 1
    assert "can't write .xlsx; allowed: .parquet, .csv" in done.stderr


def test_status_of_a_new_workspace_says_what_to_do(root):
    done = serin("status", "card_fraud", root=root)
    assert done.returncode == 0, done.stderr
    assert "no version yet" in done.stdout
    assert "serin train card_fraud --data TABLE" in done.stdout


def test_new_does_not_replace_a_use_case_unasked(root, tmp_path):
    (tmp_path / "t.csv").write_text("id,y\n1,0\n2,1\n")
    done = serin("new", "card_fraud", "--data", str(tmp_path / "t.csv"), "--label", "y", "--entity", "id", root=root)
    assert done.returncode == 1
    assert "card_fraud.yaml exists already; choose another name, or --force" in done.stderr


def test_rollout_without_a_server_says_how_to_start_one(root):
    done = serin("rollout", "card_fraud", root=root)
    assert done.returncode == 1
    assert (
        "nothing serves card_fraud on this machine; start `serin serve card_fraud` in another terminal" in done.stderr
    )


def test_new_refuses_a_name_that_python_knows_already(root, tmp_path):
    (tmp_path / "t.csv").write_text("id,y\n1,0\n2,1\n")
    done = serin("new", "email", "--data", str(tmp_path / "t.csv"), "--label", "y", "--entity", "id", root=root)
    assert done.returncode == 1
    assert "'email' is the name of a Python module, which Feast would import instead" in done.stderr
    assert not (root / "feature_repo" / "email.py").exists()


def test_new_takes_the_name_of_a_folder_where_one_stands(tmp_path, monkeypatch):
    (tmp_path / "churn").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    _refuse_module_names("churn")


def test_new_takes_a_table_whose_columns_are_called_like_those_of_the_log(root, tmp_path):
    rows = "\n".join(f"{i},{i % 7},{i % 3 % 2}" for i in range(200))
    (tmp_path / "t.csv").write_text(f"id,score,y\n{rows}\n")
    done = serin("new", "scored", "--data", str(tmp_path / "t.csv"), "--label", "y", "--entity", "id", root=root)
    assert done.returncode == 0, done.stderr
    text = (root / "pipelines" / "use_cases" / "scored.yaml").read_text()
    (root / "pipelines" / "use_cases" / "scored.yaml").unlink()
    (root / "feature_repo" / "scored.py").unlink()
    assert "rename: {score: score_" in text
