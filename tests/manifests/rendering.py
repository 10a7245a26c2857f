"""Kustomize, from the PATH or from where tests/services.sh has built it, and the documents that it renders."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ("dev", "staging", "production", "production-eks")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "serin"

Document = dict[str, Any]


@cache
def overlay(name: str) -> tuple[Document, ...]:
    """The documents of manifests/overlays/NAME; callers leave them as they are."""
    return render(ROOT / "manifests" / "overlays" / name)


def render(folder: Path) -> tuple[Document, ...]:
    """What Kustomize makes of a folder. A warning counts as an error."""
    found = subprocess.run([*_command(), str(folder)], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, ""), found.stderr
    return tuple(yaml.load_all(found.stdout, yaml.CSafeLoader))


@cache
def _command() -> tuple[str, ...]:
    for kustomize in (shutil.which("kustomize"), CACHE / "bin" / "kustomize"):
        if kustomize and Path(kustomize).exists():
            return (str(kustomize), "build")
    if kubectl := shutil.which("kubectl"):
        return (kubectl, "kustomize")
    pytest.fail("no kustomize and no kubectl on the PATH; `make test` builds kustomize where Go is installed")
