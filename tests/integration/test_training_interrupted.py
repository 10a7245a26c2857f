"""A training that is killed again and again ends with the model that it would have made undisturbed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest

from components.train.interruption import notices
from serin.artifact import VALIDATION, Manifest
from serin.engines import load
from serin.learning.encoding import encode
from serin.learning.record import RECORD, TrainingRecord
from tests import services
from tests.training_process import rows

ROOT = Path(__file__).resolve().parents[2]
# Imports alone take seconds, in which there is nothing to interrupt yet.
DELAYS = (0.05, 1.2)


def started(estimator: str, storage: Path | str, folder: Path) -> "subprocess.Popen[str]":
    """A training that has just begun to work."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.training_process", estimator, str(storage), str(folder)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout
    for line in process.stdout:
        if line == "ready\n":
            return process
    raise AssertionError(f"no training began: exit code {process.wait()}")


def finished(process: "subprocess.Popen[str]") -> int:
    with process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode in (0, 75), output
    return process.returncode


def told_off(process: "subprocess.Popen[str]", number: int, delay: float) -> int:
    """Its exit code after a signal; it may have been done before."""
    time.sleep(delay)
    process.send_signal(number)
    with process:
        process.communicate(timeout=120)
    return process.returncode


def result(folder: Path) -> tuple[Manifest, np.ndarray, pd.DataFrame, TrainingRecord]:
    manifest, scorer = load(folder)
    record = TrainingRecord.model_validate_json((folder / RECORD).read_text())
    return manifest, scorer(encode(rows(), manifest.inputs)), pd.read_parquet(folder / VALIDATION), record


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The artifact of a training that nobody disturbed, by estimator; made once."""

    @cache
    def made(estimator: str) -> Path:
        root = tmp_path_factory.mktemp(estimator)
        assert finished(started(estimator, root / "store", root / "model")) == 0
        return root / "model"

    return made


def assert_same(one: Path, other: Path) -> TrainingRecord:
    """The record of `other`."""
    (manifest, scores, validation, plain), (again, same, revalidated, record) = result(one), result(other)
    np.testing.assert_array_equal(same, scores)
    pd.testing.assert_frame_equal(revalidated, validation)
    left_out = {"files"}
    assert again.model_dump(exclude=left_out) == manifest.model_dump(exclude=left_out)
    assert [(t.number, t.parameters, t.value, t.state) for t in record.trials] == [
        (t.number, t.parameters, t.value, t.state) for t in plain.trials
    ]
    return record


@pytest.mark.parametrize("estimator", ["lightgbm", "random_forest"])
def test_killed_again_and_again_at_random_it_ends_with_the_same_model(
    undisturbed: Callable[[str], Path], estimator: str, tmp_path: Path
) -> None:
    plain = undisturbed(estimator)
    seed = time.time_ns() % 2**32
    random, kills = Random(seed), 0
    print(f"seed {seed}")
    # A bounded number of kills; each attempt gets further than the one before, for nothing is kept less often than
    # there is a part of a fit.
    while kills < 5:
        code = told_off(
            started(estimator, tmp_path / "store", tmp_path / "model"), signal.SIGKILL, random.uniform(*DELAYS)
        )
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    else:
        assert finished(started(estimator, tmp_path / "store", tmp_path / "model")) == 0
    record = assert_same(plain, tmp_path / "model")
    assert record.interruptions == kills
    # Parts are kept at every boundary here: what is lost is less than what lies between two, as long as a step takes.
    assert 0 <= record.lost_seconds <= kills * max(DELAYS)


def test_told_to_end_it_keeps_what_it_has_and_exits_with_the_code_of_an_interruption(
    undisturbed: Callable[[str], Path], tmp_path: Path
) -> None:
    estimator, plain = "lightgbm", undisturbed("lightgbm")
    codes = []
    for delay in (0.1, 0.5):
        codes.append(told_off(started(estimator, tmp_path / "store", tmp_path / "model"), signal.SIGTERM, delay))
    assert codes == [75, 75]
    assert finished(started(estimator, tmp_path / "store", tmp_path / "model")) == 0
    assert assert_same(plain, tmp_path / "model").interruptions == 2


def test_killed_it_goes_on_from_a_checkpoint_on_s3(
    undisturbed: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator, plain = "lightgbm", undisturbed("lightgbm")
    with services.s3("checkpoints") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        store = "s3://checkpoints/serin"
        assert told_off(started(estimator, store, tmp_path / "model"), signal.SIGKILL, 0.6) == -signal.SIGKILL
        assert finished(started(estimator, store, tmp_path / "model")) == 0
    record = assert_same(plain, tmp_path / "model")
    assert record.interruptions == 1
    assert record.lost_seconds <= 0.6


def test_a_checkpoint_that_was_damaged_is_passed_over_and_the_model_is_the_same(
    undisturbed: Callable[[str], Path], tmp_path: Path
) -> None:
    estimator, plain = "lightgbm", undisturbed("lightgbm")
    told_off(started(estimator, tmp_path / "store", tmp_path / "model"), signal.SIGKILL, 0.6)
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-3])
    assert finished(started(estimator, tmp_path / "store", tmp_path / "model")) == 0
    assert_same(plain, tmp_path / "model")


def test_the_same_training_again_gives_the_same_files(undisturbed: Callable[[str], Path], tmp_path: Path) -> None:
    estimator, plain = "lightgbm", undisturbed("lightgbm")
    assert finished(started(estimator, tmp_path / "store", tmp_path / "model")) == 0
    one, other = (json.loads((folder / "manifest.json").read_text()) for folder in (plain, tmp_path / "model"))
    # The record has times.
    assert {k: v for k, v in one["files"].items() if k != RECORD} == {
        k: v for k, v in other["files"].items() if k != RECORD
    }


def test_a_notice_is_heard_in_the_block_and_the_handler_before_it_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with notices() as told_to_end:
        assert not told_to_end()
        os.kill(os.getpid(), signal.SIGTERM)
        assert told_to_end()
    assert signal.getsignal(signal.SIGTERM) == before
