"""Serin as a wheel, in an environment and a folder that know no checkout."""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories import make_artifact

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def serin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The command of an installed wheel; its dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("installed")
    source, environment = folder / "source", folder / "environment"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "tests", "build", "*.egg-info", "__pycache__"))
    build = "from setuptools.build_meta import build_wheel; build_wheel('wheels')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "wheels").glob("*.whl")
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    shutil.rmtree(source)
    yield environment / "bin" / "serin"
    shutil.rmtree(folder)


def run(serin: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [serin, *arguments], cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )


def test_command_outside_a_workspace_says_how_to_make_one(serin: Path, tmp_path: Path):
    found = run(serin, tmp_path, "status")
    assert found.returncode == 1
    assert found.stderr.startswith(f"serin: {tmp_path} is no workspace")
    assert "SERIN_ROOT is not set" in found.stderr
    assert "`serin init FOLDER` makes one" in found.stderr


def test_predictor_outside_a_workspace_says_what_it_needs(serin: Path, tmp_path: Path):
    make_artifact(tmp_path / "model")
    name = ["--model_name", "card-fraud", "--model_version", "1", "--model_dir", "model"]
    command = [serin.parent / "python", "-m", "predictors", *name]
    found = subprocess.run(command, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == (
        f"predictor card-fraud version 1: {tmp_path} is no workspace, nor does it lie in one: no "
        "feature_repo/feature_store.yaml was found, and SERIN_ROOT is not set. Run this in a workspace, or set "
        "SERIN_ROOT to it; `serin init FOLDER` makes one\n"
    )


def test_workspace_that_it_makes_serves_its_commands(serin: Path, tmp_path: Path):
    assert run(serin, tmp_path, "init", "mine").returncode == 0
    table = tmp_path / "t.csv"
    rows = [f"{number},{number % 7},{int(number % 5 > 2)}" for number in range(200)]
    table.write_text("customer_id,visits,left\n" + "\n".join(rows) + "\n")
    new = run(
        serin, tmp_path / "mine", "new", "leavers", "--data", str(table), "--label", "left", "--entity", "customer_id"
    )
    assert new.returncode == 0, new.stderr
    status = run(serin, tmp_path / "mine", "status")
    assert (status.returncode, "leavers" in status.stdout) == (0, True), status.stderr
