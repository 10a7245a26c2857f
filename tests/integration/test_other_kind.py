"""Another kind of model, of one short class, as a process: what the server gives it."""

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serin import partitions
from tests.predictor_process import Predictor, command, grpc_refusal, infer, run_to_end, start, workspace
from tests.topics import TOPIC, make_topics

NAME = ["--kind", TOPIC, "--model_name", "topics", "--model_version", "1", "--deployment", "topics-v1"]
TEXTS = ["the bank raised its rates", "a late goal"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_topics(tmp_path_factory.mktemp("topics"))


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Predictor]:
    started = start(workspace(tmp_path_factory.mktemp("root") / "workspace"), model, options=NAME)
    yield started
    assert started.stop() == 0


def tensor(*texts: str) -> dict[str, object]:
    return {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": list(texts)}


def test_v1_v2_and_grpc_give_the_same_answer(predictor: Predictor) -> None:
    body = {"instances": [{"text": text} for text in TEXTS]}
    first = httpx.post(f"{predictor.http}/v1/models/topics:predict", json=body).json()["predictions"]
    assert [(each["topic"], each["model_version"]) for each in first] == [("money", "1"), ("sport", "1")]
    second = httpx.post(f"{predictor.http}/v2/models/topics/infer", json={"inputs": [tensor(*TEXTS)]}).json()
    outputs = {output["name"]: output for output in second["outputs"]}
    assert outputs["topic"]["data"] == ["money", "sport"]
    assert outputs["score"]["data"] == [each["score"] for each in first]
    third = asyncio.run(infer(predictor.grpc, [tensor(*TEXTS)], "topics"))
    topics = next(output for output in third.outputs if output.name == "topic")
    assert list(topics.contents.bytes_contents) == [b"money", b"sport"]


def test_the_metadata_have_its_columns(predictor: Predictor) -> None:
    found = httpx.get(f"{predictor.http}/v2/models/topics").json()
    assert [(each["name"], each["datatype"]) for each in found["inputs"]] == [("text", "BYTES")]
    names = [(each["name"], each["datatype"]) for each in found["outputs"]]
    assert names == [("topic", "BYTES"), ("score", "FP64"), ("model_version", "BYTES")]


def test_what_breaks_a_rule_is_refused_with_the_same_words(predictor: Predictor) -> None:
    url = f"{predictor.http}/v1/models/topics:predict"
    refused = httpx.post(url, json={"instances": [{"text": "x" * 1025}]})
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("row 0: text: not text of at most 1024 characters")
    code, text = grpc_refusal(predictor.grpc, [tensor("x" * 1025)], "topics")
    assert (code, text) == ("INVALID_ARGUMENT", refused.json()["error"])


def test_it_explains_nothing_and_says_so(predictor: Predictor) -> None:
    answer = httpx.post(f"{predictor.http}/v1/models/topics:explain", json={"instances": [{"text": "a"}]})
    assert answer.status_code == 400, answer.text
    assert "explain" in answer.json()["error"]


def test_rows_are_counted_and_logged(predictor: Predictor) -> None:
    before = predictor.metric("model_predictions_total", status="ok")
    body = {"instances": [{"text": "a late goal, logged"}]}
    answer = httpx.post(f"{predictor.http}/v1/models/topics:predict", json=body, headers={"x-request-id": "r-9"})
    assert answer.headers["x-request-id"] == "r-9"
    assert predictor.metric("model_predictions_total", status="ok", model="topics") == before + 1
    folder = str(predictor.root / ".serin" / "predictions" / "topics")
    deadline = time.monotonic() + 20
    rows = []
    while not rows and time.monotonic() < deadline:
        if partitions.files(folder):
            rows = [row for row in partitions.read(folder).table.to_pylist() if row["request_id"] == "r-9"]
        time.sleep(0.2)
    assert [(row["text"], row["topic"], row["model_version"]) for row in rows] == [
        ("a late goal, logged", "sport", "1")
    ]


def test_a_folder_that_was_changed_is_not_served(tmp_path: Path, model: Path) -> None:
    changed = tmp_path / "model"
    changed.mkdir()
    for path in model.iterdir():
        (changed / path.name).write_bytes(path.read_bytes())
    (changed / "model.onnx").write_bytes(b"other")
    ended = run_to_end(workspace(tmp_path / "root"), [*command(changed, 0, 0), *NAME])
    assert ended.returncode == 1
    assert "model.onnx was changed" in ended.stderr
    assert sys.executable not in ended.stderr
