from pathlib import Path

from serin.scaffold.render import render_definitions
from serin.use_case import load

ROOT = Path(__file__).parents[3]


def test_definitions_of_bank_churn_are_those_that_serin_new_writes() -> None:
    case = load("bank_churn", ROOT / "pipelines" / "use_cases")
    assert (ROOT / "feature_repo" / "bank_churn.py").read_text(encoding="utf-8") == render_definitions(case)
