"""`make images WORKSPACE=folder`: the images with a user's own workspace."""

import subprocess
from pathlib import Path

import pytest

from infra.images import Engine, put_workspace
from serin.scaffold.workspace import make
from tests.images.container import Image, mounted

pytestmark = pytest.mark.images
OWN = "localhost/serin-predictor:own-workspace"


def test_own_workspace_takes_the_place_of_the_shipped_one(predictor: Image, tmp_path: Path) -> None:
    workspace = tmp_path / "mine"
    make(workspace, use_cases=("bank_churn",))
    (workspace / ".serin").mkdir()
    (workspace / "feature_repo/.env").write_text("PASSWORD=x")
    (workspace / "feature_repo/feature_store.cluster.yaml").chmod(0o600)
    subprocess.run(["buildah", "tag", predictor.name, OWN], check=True)
    try:
        put_workspace(Engine("buildah"), OWN, workspace)
        with mounted(OWN) as image:
            found = image.container(tmp_path, ["find", "/app", "-type", "f", "-readable"]).run().stdout.split()
            assert image.settings["User"] == "10001:10001"
    finally:
        subprocess.run(["buildah", "rmi", OWN], check=True, capture_output=True)
    assert {Path(name).name for name in found if "/use_cases/" in name} == {"bank_churn.yaml"}
    assert "/app/feature_repo/feature_store.cluster.yaml" in found
    assert not any("/." in name for name in found)
