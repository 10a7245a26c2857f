"""Numbers as bytes, each array as narrow as all of its values stay exact.

An array's letter says how it is written: integers and floats of some width, or times that are whole seconds.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin.errors import DataError

LETTERS = {b"b": "<i1", b"h": "<i2", b"i": "<i4", b"q": "<i8", b"s": "<u4", b"f": "<f4", b"d": "<f8"}
DTYPES = {letter[0]: np.dtype(name) for letter, name in LETTERS.items()}
SECONDS = b"s"  # times that are whole seconds
_ARRAY = struct.Struct("<cI")


def narrow_times(times: NDArray[np.int64]) -> tuple[bytes, NDArray[Any]]:
    """Microseconds since 1970, and the letter that says how they are written."""
    seconds, rest = np.divmod(times, 1_000_000)
    if not rest.any() and (seconds >= 0).all() and (seconds < 1 << 32).all():
        return SECONDS, seconds.astype(LETTERS[SECONDS])
    return b"q", times


def narrow_numbers(values: NDArray[np.float64]) -> tuple[bytes, NDArray[Any]]:
    """Floats, NaN among them, and their letter."""
    if not np.isfinite(values).all():
        return _narrow(values, b"f", b"d")
    return _narrow(values, b"bhf", b"d")


def narrow_integers(values: NDArray[np.int64]) -> tuple[bytes, NDArray[Any]]:
    """Integers, and their letter."""
    return _narrow(values, b"bhi", b"q")


def _narrow(values: NDArray[Any], letters: bytes, widest: bytes) -> tuple[bytes, NDArray[Any]]:
    """Values in the first way that keeps them all."""
    for letter in (bytes([byte]) for byte in letters):
        with np.errstate(all="ignore"):
            narrow = values.astype(LETTERS[letter])
        if np.array_equal(narrow.astype(values.dtype), values, equal_nan=values.dtype.kind == "f"):
            return letter, narrow
    return widest, values.astype(LETTERS[widest])


def written(narrowed: tuple[bytes, NDArray[Any]]) -> bytes:
    """An array that tells its letter and its length."""
    letter, values = narrowed
    return _ARRAY.pack(letter, len(values)) + values.tobytes()


class Reader:
    """Reads arrays as `written` wrote them, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._offset = data, 0

    def integers(self) -> NDArray[np.int64]:
        """The next array, of integers or times (microseconds since 1970)."""
        letter, values = self._array()
        whole: NDArray[np.int64] = values.astype(np.int64)
        return whole * 1_000_000 if letter == SECONDS else whole

    def numbers(self) -> NDArray[np.float64]:
        """The next array, of floats."""
        numbers: NDArray[np.float64] = self._array()[1].astype(np.float64)
        return numbers

    def check_ended(self) -> None:
        """Raises DataError where something is left: it was written by another schema."""
        if self._offset != len(self._data):
            raise DataError(f"{len(self._data)} bytes of an entity's hops are packed; read: {self._offset}")

    def _array(self) -> tuple[bytes, NDArray[Any]]:
        try:
            letter, count = _ARRAY.unpack_from(self._data, self._offset)
            dtype = DTYPES[letter[0]]
            values = np.frombuffer(self._data, dtype, count, self._offset + _ARRAY.size)
        except (struct.error, KeyError, ValueError):
            raise DataError("an entity's hops are packed with another schema: an array is missing") from None
        self._offset += _ARRAY.size + values.nbytes
        return letter, values
