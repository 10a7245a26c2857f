"""`serin score` and its pipeline from the prompt to the file, with a real model registry."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from pipelines.score import score
from serin.aliases import CHAMPION
from serin.platform import Platform, build
from serin.progress import Progress
from serin.workspace import Workspace
from tests import services
from tests.factories import make_artifact

pytestmark = [
    # MLflow uses interfaces of SQLAlchemy, Pydantic and others that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
AS_OF = "2018-06-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A workspace whose card_fraud has a champion, version 1, and a table of three rows."""
    root = services.workspace_copy(tmp_path_factory.mktemp("workspace"))
    made = build(Workspace.from_variables({"SERIN_ROOT": str(root)}))
    folder = root / "model"
    manifest = make_artifact(folder)
    version = made.registry.register(folder, manifest, {}, {}, {})
    made.registry.set_alias("card-fraud", CHAMPION, version.version)
    rows = ["TX_AMOUNT,CHANNEL,CUSTOMER_ID,note", "250.5,online,1,a", "3,chip,2,b", "-1,chip,3,c"]
    (root / "rows.csv").write_text("\n".join(rows) + "\n")
    return made


def test_the_command_scores_a_table_with_the_champion(platform: Platform) -> None:
    root = platform.workspace.root
    line = [sys.executable, "-m", "pipelines", "score", "card_fraud", "rows.csv", "scores.parquet", "--json"]
    env = {"SERIN_ROOT": str(root), "PYTHONPATH": str(services.CHECKOUT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(line, cwd=root, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["version"], told["scored"], told["refused"], told["undated"]) == (1, 2, 1, 2)
    assert told["ignored"] == ["note"]
    assert told["output"] == str(root / "scores.parquet")
    found = pq.read_table(root / "scores.parquet")
    assert found["CUSTOMER_ID"].to_pylist() == [1, 2]
    assert found["score"][0].as_py() > found["score"][1].as_py()
    assert "1 of 3 rows refused, with reasons:" in done.stderr


def test_the_pipeline_scores_it_too(platform: Platform) -> None:
    root, heard = platform.workspace.root, []
    given = {"use_case": "card_fraud", "data": str(root / "rows.csv"), "as_of": AS_OF}

    def listen(event: Progress) -> None:
        heard.append(event)

    platform.pipelines.run(score, given, listen)
    found = pq.read_table(root / ".serin" / "scores" / "card_fraud" / "rows.parquet")
    assert found["row"].to_pylist() == [0, 1]
    assert any("1 of 3 rows refused" in event.text for event in heard)
    assert ("score", "finished") in [(event.task, event.event) for event in heard]
