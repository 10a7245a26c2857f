"""infra/kind/up.sh as far as it can be run without Docker: its commands are stand-ins that note what they are told."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.manifests.rendering import ROOT

UP = ROOT / "infra" / "kind" / "up.sh"
COMMANDS = ("docker", "kind", "kubectl", "helm")
# `kind get clusters` and the keys of Secrets answer from files, where there are any.
STAND_IN = """#!/bin/sh
echo "${0##*/} $*" >>"$NOTED/told"
case "$*" in
  "get clusters") cat "$NOTED/clusters" 2>/dev/null ;;
  *"get secret"*) cat "$NOTED/secrets" 2>/dev/null ;;
  *"apply"*" -f -") cat >/dev/null ;;
esac
exit 0
"""


class Laptop:
    """A machine with the four commands; `told` is what they were called with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COMMANDS:
            (folder / name).write_text(STAND_IN)
            (folder / name).chmod(0o755)

    def up(self) -> "subprocess.CompletedProcess[str]":
        variables = {**os.environ, "PATH": f"{self.folder}:/usr/bin:/bin", "NOTED": str(self.folder)}
        return subprocess.run([UP], env=variables, capture_output=True, text=True)

    @property
    def told(self) -> list[str]:
        return (self.folder / "told").read_text().splitlines()


@pytest.fixture
def laptop(tmp_path: Path) -> Laptop:
    return Laptop(tmp_path)


def test_cluster_is_made_and_gets_its_images_and_the_overlay_at_last(laptop: Laptop):
    found = laptop.up()
    assert (found.returncode, found.stderr) == (0, "")
    order = ["kind create cluster", "kind load docker-image", "helm .* kserve", "kubectl .* -k manifests/overlays/dev"]
    places = [next(n for n, line in enumerate(laptop.told) if _is(pattern, line)) for pattern in order]
    assert places == sorted(places)


def test_cluster_that_is_there_is_kept_with_its_passwords(laptop: Laptop):
    (laptop.folder / "clusters").write_text("other\nserin\n")
    (laptop.folder / "secrets").write_text("kept")
    assert laptop.up().returncode == 0
    assert not [line for line in laptop.told if line.startswith("kind create")]
    (redis,) = (line for line in laptop.told if "create secret generic serin-redis -n serin " in line)
    assert "--from-literal=password=kept " in redis
    assert "SERIN_REDIS=redis.serin.svc.cluster.local:6379,password=kept " in redis


def test_passwords_are_made_anew_for_each_cluster(laptop: Laptop):
    def passwords() -> set[str]:
        return {line for line in laptop.told if "create secret generic serin-postgres" in line}

    laptop.up()
    first = passwords()
    laptop.up()
    assert len(first) == 1
    assert len(passwords()) == 2


def test_commands_that_are_missing_are_named(laptop: Laptop):
    bare = laptop.folder / "bare"
    bare.mkdir()
    for name in ("bash", "dirname", "env"):
        (bare / name).symlink_to(f"/usr/bin/{name}")
    found = subprocess.run([UP], env={"PATH": str(bare)}, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (1, "make cluster needs docker kind kubectl helm on the PATH\n")


def _is(pattern: str, line: str) -> bool:
    return all(part in line for part in pattern.split(" .* "))
