"""Both images, built for real: Buildah without a daemon, on a base image from debootstrap."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.images import name_of
from tests.images import storage
from tests.images.container import Image, mounted

HERE = Path(__file__).parent
# Whoever builds may need a password for the package index; nothing of it may end in an image.
PASSWORD = "planted-password-5d2f"  # noqa: S105


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with both images as archives, and what `make images` said, as build.log."""
    folder = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in storage.variables(folder).items():
            patch.setenv(name, value)
        patch.setenv("UV_INDEX_PLANTED_PASSWORD", PASSWORD)
        base = subprocess.run(
            [HERE / "base.sh", storage.CACHE], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        command = [sys.executable, "infra/images.py", "--engine", "buildah", "--base", base, "--save", folder]
        log = folder / "build.log"
        with log.open("wb") as file:
            built = subprocess.run(command, cwd=HERE.parents[1], check=False, stdout=file, stderr=file)
        if built.returncode:
            pytest.exit(f"the images were not built; the end of {log}:\n{log.read_text()[-3000:]}", returncode=1)
        yield folder
        # Each build of another commit leaves gigabytes that no image of this one has.
        subprocess.run(["buildah", "rmi", "--prune"], check=False, capture_output=True)


@pytest.fixture(scope="session")
def password() -> str:
    """What the build was told and no image may hold."""
    return PASSWORD


@pytest.fixture(scope="session")
def predictor(archives: Path) -> Iterator[Image]:
    with mounted(f"localhost/{name_of('predictor')}") as image:
        yield image


@pytest.fixture(scope="session")
def pipeline(archives: Path) -> Iterator[Image]:
    with mounted(f"localhost/{name_of('pipeline')}") as image:
        yield image


@pytest.fixture(params=["predictor", "pipeline"])
def image(request: pytest.FixtureRequest) -> Image:
    """Each of both images."""
    found: Image = request.getfixturevalue(request.param)
    return found
