"""What a checkpoint keeps, and what it makes of damage, age and earlier attempts."""

import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from components.train.checkpoints import KEPT, Checkpoint
from serin.errors import InterruptedStepError


def checkpoint(root: Path, interval: float = 0, *, told: bool = False, key: str = "key") -> Checkpoint:
    return Checkpoint(str(root / "toy" / key), timedelta(seconds=interval), lambda: told)


def killed(root: Path, *, worked: float, kept: float) -> None:
    """What a process leaves that was killed after so many seconds of work, of which it had kept the first."""
    times = {
        name: f"2026-01-01T00:00:{seconds:06.3f}+00:00"
        for name, seconds in {"started": 0.0, "kept": kept, "alive": worked}.items()
    }
    checkpoint(root).keep("attempts.json", json.dumps([{**times, "ended": ""}]).encode())


def test_what_was_kept_is_found_again_and_what_was_forgotten_is_not(tmp_path: Path) -> None:
    checkpoint(tmp_path).keep("a", b"\x00one\n")
    assert checkpoint(tmp_path).recall("a") == b"\x00one\n"
    checkpoint(tmp_path).forget("a")
    assert checkpoint(tmp_path).recall("a") is None


@pytest.mark.parametrize("damage", [b"", b"serin", b"serin checkpoint 1 00\none"])
def test_damaged_file_is_told_and_passed_over(damage: bytes, tmp_path: Path, capsys: Any) -> None:
    checkpoint(tmp_path).keep("a", b"one")
    (tmp_path / "toy/key/a").write_bytes(damage)
    assert checkpoint(tmp_path).recall("a") is None
    assert "is damaged: it is passed over, and its work is done again" in capsys.readouterr().out


def test_parts_are_kept_when_the_interval_is_over_and_not_before(tmp_path: Path) -> None:
    asked: list[int] = []

    def model() -> bytes:
        asked.append(1)
        return b"model\nof two lines"

    checkpoint(tmp_path, interval=60).parts("final").done(10, 100, model)
    assert not asked
    checkpoint(tmp_path).parts("final").done(20, 100, model)
    assert checkpoint(tmp_path).parts("final").latest() == (20, b"model\nof two lines")


def test_process_that_is_told_to_end_keeps_the_part_first(tmp_path: Path) -> None:
    with pytest.raises(InterruptedStepError, match="it goes on from there"):
        checkpoint(tmp_path, interval=60, told=True).parts("final").done(10, 100, lambda: b"model")
    assert checkpoint(tmp_path).parts("final").latest() == (10, b"model")


def test_first_attempt_has_nothing_lost(tmp_path: Path) -> None:
    first = checkpoint(tmp_path)
    with first.attempt():
        assert (first.interruptions, first.lost_seconds) == (0, 0.0)


def test_a_kill_costs_the_work_since_something_was_kept(tmp_path: Path) -> None:
    killed(tmp_path, worked=42.0, kept=30.0)
    again = checkpoint(tmp_path)
    with again.attempt():
        assert (again.interruptions, again.lost_seconds) == (1, 12.0)
        assert 42.0 <= again.seconds < 50.0


def test_a_bug_is_no_interruption(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a bug"), checkpoint(tmp_path).attempt():
        raise ValueError("a bug")
    again = checkpoint(tmp_path)
    with again.attempt():
        assert again.interruptions == 0


def test_training_that_was_done_is_counted_anew_when_it_is_asked_for_again(tmp_path: Path) -> None:
    killed(tmp_path, worked=5.0, kept=1.0)
    with checkpoint(tmp_path).attempt():
        pass
    again = checkpoint(tmp_path)
    with again.attempt():
        assert (again.interruptions, again.lost_seconds) == (0, 0.0)


def test_old_checkpoints_of_the_use_case_are_removed_and_told(tmp_path: Path, capsys: Any) -> None:
    for key in ("old", "young"):
        with checkpoint(tmp_path, key=key).attempt():
            pass
    then = time.time() - KEPT.total_seconds() - 60
    os.utime(tmp_path / "toy/old/attempts.json", (then, then))
    checkpoint(tmp_path).remove_old()
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["young"]
    assert "nobody came back to it for 7 days" in capsys.readouterr().out


def test_store_that_refuses_is_told_once_and_the_training_goes_on(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "toy").write_text("a file where a folder should be")
    refused = checkpoint(tmp_path)
    refused.keep("a", b"one")
    refused.keep("b", b"two")
    assert capsys.readouterr().out.count("the checkpoint can't be kept") == 1
