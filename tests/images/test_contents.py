"""What is in the images, and what must not be."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.images import ROOT, version
from tests.images.container import Image

pytestmark = pytest.mark.images

_IMPORTABLE = """
import importlib.util, json, sys
print(json.dumps([name for name in sys.argv[1:] if importlib.util.find_spec(name)]))
"""
_INSTALLED = """
import importlib.metadata, json
print(json.dumps({found.name: found.version for found in importlib.metadata.distributions()}))
"""
_BUILD_TOOLS = ("pip", "pip3", "uv", "gcc", "cc", "g++", "make", "git", "wget", "curl")


def test_it_runs_as_an_unprivileged_user(image: Image, tmp_path: Path) -> None:
    status = image.container(
        tmp_path, ["sh", "-c", "id -u; id -g; grep -E '^(Cap|NoNewPrivs)' /proc/self/status"]
    ).run()
    uid, gid, *limits = status.stdout.split("\n", 2)
    assert (uid, gid) == ("10001", "10001")
    assert {line.split()[1] for line in limits[0].splitlines() if line.startswith("Cap")} == {"0" * 16}
    assert "NoNewPrivs:\t1" in limits[0]


def test_nothing_but_tmp_can_be_written(image: Image, tmp_path: Path) -> None:
    places = ["/", "/app", "/opt/serin", "/var/tmp", "/usr/local", "/home", "/tmp"]
    tried = "for place; do touch $place/probe 2>/dev/null && echo $place; done"
    assert image.container(tmp_path, ["sh", "-c", tried, "sh", *places]).run().stdout.split() == ["/tmp"]


def test_no_package_manager_of_python_and_no_compiler_is_there(image: Image, tmp_path: Path) -> None:
    asked = ["sh", "-c", 'for tool; do command -v "$tool"; done', "sh", *_BUILD_TOOLS, "python"]
    assert image.container(tmp_path, asked).run().stdout.split() == ["/opt/serin/bin/python"]
    assert _importable(image, tmp_path, "pip", "setuptools", "wheel", "ensurepip", "uv", "pyarrow") == ["pyarrow"]
    lists = image.root / "var/lib/apt/lists"
    assert not lists.is_dir() or list(lists.iterdir()) == []


def test_predictor_has_no_package_of_the_pipelines_and_no_kubernetes_client(predictor: Image, tmp_path: Path) -> None:
    names = ["kfp", "mlflow", "feast", "evidently", "duckdb", "matplotlib", "typer", "components", "pipelines"]
    names += ["aiohttp", "grpc_tools", "kubernetes", "PIL"]
    assert _importable(predictor, tmp_path, *names, "predictors") == ["predictors"]


def test_libraries_of_the_models_find_all_that_they_load(image: Image, tmp_path: Path) -> None:
    libraries = "import lightgbm, onnxruntime, sklearn, skops, xgboost"
    done = image.container(tmp_path, ["python", "-I", "-c", libraries]).run()
    assert done.returncode == 0, done.stderr


def test_versions_are_those_of_the_lock_file(image: Image, tmp_path: Path) -> None:
    # One package may have several pins, for several versions of Python.
    pins = set(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    installed = json.loads(image.container(tmp_path, ["python", "-c", _INSTALLED]).run().stdout)
    assert installed.pop("serin") == version()
    assert len(installed) > 50
    assert {(_normal(name), found) for name, found in installed.items()} - pins == set()


def test_no_module_waits_to_be_compiled(image: Image) -> None:
    packages = next(image.root.glob("opt/serin/lib/python3*/site-packages"))
    for module in ("feast/__init__", "predictors/__main__", "serin/errors", "kserve/__init__"):
        folder, _, name = module.rpartition("/")
        if (packages / f"{module}.py").exists():
            assert list((packages / folder / "__pycache__").glob(f"{name}.*.pyc")), module


def test_labels_say_what_it_is(image: Image) -> None:
    labels = image.settings["Labels"]
    assert labels["org.opencontainers.image.version"] == version()
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])
    assert f"/{labels['org.opencontainers.image.title']}:" in image.name


def test_workspace_is_the_one_that_ships_with_serin_and_nothing_else_of_the_checkout(image: Image) -> None:
    app = image.root / "app"
    assert {path.name for path in app.iterdir()} == {"feature_repo", "istio", "manifests", "pipelines"}
    for path in app.rglob("*.yaml"):
        assert path.read_bytes() == (ROOT / path.relative_to(app)).read_bytes()
    strange = [".git", ".venv", ".serin", "tests/images", "requirements.lock", "build"]
    assert [
        name for name in strange for place in ("", "app", "opt/serin") if (image.root / place / name).exists()
    ] == []


def test_no_secret_of_the_build_is_kept(archives: Path, image: Image, password: str) -> None:
    name = image.name.rpartition("/")[2].partition(":")[0]
    assert not any(password.encode() in piece for piece in _pieces(archives / f"{name}.tar"))
    secrets = image.root / "run" / "secrets"
    assert not secrets.exists() or list(secrets.iterdir()) == []


def test_predictor_is_under_350_mib_compressed(archives: Path) -> None:
    (told,) = re.findall(r"serin-predictor:\S+  \S+ MiB, (\d+) MiB compressed", (archives / "build.log").read_text())
    assert 100 < int(told) < 350


def _importable(image: Image, folder: Path, *names: str) -> list[str]:
    done = image.container(folder, ["python", "-I", "-c", _IMPORTABLE, *names]).run()
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pieces(path: Path) -> Iterator[bytes]:
    """The file in pieces that overlap, so that nothing short falls between two."""
    rest = b""
    with path.open("rb") as file:
        while piece := file.read(1 << 24):
            yield rest + piece
            rest = piece[-100:]
