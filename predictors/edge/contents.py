"""Raw contents of V2 tensors (little endian), as plain values or arrays, and back.

A value stays what was sent: a cast would hide a number that does not fit its datatype.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.edge.errors import utf8
from serin.errors import RequestError

_KINDS: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("u1"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_LENGTH = struct.Struct("<I")
# As many numbers stay an array; of fewer the plain values are quicker to check.
ARRAY_VALUES = 64

Raw = bytes | memoryview


def unpacked(name: str, datatype: str, raw: Raw) -> list[Any] | NDArray[Any]:
    """The values of a tensor, texts as bytes, many numbers as an array over `raw`; none where the datatype is unknown.

    Raises RequestError where the contents are no such values; whether they are allowed is not asked here.
    """
    if datatype == "BYTES":
        return _texts(name, raw)
    kind = _KINDS.get(datatype)
    if kind is None:
        return []
    if len(raw) % kind.itemsize:
        told = f"{kind.itemsize} for each value of {datatype}"
        raise RequestError(f"column {name}: its raw contents have {len(raw)} bytes; allowed: {told}")
    found = np.frombuffer(raw, kind)
    if datatype != "BOOL":
        return found if len(found) >= ARRAY_VALUES else found.tolist()
    values: list[int] = found.tolist()
    if odd := next((value for value in values if value > 1), 0):
        raise RequestError(f"column {name}: found {odd} in its raw contents of BOOL; allowed: 0 and 1")
    return [value == 1 for value in values]


def packed(datatype: str, values: Sequence[Any]) -> bytes:
    """The raw contents of a tensor with the values; texts are in UTF-8."""
    if datatype == "BYTES":
        # Often they are all the same, such as the version that answered.
        packed_of = {value: _packed(value) for value in set(values)}
        return b"".join([packed_of[value] for value in values])
    return np.asarray(values, _KINDS[datatype]).tobytes()


def _packed(text: str) -> bytes:
    value = utf8(text).encode()
    return _LENGTH.pack(len(value)) + value


def _texts(name: str, contents: Raw) -> list[bytes]:
    found: list[bytes] = []
    raw = bytes(contents)
    place, end = 0, len(raw)
    while place < end:
        start = place + _LENGTH.size
        if start > end or start + (length := _LENGTH.unpack_from(raw, place)[0]) > end:
            told = "each value after its length, in 4 bytes"
            raise RequestError(f"column {name}: its raw contents end within value {len(found)}; allowed: {told}")
        place = start + length
        found.append(raw[start:place])
    return found
