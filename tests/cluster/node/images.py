"""The images that pods of the tests are made of: Serin's own, as `make images-test` leaves them in its storage,
KServe's storage initializer from its package, Redis from Debian, and the process that holds a pod together.

Run as a program, it builds what has to be fetched.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from infra.images import Engine, name_of, secrets
from serin import environment
from tests.cluster.plane import UnavailableError
from tests.images import storage

HERE = Path(__file__).parent
BUILT = ("predictor", "pipeline")
INITIALIZER = "localhost/serin-storage-initializer:test"
REDIS = "localhost/serin-redis:test"
PAUSE = "localhost/serin-pause:test"
_REVISION = '{{index .OCIv1.Config.Labels "org.opencontainers.image.revision"}}'


class Images:
    """Buildah's storage; its settings, and archives for as long as they are needed, are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._variables = storage.variables(folder)

    def built(self) -> dict[str, str]:
        """The names of Serin's images, and the commit that each was built from.

        Raises UnavailableError where they are not built.
        """
        found = {}
        for target in BUILT:
            name = f"localhost/{name_of(target)}"
            command = ["buildah", "inspect", "--type", "image", "--format", _REVISION, name]
            done = subprocess.run(
                command, env=os.environ | self._variables, check=False, capture_output=True, text=True
            )
            if done.returncode:
                raise UnavailableError(f"the image {name} is not built: make images-test builds it")
            found[target] = done.stdout.strip()
        return found

    def fetched(self) -> tuple[str, str]:
        """The names of the storage initializer and of Redis, as `fetch` has built them."""
        for name in (INITIALIZER, REDIS):
            assert self._run("buildah", "images", "--quiet", name), f"{name} is not built"
        return INITIALIZER, REDIS

    def fetch(self) -> None:
        """Build what takes packages from the network, which the namespace of the tests does not reach."""
        base = self._run(HERE.parents[1] / "images" / "base.sh", storage.CACHE)
        for name, folder in {INITIALIZER: HERE / "storage_initializer", REDIS: HERE / "redis"}.items():
            options = ["--quiet", "--file", str(folder / "Dockerfile"), "--build-arg", f"BASE={base}"]
            with secrets(os.environ) as files, environment.changed(self._variables):
                options += [f"--secret=id={one},src={path}" for one, path in files.items()]
                Engine("buildah").build(name, options, folder)

    def pause(self) -> str:
        """Build the image of a pod's sandbox; its name."""
        program = self._folder / "pause"
        self._run("gcc", "-static", "-Os", "-o", program, HERE / "pause" / "pause.c")
        container = self._run("buildah", "from", "scratch")
        self._run("buildah", "copy", "--quiet", container, program, "/pause")
        self._run("buildah", "config", "--entrypoint", '["/pause"]', container)
        self._run("buildah", "commit", "--quiet", "--rm", "--format", "docker", container, PAUSE)
        return PAUSE

    def archive(self, name: str, wanted: str) -> Path:
        """Save an image under the name that pods know it by."""
        path = self._folder / f"{name.rpartition('/')[2].replace(':', '-')}.tar"
        self._run("buildah", "push", "--quiet", name, f"docker-archive:{path}:{wanted}")
        return path

    def _run(self, *command: object) -> str:
        line = [str(part) for part in command]
        done = subprocess.run(line, env=os.environ | self._variables, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr[-1000:]}"
        return done.stdout.strip()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        Images(Path(made)).fetch()
