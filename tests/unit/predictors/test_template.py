"""Another kind of model is one short class; its folder is checked before the class sees it."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from predictors.template import load_kind
from serin.artifact import MANIFEST, seal_files
from serin.errors import ArtifactError, NotFoundError, RequestError
from tests.topics import TOPIC, make_topics

NOW = datetime(2026, 1, 1, tzinfo=UTC)
README = Path(__file__).parents[3] / "README.md"
# A kind whose code lies in its sealed folder, and who serves it: a process of its own, for it is imported there.
CODE = """
from predictors.requests.schema import RequestSchema
from predictors.scoring.kind import Kind, Output
print("imported")
class Quiet(Kind):
    outputs, schema, logged = (Output("quiet", "BOOL"),), RequestSchema.of_columns([]), {}
    def __init__(self, folder): pass
    def answer(self, rows, found, now): pass
"""
SERVE = """
import sys
from pathlib import Path
from predictors.template import load_kind
folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
load_kind("kind:Quiet", folder)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_topics(tmp_path_factory.mktemp("topics"))


def test_texts_are_answered_with_their_topics_and_logged(folder: Path) -> None:
    kind = load_kind(TOPIC, folder)
    rows = kind.schema.from_v1({"instances": [{"text": "the bank raised its rates"}, {"text": "a late goal"}]}, NOW)
    answered = kind.answer(rows, None, NOW)
    assert answered.outputs["topic"] == ["money", "sport"]
    assert all(0.5 < score <= 1 for score in answered.outputs["score"])
    assert list(answered.logged) == list(kind.logged) == ["text", "topic", "score"]
    assert {output.name for output in kind.outputs} == answered.outputs.keys()


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({}, "text: missing"),
        ({"text": 5}, "text: not text of at most 1024 characters"),
        ({"text": "a", "txt": "b"}, "column 'txt' is unknown; allowed: text"),
    ],
)
def test_its_requests_are_checked_as_all_are(folder: Path, row: dict[str, object], told: str) -> None:
    with pytest.raises(RequestError, match=told):
        load_kind(TOPIC, folder).schema.from_v1({"instances": [row]}, NOW)


def test_a_changed_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"one")
    seal_files(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"model\.onnx was changed: its SHA-256"):
        load_kind(TOPIC, tmp_path)


def test_a_file_beside_the_sealed_ones_is_refused(tmp_path: Path) -> None:
    seal_files(tmp_path)
    (tmp_path / "more.txt").write_text("x")
    with pytest.raises(ArtifactError, match=r"files and manifest differ on more\.txt"):
        load_kind(TOPIC, tmp_path)


def test_a_folder_that_nobody_sealed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=f"is no model artifact: it holds no {MANIFEST}"):
        load_kind(TOPIC, tmp_path)


def test_code_that_lies_in_the_folder_is_checked_before_it_runs_and_leaves_no_bytecode_there(tmp_path: Path) -> None:
    (tmp_path / "kind.py").write_text(CODE)
    seal_files(tmp_path)
    serve = [sys.executable, "-c", SERVE, str(tmp_path)]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(2):
        assert subprocess.run(serve, env=variables, capture_output=True, text=True, check=True).stdout == "imported\n"
    (tmp_path / "kind.py").write_text(CODE + "print('changed')\n")
    refused = subprocess.run(serve, env=variables, capture_output=True, text=True, check=False)
    assert refused.stdout == ""
    assert "kind.py was changed" in refused.stderr


def test_bytecode_is_not_sealed_and_refused_with_what_to_do(tmp_path: Path) -> None:
    cached = tmp_path / "__pycache__" / "kind.cpython-311.pyc"
    cached.parent.mkdir()
    cached.write_bytes(b"x")
    assert seal_files(tmp_path).files == {}
    cached.parent.mkdir()
    cached.write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"differ on __pycache__/kind\.cpython-311\.pyc; remove __pycache__"):
        load_kind(TOPIC, tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tests.topic_kind", "allowed is package.module:Class"),
        ("tests.no_such_module:Topic", "No module named"),
        ("tests.topic_kind:Nothing", "tests.topic_kind has no class Nothing"),
        ("tests.topic_kind:Path", "has no class Path that is a predictors.scoring.kind.Kind"),
    ],
)
def test_what_is_no_kind_is_told(tmp_path: Path, name: str, told: str) -> None:
    seal_files(tmp_path)
    with pytest.raises(NotFoundError, match=told):
        load_kind(name, tmp_path)


def test_class_that_lacks_what_is_served_of_it_is_told_before_it_is_made(tmp_path: Path) -> None:
    seal_files(tmp_path)
    with pytest.raises(ArtifactError, match="test_declared:Half: the class has no outputs, schema"):
        load_kind("tests.unit.predictors.test_declared:Half", tmp_path)


def test_what_a_kind_declares_is_checked_once_it_is_made(tmp_path: Path) -> None:
    seal_files(tmp_path)
    with pytest.raises(ArtifactError, match="test_declared:Nameless: outputs has one called ''"):
        load_kind("tests.unit.predictors.test_declared:Nameless", tmp_path)


def test_the_readme_shows_the_kind_that_is_tested() -> None:
    code = (README.parent / "tests/topic_kind.py").read_text()
    assert f"```python\n{code}```" in README.read_text()
