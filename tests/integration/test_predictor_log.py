"""The prediction log of a predictor that is killed, whose store is away, and that is told to end."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from predictors.identity import Identity
from predictors.log.columns import schema
from predictors.log.writer import PredictionLog
from serin import partitions
from serin.environment import changed
from serin.storage import files
from tests import services
from tests.factories import make_artifact
from tests.predictor_process import Predictor, start, workspace

ROW = {"TX_AMOUNT": 80.5, "CHANNEL": "chip", "TX_DATETIME": "2018-06-01T12:00:00"}
LABELS = {"model": "card-fraud", "model_version": "12", "deployment": "card-fraud-v12"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact") / "model"
    make_artifact(folder, estimator="logistic_regression")
    return folder


class Load:
    """Clients that send one row a request, and note when which was answered; they end with the predictor."""

    def __init__(self) -> None:
        self.answered: dict[str, float] = {}
        self.refused: list[int] = []
        self._stop = threading.Event()

    @contextmanager
    def of(self, predictor: Predictor, clients: int = 2) -> Iterator[None]:
        self._stop.clear()
        threads = [threading.Thread(target=self._send, args=(predictor.http,)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _send(self, http: str) -> None:
        url, name = f"{http}/v1/models/card-fraud:predict", threading.get_ident()
        with httpx.Client(timeout=30) as client:
            while not self._stop.is_set():
                own = f"{name}-{time.monotonic_ns()}"
                try:
                    answer = client.post(url, json={"instances": [ROW]}, headers={"x-request-id": own})
                except httpx.TransportError:
                    return
                if answer.is_success:
                    self.answered[own] = time.monotonic()
                else:
                    self.refused.append(answer.status_code)
                time.sleep(0.002)


def logged(folder: str) -> Counter[str]:
    """How often each request is in the log."""
    return Counter(partitions.read(folder, ["request_id"]).table["request_id"].to_pylist() if files(folder) else [])


def kill(predictor: Predictor) -> float:
    """SIGKILL; gives the time just before."""
    now = time.monotonic()
    predictor.process.kill()
    predictor.process.wait(20)
    return now


def eventually(condition: Callable[[], Any], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not within its time"
        time.sleep(0.1)


def test_killed_under_load_while_s3_is_away_it_loses_the_last_second_at_most(model: Path, tmp_path: Path) -> None:
    root, load, port = workspace(tmp_path / "root"), Load(), services.free_port()
    with ExitStack() as last, services.s3("serin", port=port) as s3, changed(s3):
        folder, variables = "s3://serin/data/predictions/card_fraud", {**s3, "SERIN_STORAGE": "s3://serin/data"}
        first = start(root, model, variables)
        last.callback(first.process.kill)
        with load.of(first):
            eventually(lambda: logged(folder))
            with services.s3_away(port):
                before = len(load.answered)
                eventually(lambda: first.metric("model_prediction_log_upload_failures_total", **LABELS) > 0)
                eventually(lambda: len(load.answered) > before + 200)
                time.sleep(1.5)
                killed = kill(first)
                second = start(root, model, variables)
                last.callback(second.process.kill)
                with load.of(second):
                    time.sleep(1.0)
        due = {one for one, at in load.answered.items() if at < killed - 1}
        eventually(lambda: due <= logged(folder).keys())
        assert second.stop() == 0
        found = logged(folder)
    assert load.refused == []
    assert len(due) > before + 100
    lost = load.answered.keys() - found.keys()
    assert all(killed - 1 <= load.answered[one] <= killed + 0.1 for one in lost)
    assert set(found.values()) == {1}
    assert "files (" in (said := second.output.read_text())
    assert "were left by a predictor that is gone; they are stored now" in said
    assert "Traceback" not in said
    assert list((root / ".serin" / "spool" / "card_fraud").iterdir()) == []


def test_a_folder_that_can_not_be_written_delays_rows_and_no_answer(model: Path, tmp_path: Path) -> None:
    root, load = workspace(tmp_path / "root"), Load()
    folder = root / ".serin" / "predictions" / "card_fraud"
    folder.parent.mkdir()
    folder.write_text("a file where the folder should be")
    predictor = start(root, model)
    try:
        with load.of(predictor):
            eventually(lambda: predictor.metric("model_prediction_log_upload_failures_total", **LABELS) > 0)
            assert predictor.metric("model_prediction_log_spool_bytes", **LABELS) > 0
            assert predictor.metric("model_prediction_log_oldest_row_seconds", **LABELS) > 0.5
            assert predictor.metric("model_prediction_log_rows_dropped_total", **LABELS) == 0
            folder.unlink()
        # It is told to end while most rows are in its spool or its memory.
        assert predictor.stop() == 0
    finally:
        predictor.process.kill()
    assert load.refused == []
    assert logged(str(folder)) == dict.fromkeys(load.answered, 1)
    assert "the prediction log can't be stored" in predictor.output.read_text()


def test_told_to_end_while_s3_does_not_answer_it_ends_in_time_and_leaves_its_rows_to_the_next(
    model: Path, tmp_path: Path
) -> None:
    """An upload that hangs is still under way when the process ends."""
    root, load, port = workspace(tmp_path / "root"), Load(), services.free_port()
    with ExitStack() as last, services.s3("serin", port=port) as s3, changed(s3):
        folder, variables = "s3://serin/data/predictions/card_fraud", {**s3, "SERIN_STORAGE": "s3://serin/data"}
        first = start(root, model, variables, ["--log_close_seconds", "0.3"])
        last.callback(first.process.kill)
        with services.s3_away(port), socket.create_server(("127.0.0.1", port)) as silent:
            silent.settimeout(20)
            with load.of(first):
                caller, _ = silent.accept()
                told = time.monotonic()
                assert first.stop() == 0
                took = time.monotonic() - told
            caller.close()
        spool, lost, other = root / ".serin" / "spool" / "card_fraud", list[int](), Identity("card-fraud", "13", "v13")
        following = PredictionLog(folder, spool, other, schema({}), lost.append)
        following.start()
        following.close()
        found = logged(folder)
    assert took < 6  # the upload itself would take 9 s more
    assert lost == []
    assert load.refused == []
    assert found == dict.fromkeys(load.answered, 1)
    said = first.output.read_text()
    assert "the next predictor that uses this spool stores them" in said
    assert "Traceback" not in said
    assert list(spool.iterdir()) == []
