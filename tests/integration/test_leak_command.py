"""`serin leak` as a user meets it: stored events, a process, an exit code."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from components.ingest.run import run as ingest
from pipelines.leak import leak as pipeline
from serin.atomic import write_text
from serin.platform import build
from serin.use_case import dumps
from serin.workspace import Workspace
from tests import services
from tests.factories import make_case
from tests.markup import Reader

ROWS = 1500


def case_of(name, *request):
    rate = {"name": "rate", "aggregation": "mean", "column": "y", "window": "14d", "delay": "7d"}
    return make_case(
        {"key": "integer", "id": "integer", "at": "timestamp", "amount": "number", "hint": "number", "y": "integer"},
        name=name,
        timestamp="at",
        label={"column": "y", "delay": "7d"},
        data={"key": ["key"]},
        features={
            "service": f"{name}_v1",
            "request": request,
            "windows": {f"{name}_things": {"entity": "thing", "features": [rate]}},
        },
        training={"estimators": {"lightgbm": {}}, "folds": 1},
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A workspace with the events of two use cases; one also has `hint`, which is the label in disguise."""
    root = services.workspace_copy(tmp_path_factory.mktemp("workspace"))
    random = np.random.default_rng(0)
    amount = random.normal(size=ROWS)
    label = (amount + random.normal(scale=0.8, size=ROWS) > 1).astype(int)
    hint = label + random.normal(scale=0.05, size=ROWS)
    times = pd.date_range("2025-12-30", "2026-02-28 23:00", periods=ROWS, tz="UTC")
    table = pd.DataFrame({"key": np.arange(ROWS), "id": np.arange(ROWS) % 40, "at": times, "amount": amount})
    table.assign(hint=hint, y=label).to_parquet(root / "table.parquet", index=False)
    platform = build(Workspace.from_variables({"SERIN_ROOT": str(root)}))
    for case in (case_of("honest", "amount"), case_of("flattered", "amount", "hint")):
        write_text(platform.workspace.use_cases / f"{case.name}.yaml", dumps(case))
        ingest(platform, case, str(root / "table.parquet"), "")
    return root


def leak(root, *arguments):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SERIN_")}
    return subprocess.run(
        [sys.executable, "-m", "pipelines", "leak", *arguments, "--json"],
        capture_output=True, text=True, env=environment | {"SERIN_ROOT": str(root)}, timeout=300,
    )  # fmt: skip


def test_honest_use_case_is_exit_code_0_and_keeps_a_report(root):
    done = leak(root, "honest")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["verdict"], found["suspects"]) == ("clean", [])
    assert set(found["alone"]) == {"amount", "rate"}
    page = Reader((root / ".serin" / "report" / "honest-leak.html").read_text(encoding="utf-8"))
    assert "honest: which feature knows too much" in page.texts
    assert page.tags.count("svg") == 1


def test_label_in_disguise_is_exit_code_3_and_named(root):
    done = leak(root, "flattered")
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert (found["verdict"], found["suspects"]) == ("suspect", ["hint"])
    assert any(reason.startswith("hint alone has 1.000") for reason in found["reasons"])


def test_pipeline_finds_the_same_and_leaves_its_report_and_summary(root):
    platform = build(Workspace.from_variables({"SERIN_ROOT": str(root)}))
    said = []
    reference = platform.publish(platform.own_use_case("flattered"))
    platform.pipelines.run(pipeline, {"use_case": reference}, lambda event: said.append(event.text))
    assert any(text.startswith("hint alone has 1.000") for text in said)
    (run,) = (root / ".serin" / "runs").iterdir()
    (summary,) = (path for path in run.rglob("summary*") if path.is_file() and "find-leaks" in str(path))
    told = summary.read_text(encoding="utf-8")
    assert re.match(r"From events `[0-9a-f]{12}`: \*\*a feature knows more than is likely\*\* \(", told)
    (report,) = (path for path in run.rglob("report*") if path.is_file() and "find-leaks" in str(path))
    assert "flattered: which feature knows too much" in Reader(report.read_text(encoding="utf-8")).texts
