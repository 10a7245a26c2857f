"""Frames of a spool file: what was cut short or changed is told, and the rest is read."""

import pyarrow as pa
import pytest

from predictors.log import frames
from serin.errors import DataError

BATCHES = [pa.record_batch([pa.array(numbers)], names=["row"]) for numbers in ([0, 1], [2], [3, 4, 5])]
WRITTEN = [frames.frame(BATCHES[0].schema.serialize(), 0)]
WRITTEN += [frames.frame(batch.serialize(), batch.num_rows) for batch in BATCHES]


def numbers(found: frames.Content) -> list[int]:
    return found.rows["row"].to_pylist()


def test_what_is_whole_is_read() -> None:
    found = frames.content(b"".join(WRITTEN))
    assert (numbers(found), found.lost_bytes, found.lost_rows) == ([0, 1, 2, 3, 4, 5], 0, 0)


@pytest.mark.parametrize("cut", [1, 40, len(WRITTEN[-1]) - 16])
def test_a_last_frame_that_was_cut_short_is_left_out_and_told(cut: int) -> None:
    found = frames.content(b"".join(WRITTEN)[:-cut])
    assert (numbers(found), found.lost_bytes, found.lost_rows) == ([0, 1, 2], len(WRITTEN[-1]) - cut, 3)


def test_rows_of_a_header_that_was_cut_short_are_not_known() -> None:
    found = frames.content(b"".join(WRITTEN[:-1]) + WRITTEN[-1][:15])
    assert (numbers(found), found.lost_bytes, found.lost_rows) == ([0, 1, 2], 15, 0)


def test_a_frame_whose_bytes_changed_is_left_out_and_the_next_ones_are_read() -> None:
    changed = bytearray(WRITTEN[2])
    changed[-3] ^= 1
    found = frames.content(b"".join([*WRITTEN[:2], bytes(changed), WRITTEN[3]]))
    assert (numbers(found), found.lost_bytes, found.lost_rows) == ([0, 1, 3, 4, 5], len(changed), 1)


def test_zeros_that_a_crash_of_the_machine_left_are_no_rows() -> None:
    found = frames.content(b"".join(WRITTEN[:2]) + bytes(4096))
    assert (numbers(found), found.lost_bytes, found.lost_rows) == ([0, 1], 4096, 0)


@pytest.mark.parametrize("data", [b"", b"SLOG", bytes(100), WRITTEN[0][:-1], b"ARROW1" * 10])
def test_a_file_without_a_sound_schema_can_not_be_read(data: bytes) -> None:
    with pytest.raises(DataError, match="it has no sound schema"):
        frames.content(data)


def test_sound_frames_that_are_no_messages_are_an_error() -> None:
    with pytest.raises(DataError, match=r"its frames are sound, but no messages of Arrow's"):
        frames.content(frames.frame(pa.py_buffer(b"nothing of Arrow's"), 0) + WRITTEN[1])
