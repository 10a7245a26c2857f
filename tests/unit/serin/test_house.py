"""What holds the house together besides the import rules of setup.cfg."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
CODE = [
    path
    for folder in ("serin", "components", "pipelines", "predictors", "feature_repo")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def _that_match(pattern: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in CODE if re.search(pattern, path.read_text(encoding="utf-8"))}


def test_environment_variables_are_touched_in_one_module():
    assert _that_match(r"os\.(environ|getenv|putenv)|from os import .*environ") == {"serin/environment.py"}


def test_only_the_composition_root_chooses_by_profile():
    asking = _that_match(r"\.profile\b")
    assert asking == {"serin/platform.py", "serin/workspace.py", "pipelines/commands/doctor.py"}


def test_adapters_are_built_by_the_composition_root_alone():
    assert _that_match(r"\b(MlflowRegistry|FeastStore|LocalServing|LocalRunner|FileLease)\(") == {"serin/platform.py"}


def test_ground_floor_loads_no_heavy_library():
    heavy = "{'sklearn', 'xgboost', 'mlflow', 'feast', 'kfp', 'duckdb', 'kserve', 'evidently', 'matplotlib'}"
    line = f"import sys, serin.ports, serin.partitions; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", line], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
