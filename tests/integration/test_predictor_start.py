"""How a predictor starts, refuses to start, and ends."""

import re
import signal
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from serin import partitions
from serin.storage import files
from tests.factories import make_artifact
from tests.predictor_process import CHECKOUT, command, environment, free_port, run_to_end, start, workspace


def test_port_that_is_taken_is_named(tmp_path: Path) -> None:
    make_artifact(tmp_path / "root" / "model")
    root = workspace(tmp_path / "root")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        result = run_to_end(root, command(root / "model", port, free_port()))
    assert result.returncode == 1
    assert f"HTTP port {port} on 127.0.0.1 can't be opened: Address already in use" in result.stderr
    assert "Traceback" not in result.stderr


def starting(model: Path, root: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command(model, 0, 0),
        cwd=CHECKOUT,
        env=environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def ended(process: "subprocess.Popen[bytes]", number: signal.Signals, root: Path) -> None:
    """Told to end, it does, with exit code 0; nothing is left, and nothing is an error."""
    with process:
        process.send_signal(number)
        assert process.stdout
        said = process.stdout.read().decode()
        assert process.wait(20) == 0, said
    assert "Traceback" not in said
    assert [path for path in (root / ".serin").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_a_start_from_its_first_moment_on(tmp_path: Path, number: signal.Signals) -> None:
    root = workspace(tmp_path / "root")
    make_artifact(root / "model")
    process = starting(root / "model", root)
    deadline = time.monotonic() + 10
    # Python itself takes SIGINT, and no other.
    while not caught(process.pid) >> (signal.SIGTERM - 1) & 1 and time.monotonic() < deadline:
        time.sleep(0.001)
    ended(process, number, root)


def caught(process: int) -> int:
    """The signals that the process has a handler of, a bit each."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)  # type: ignore[index]


def test_signal_ends_a_start_that_is_nearly_done(tmp_path: Path) -> None:
    root = workspace(tmp_path / "root")
    make_artifact(root / "model")
    process = starting(root / "model", root)
    assert process.stdout
    assert b"Registering model" in process.stdout.readline()
    ended(process, signal.SIGTERM, root)


def test_log_holds_every_scored_row_after_sigterm(tmp_path: Path) -> None:
    root = workspace(tmp_path / "root")
    make_artifact(root / "model", estimator="logistic_regression")
    running = start(root, root / "model")
    try:
        rows = [{"TX_AMOUNT": float(n), "CHANNEL": None, "TX_DATETIME": f"2018-06-0{n % 2 + 1}"} for n in range(50)]
        scores = [item["score"] for item in running.v1(*rows).json()["predictions"]]
    finally:
        code = running.stop()
    assert code == 0, running.output.read_text()
    log = str(root / ".serin" / "predictions" / "card_fraud")
    assert {Path(name).parent.name for name in files(log)} == {"date=2018-06-01", "date=2018-06-02"}
    table = partitions.read(log).table.sort_by("row").to_pydict()
    assert table["score"] == scores
    assert table["TX_AMOUNT"] == [float(n) for n in range(50)]
    assert set(table["model_version"]) == {"12"}
    told = running.output.read_text()
    assert "Traceback" not in told
    assert f"its prediction log goes to {log}" in told


def test_port_0_is_any_that_is_free_and_is_told(tmp_path: Path) -> None:
    root = workspace(tmp_path / "root")
    make_artifact(root / "model")
    output = root / "predictor.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command(root / "model", 0, 0), cwd=CHECKOUT, env=environment(root), stdout=file, stderr=file
        )
    try:
        while not (told := re.search(r"HTTP port (\d+), gRPC port (\d+)", output.read_text())):
            assert process.poll() is None, output.read_text()
            time.sleep(0.05)
        assert httpx.get(f"http://127.0.0.1:{told[1]}/v2/health/ready").status_code == 200
        with socket.create_connection(("127.0.0.1", int(told[2]))):
            pass
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no such folder"),
        ({"manifest.json": "{}"}, "manifest.json can't be read: use_case: Field required; "),
        ({"notes.txt": "none"}, "it holds no"),
    ],
)
def test_folder_that_is_no_artifact_is_told_in_one_line(
    tmp_path: Path, content: dict[str, str] | None, told: str
) -> None:
    model = tmp_path / "model"
    if content is not None:
        model.mkdir()
        for name, text in content.items():
            (model / name).write_text(text)
    result = run_to_end(tmp_path, command(model, free_port(), free_port()))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("predictor card-fraud version 12: ")
    assert str(model) in result.stderr
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_store_that_is_away_keeps_a_predictor_from_starting(tmp_path: Path) -> None:
    root = workspace(tmp_path / "root")
    make_artifact(root / "model", store=True)
    result = run_to_end(root, command(root / "model", free_port(), free_port()))
    assert result.returncode == 1
    *_, told = result.stderr.strip().splitlines()
    assert told.startswith("predictor card-fraud version 12: the online store of ")
    assert "does not answer: " in told
    assert "Traceback" not in result.stderr


def test_changed_model_file_is_refused_at_the_start(tmp_path: Path) -> None:
    make_artifact(tmp_path / "model")
    model = tmp_path / "model" / "model.ubj"
    model.write_bytes(model.read_bytes() + b" ")
    result = run_to_end(tmp_path, command(tmp_path / "model", free_port(), free_port()))
    assert result.returncode == 1
    assert result.stderr.startswith("predictor card-fraud version 12: ")
    assert "model.ubj was changed: its SHA-256 is" in result.stderr
    assert "Traceback" not in result.stderr
