"""The loop as a user runs it, command by command, on a small simulated table in a workspace of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from tests import services

ROW = {"CUSTOMER_ID": 3, "TERMINAL_ID": 5, "TX_AMOUNT": 42.0, "TX_DATETIME": "2026-03-05T10:00:00"}


class User:
    """Somebody at a terminal in a workspace."""

    def __init__(self, root: Path) -> None:
        self.root = root
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SERIN_")}
        self.environment = kept | {"SERIN_ROOT": str(root)}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pipelines", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, env=self.environment, cwd=self.root, timeout=600
        )

    def result(self, *arguments: str) -> dict:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> User:
    found = User(services.workspace_copy(tmp_path_factory.mktemp("workspace")))
    # A week must hold enough frauds for the gate to tell a good model from luck.
    found.result("simulate", "--out", "t.parquet", "--rows", "90000", "--days", "63")
    quickly(found.root / "pipelines" / "use_cases" / "card_fraud.yaml")
    return found


def quickly(path: Path) -> None:
    """Let the shipped use case train in seconds: fewer estimators, and a short search."""
    document = yaml.safe_load(path.read_text())
    document["training"] |= {
        "estimators": {"logistic_regression": {}, "xgboost": {"n_estimators": 100}, "stacking": {}},
        "search": {"trials": 2, "rows": 10_000},
    }
    path.write_text(yaml.safe_dump(document, sort_keys=False))


@pytest.fixture(scope="module")
def first(user: User) -> dict:
    return user.result("train", "card_fraud", "--data", "t.parquet")


@pytest.fixture(scope="module")
def gateway(user: User, first: dict) -> Iterator[int]:
    port = services.free_port()
    with (user.root / "serve.txt").open("wb") as output:
        process = subprocess.Popen(
            user.command("serve", "card_fraud", "--port", str(port)),
            env=user.environment, cwd=user.root, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not _is_up(port):
            waiting = process.poll() is None and time.monotonic() < deadline
            assert waiting, (user.root / "serve.txt").read_text()
            time.sleep(0.2)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert _left_over(user.root) == []


def _is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v1/models/card-fraud", timeout=2).is_success
    except httpx.TransportError:
        return False


def _left_over(root: Path) -> list[str]:
    """Commands of processes that still run in the workspace."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("SERIN_ROOT") == str(root):
                found.append(" ".join(process.cmdline()))
    return found


def post(port: int, path: str, body: dict) -> tuple[int, dict]:
    answer = httpx.post(f"http://127.0.0.1:{port}{path}", json=body, timeout=20)
    return answer.status_code, answer.json()


def test_training_reports_metrics_on_a_held_back_week_and_makes_a_champion(user, first):
    assert first["version"] == 1
    assert 0.5 < first["metrics"]["roc_auc"] <= 1
    assert "customer_precision_at_100" in first["metrics"]
    assert Path(first["report"]).read_text().startswith("<!doctype html>")
    assert user.result("status", "card_fraud")["card_fraud"]["versions"][0]["aliases"] == [
        "candidate",
        "challenger",
        "champion",
    ]


def test_training_again_on_the_same_data_changes_nothing(user, first):
    again = user.result("train", "card_fraud", "--data", "t.parquet")
    assert (again["version"], again["metrics"]) == (first["version"], first["metrics"])


def test_refresh_of_the_past_leaves_what_is_served(user, first):
    refreshed = user.result("refresh", "card_fraud", "--as-of", "2026-02-20")
    assert refreshed["as_of"] == "2026-02-20T00:00:00+00:00"
    assert refreshed["published"] == first["as_of"]
    assert refreshed["new_rows"] == 0


def test_refresh_takes_a_table_and_trains_nothing(user):
    header = "CustomerId,CreditScore,Geography,Gender,Age,Tenure,Balance,NumOfProducts,HasCrCard,IsActiveMember"
    rows = [f"{number},600,France,Female,40,3,0.5,1,1,0,50000,{number % 2}" for number in range(20)]
    (user.root / "churn.csv").write_text("\n".join([f"{header},EstimatedSalary,Exited", *rows, ""]))
    refreshed = user.result("refresh", "bank_churn", "--data", "churn.csv")
    assert refreshed["new_rows"] == 20
    assert refreshed["views"] == ["bank_churn_customer"]
    assert refreshed["published"] == refreshed["as_of"]
    assert user.result("status", "bank_churn")["bank_churn"]["versions"] == []


def test_failing_step_tells_its_reason_and_leaves_no_version(user, first):
    (user.root / "bad.csv").write_text("TRANSACTION_ID,TX_DATETIME\n1,2026-01-01\n")
    done = user.run("train", "card_fraud", "--data", "bad.csv")
    assert done.returncode == 1
    assert "step ingest failed" in done.stderr
    assert "bad.csv" in done.stderr
    assert "CUSTOMER_ID" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(user.result("status", "card_fraud")["card_fraud"]["versions"]) == 1


def test_gateway_answers_v1_v2_and_grpc_alike(gateway):
    from kserve import InferInput
    from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
    from kserve.protocol.infer_type import InferRequest

    status, v1 = post(gateway, "/v1/models/card-fraud:predict", {"instances": [ROW]})
    assert status == 200
    assert v1["predictions"][0]["model_version"] == "1"
    score = v1["predictions"][0]["score"]
    types = {int: "INT64", float: "FP64", str: "BYTES"}
    tensors = [{"name": k, "shape": [1], "datatype": types[type(v)], "data": [v]} for k, v in ROW.items()]
    status, v2 = post(gateway, "/v2/models/card-fraud/infer", {"inputs": tensors})
    assert status == 200
    assert next(o["data"] for o in v2["outputs"] if o["name"] == "score") == [score]

    import grpc

    inputs = [InferInput(t["name"], t["shape"], t["datatype"], t["data"]) for t in tensors]
    with grpc.insecure_channel(f"127.0.0.1:{gateway}") as channel:
        stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer = stub.ModelInfer(InferRequest("card-fraud", inputs).to_grpc(), timeout=20)
    scores = {o.name: list(o.contents.fp64_contents) for o in answer.outputs}["score"]
    assert scores == [score]


def test_gateway_refuses_a_bad_row_and_says_why(gateway):
    status, body = post(gateway, "/v1/models/card-fraud:predict", {"instances": [ROW | {"TX_AMOUNT": "much"}]})
    assert status == 400
    assert "TX_AMOUNT" in json.dumps(body)


def _predict_and_await_the_log(user: User, gateway: int) -> None:
    """The predictor writes its log every second, off the request path."""
    log = user.root / ".serin" / "predictions" / "card_fraud"
    before = len(list(log.rglob("*.parquet")))
    assert post(gateway, "/v1/models/card-fraud:predict", {"instances": [ROW]})[0] == 200
    _await(lambda: len(list(log.rglob("*.parquet"))) > before, 30)


def test_drift_check_on_a_few_predictions_is_no_alarm(user, gateway):
    _predict_and_await_the_log(user, gateway)
    assert user.result("drift", "card_fraud")["verdict"] == "too_few_rows"


def test_retraining_without_drift_trains_nothing(user, gateway):
    _predict_and_await_the_log(user, gateway)
    assert user.result("retrain", "card_fraud") == {"decision": "keep", "version": None, "gate": None}


def test_second_server_of_the_same_model_is_refused(user, gateway):
    done = user.run("serve", "card_fraud", "--port", str(services.free_port()))
    assert done.returncode == 1
    assert "is at it already" in done.stderr


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_ended_training_leaves_no_step_behind_and_can_be_run_again(user, first, end):
    process = subprocess.Popen(
        user.command("train", "card_fraud"), env=user.environment, cwd=user.root,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    # Several run at once by then.
    _await(lambda: any("--function_to_execute train" in step for step in _steps(user.root)), 200)
    process.send_signal(end)
    process.wait(20)
    _await(lambda: not _steps(user.root), 20)
    assert user.result("train", "card_fraud")["version"] == first["version"]


def _await(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.2)


def _steps(root: Path) -> list[str]:
    return [command for command in _left_over(root) if "kfp.dsl.executor_main" in command]
