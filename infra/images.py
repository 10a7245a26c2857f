"""Build the images serin-predictor and serin-pipeline: python3 infra/images.py --base NAME@sha256:DIGEST

Docker, Podman or Buildah does it, whichever is there first; of Python it needs the standard library alone.
"""

import argparse
import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "infra" / "docker"
TARGETS = ("predictor", "pipeline")
# Each with a question that it answers where it can build: a docker command is often there without its daemon.
ENGINES = {
    "docker": ("docker", "info", "--format", "{{.ServerVersion}}"),
    "podman": ("podman", "info"),
    "buildah": ("buildah", "info"),
}
WORKSPACE = ("feature_repo", "pipelines/use_cases", "manifests", "istio")
PINNED = re.compile(r"localhost/\S+|[^\s@]+@sha256:[0-9a-f]{64}")
# How this machine reaches its package index. The build gets it as a secret, for it may hold passwords.
PACKAGES = re.compile(
    r"UV_(DEFAULT_INDEX|INDEX.*|EXTRA_INDEX_URL|INSECURE_HOST|HTTP_TIMEOUT|NATIVE_TLS)"
    r"|PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|DEFAULT_TIMEOUT)|(?i:https?_proxy|all_proxy|no_proxy)"
)
AUTHORITIES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")


class ImagesError(Exception):
    """Why no image was built, in one line."""


@dataclass(frozen=True)
class Size:
    """Bytes of an image: unpacked, and as a registry keeps it and a node pulls it."""

    unpacked: int
    compressed: int

    def __str__(self) -> str:
        return f"{self.unpacked / 2**20:,.0f} MiB, {self.compressed / 2**20:,.0f} MiB compressed"


@dataclass(frozen=True)
class Engine:
    """What builds and keeps images."""

    name: str

    def build(self, image: str, options: Sequence[str], context: Path) -> None:
        """Build `image`; the engine's own output is shown. Raises ImagesError."""
        command = [self.name, "build", "--tag", image, *options, str(context)]
        environment = os.environ | {"DOCKER_BUILDKIT": "1"}
        if self.name != "docker":
            # OCI's format has no health check.
            command[2:2] = ["--format", "docker", "--layers"]
        if self.name == "buildah":
            # The one isolation that needs no container runtime.
            environment.setdefault("BUILDAH_ISOLATION", "chroot")
        if code := subprocess.run(command, env=environment, check=False).returncode:
            raise ImagesError(
                f"{image} was not built: {self.name} build ended with exit code {code}; its output is above"
            )

    def archive(self, image: str) -> Iterator[bytes]:
        """The image as a stream of `docker save`, in pieces. Raises ImagesError."""
        command = [self.name, "save", image]
        if self.name == "podman":
            command[2:2] = ["--quiet", "--format", "docker-archive"]
        if self.name == "buildah":
            command = ["buildah", "push", "--quiet", image, f"docker-archive:/dev/stdout:{image}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout  # noqa: S101
            while piece := process.stdout.read(1 << 20):
                yield piece
        if process.returncode:
            raise ImagesError(f"{image} can't be saved: {self.name} ended with exit code {process.returncode}")


def main() -> int:
    """Build both images, print their sizes, and save them if asked to. Returns the exit code."""
    options = parser().parse_args()
    try:
        build(options)
    except ImagesError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line; `make images` passes its variables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--base", default="", help="the image to build on, with its digest")
    options.add_argument("--engine", default="", help=f"one of {', '.join(ENGINES)} (default: the first that works)")
    options.add_argument("--registry", default="", help="what to put before the names, such as ghcr.io/acme")
    options.add_argument("--tag", default="", help="default: Serin's version")
    options.add_argument("--workspace", default="", help="a workspace to put in place of the one that ships with Serin")
    options.add_argument("--save", default="", help="a folder for both as archives: `ctr images import` reads them")
    return options


def build(options: argparse.Namespace) -> None:
    """What `main` does. Raises ImagesError."""
    check_base(options.base)
    workspace = check_workspace(Path(options.workspace)) if options.workspace else None
    engine = choose(options.engine)
    for target in TARGETS:
        image = name_of(target, options.registry, options.tag)
        build_target(engine, target, image, options.base)
        if workspace:
            put_workspace(engine, image, workspace)
        folder = Path(options.save) if options.save else None
        print(f"{image}  {measure(engine, image, folder / f'serin-{target}.tar' if folder else None)}", flush=True)


def check_base(base: str) -> None:
    """Raises ImagesError where the base image may be another one tomorrow."""
    if not PINNED.fullmatch(base):
        raise ImagesError(
            f"the base image is {base!r}; allowed: NAME@sha256:DIGEST, or localhost/NAME. infra/README.md says how to "
            "find the digest; then make images BASE=..."
        )


def check_workspace(folder: Path) -> Path:
    """The folder. Raises ImagesError where it is no workspace."""
    if not (folder / "feature_repo" / "feature_store.cluster.yaml").is_file():
        raise ImagesError(
            f"{folder} is no workspace: it has no feature_repo/feature_store.cluster.yaml; see `serin init`"
        )
    return folder


def choose(wanted: str) -> Engine:
    """The engine of that name, or the first that works. Raises ImagesError."""
    if wanted and wanted not in ENGINES:
        raise ImagesError(f"the engine is {wanted!r}; allowed: {', '.join(ENGINES)}")
    for name in [wanted] if wanted else ENGINES:
        if shutil.which(name) and subprocess.run(ENGINES[name], capture_output=True, check=False).returncode == 0:
            return Engine(name)
    if wanted:
        raise ImagesError(f"{wanted} does not work here: see `{shlex.join(ENGINES[wanted])}`")
    raise ImagesError("no docker (with its daemon), podman or buildah works here; on Debian: apt-get install buildah")


def name_of(target: str, registry: str = "", tag: str = "") -> str:
    """An image's name, by default with Serin's version."""
    prefix = registry.rstrip("/") + "/" if registry else ""
    return f"{prefix}serin-{target}:{tag or version()}"


def version() -> str:
    """Serin's version."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    return settings["metadata"]["version"]


def revision() -> str:
    """The commit that the checkout stands at, marked where files differ from it; `unknown` without Git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    found = subprocess.run(command, capture_output=True, text=True, check=False) if shutil.which("git") else None
    return found.stdout.strip() if found and found.returncode == 0 else "unknown"


def build_target(engine: Engine, target: str, image: str, base: str) -> None:
    """Build one image from the checkout. Raises ImagesError."""
    arguments = {"BASE": base, "VERSION": version(), "REVISION": revision()}
    options = ["--file", str(DOCKER / "Dockerfile"), "--target", target]
    for name, value in arguments.items():
        options += ["--build-arg", f"{name}={value}"]
    with secrets(os.environ) as files:
        for name, path in files.items():
            options += ["--secret", f"id={name},src={path}"]
        engine.build(image, options, ROOT)


@contextmanager
def secrets(environment: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """Files for the build alone: the settings of the package index, and the certificate authorities of this machine."""
    settings = {name: value for name, value in environment.items() if PACKAGES.fullmatch(name)}
    authorities = next((environment[name] for name in AUTHORITIES if environment.get(name)), None)
    files = {}
    if authorities:
        files["authorities"] = Path(authorities)
        settings |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), "/run/secrets/authorities")
    with tempfile.TemporaryDirectory() as folder:
        files["packages"] = Path(folder, "packages")
        files["packages"].touch(mode=0o600)
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in settings.items()]
        files["packages"].write_text("".join(lines), encoding="utf-8")
        yield files


def put_workspace(engine: Engine, image: str, workspace: Path) -> None:
    """Replace the workspace of an image that was just built. Raises ImagesError."""
    with tempfile.TemporaryDirectory() as folder:
        for part in WORKSPACE:
            if (workspace / part).is_dir():
                hidden = shutil.ignore_patterns(".*", "__pycache__")
                shutil.copytree(workspace / part, Path(folder, part), ignore=hidden)
        # The image's user is not the owner of these files.
        for path in Path(folder).rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        options = ["--file", str(DOCKER / "workspace.Dockerfile"), "--build-arg", f"IMAGE={image}"]
        engine.build(image, options, Path(folder))


def measure(engine: Engine, image: str, archive: Path | None = None) -> Size:
    """The size of an image, compressed as registries do; it is saved to `archive` on the way. Raises ImagesError."""
    unpacked = compressed = 0
    gzip = zlib.compressobj(6)
    if archive:
        archive.parent.mkdir(parents=True, exist_ok=True)
    with (archive.with_suffix(".part") if archive else Path(os.devnull)).open("wb") as file:
        for piece in engine.archive(image):
            file.write(piece)
            unpacked += len(piece)
            compressed += len(gzip.compress(piece))
    if archive:
        archive.with_suffix(".part").rename(archive)
    return Size(unpacked, compressed + len(gzip.flush()))


if __name__ == "__main__":
    sys.exit(main())
