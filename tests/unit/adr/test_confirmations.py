"""Each decision names what holds it, and that exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DECISIONS = sorted((ROOT / "adr").glob("0*.md"))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem[:4])
def test_confirmation_names_tests_or_commands_that_exist(path: Path):
    confirmation = path.read_text(encoding="utf-8").partition("## Confirmation")[2]
    named = re.findall(r"`([^`]+)`", confirmation)
    assert named, "a decision without anything that holds it"
    for name in named:
        if re.match(r"(tests|adr|serin|components|predictors|pipelines|istio|manifests)/", name):
            assert (ROOT / name).exists(), f"{name} is not there"


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem[:4])
def test_decision_is_in_the_index(path: Path):
    assert f"({path.name})" in (ROOT / "adr" / "README.md").read_text(encoding="utf-8")
