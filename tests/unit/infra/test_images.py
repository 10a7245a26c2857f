"""`infra/images.py`: which engine builds, on which base, and what the build is told."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from infra.images import (
    ENGINES,
    ROOT,
    Engine,
    ImagesError,
    check_base,
    check_workspace,
    choose,
    measure,
    name_of,
    secrets,
)

DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of its own, empty as yet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(path: Path, name: str, script: str) -> None:
    """A command of that name on the PATH."""
    command = path / name
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)


@pytest.mark.parametrize("base", ["", "python", "python:3.11-slim-bookworm", "python@sha256:12", f"a b@{DIGEST}"])
def test_base_without_a_digest_is_refused(base: str) -> None:
    with pytest.raises(ImagesError, match="allowed: NAME@sha256:DIGEST, or localhost/NAME"):
        check_base(base)


@pytest.mark.parametrize("base", [f"docker.io/library/python:3.11-slim-bookworm@{DIGEST}", "localhost/base:1"])
def test_base_with_a_digest_or_of_this_machine_is_taken(base: str) -> None:
    check_base(base)


@pytest.mark.parametrize("working", [ENGINES, ["podman", "buildah"], ["buildah"]])
def test_engine_is_the_first_that_works(path: Path, working: list[str]) -> None:
    for name in ENGINES:
        install(path, name, "exit 0" if name in working else "exit 1")
    assert choose("").name == next(iter(working))


def test_engine_can_be_chosen(path: Path) -> None:
    for name in ENGINES:
        install(path, name, "exit 0")
    assert choose("podman").name == "podman"


def test_no_engine_says_what_to_install(path: Path) -> None:
    install(path, "docker", "exit 1")
    with pytest.raises(ImagesError, match=r"no docker \(with its daemon\), podman or buildah works here; .* buildah"):
        choose("")


def test_chosen_engine_that_does_not_work_says_how_to_see_why(path: Path) -> None:
    install(path, "docker", "exit 1")
    with pytest.raises(ImagesError, match="docker does not work here: see `docker info"):
        choose("docker")


def test_unknown_engine_names_those_there_are() -> None:
    with pytest.raises(ImagesError, match="the engine is 'kaniko'; allowed: docker, podman, buildah"):
        choose("kaniko")


def test_names_have_registry_and_version() -> None:
    assert name_of("pipeline") == "serin-pipeline:0.1.0"
    assert name_of("predictor", "ghcr.io/acme/", "2") == "ghcr.io/acme/serin-predictor:2"


def test_default_image_of_the_steps_is_the_one_that_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    from serin.environment import image

    monkeypatch.delenv("SERIN_IMAGE", raising=False)
    assert image() == name_of("pipeline")
    # As CI sets what it does not know; KFP takes an image without a name for Python's.
    monkeypatch.setenv("SERIN_IMAGE", "")
    assert image() == name_of("pipeline")


def test_settings_of_the_package_index_are_a_file_that_only_its_owner_reads() -> None:
    given = {"UV_INDEX_ACME_PASSWORD": "it's", "HTTPS_PROXY": "http://proxy:1", "AWS_SECRET_ACCESS_KEY": "no"}
    with secrets(given) as files:
        assert list(files) == ["packages"]
        assert stat.S_IMODE(files["packages"].stat().st_mode) == 0o600
        read = subprocess.run(["sh", "-c", '. "$0"; echo "$UV_INDEX_ACME_PASSWORD"; set', files["packages"]],
                              env={}, capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert read.startswith("it's\n")
    assert "AWS_SECRET_ACCESS_KEY" not in read
    assert not files["packages"].exists()


def test_own_certificate_authorities_reach_the_build(tmp_path: Path) -> None:
    with secrets({"REQUESTS_CA_BUNDLE": "/etc/own.pem"}) as files:
        assert files["authorities"] == Path("/etc/own.pem")
        assert "SSL_CERT_FILE=/run/secrets/authorities" in files["packages"].read_text()


def test_folder_without_a_feature_store_is_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(ImagesError, match=r"is no workspace: it has no feature_repo/feature_store\.cluster\.yaml"):
        check_workspace(tmp_path)
    assert check_workspace(ROOT) == ROOT


def test_failed_build_is_one_line_and_an_exit_code(path: Path, tmp_path: Path) -> None:
    install(path, "docker", 'case "$1" in info) exit 0 ;; *) exit 3 ;; esac')
    command = [sys.executable, ROOT / "infra/images.py", "--base", "localhost/base"]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "images: serin-predictor:0.1.0 was not built: docker build ended with exit code 3; its output is above"
    )


def test_size_is_that_of_the_archive_which_is_whole_or_not_there(path: Path, tmp_path: Path) -> None:
    install(path, "docker", "printf '%010000d' 0")
    size = measure(Engine("docker"), "serin-predictor:1", tmp_path / "saved/predictor.tar")
    assert size.unpacked == 10_000
    assert 0 < size.compressed < 100
    assert [file.name for file in (tmp_path / "saved").iterdir()] == ["predictor.tar"]
    install(path, "docker", "printf half; exit 1")
    with pytest.raises(ImagesError, match="serin-predictor:2 can't be saved: docker ended with exit code 1"):
        measure(Engine("docker"), "serin-predictor:2", tmp_path / "saved/other.tar")
    assert not (tmp_path / "saved/other.tar").exists()
