"""Raw contents of V2 tensors (little endian), as lists of plain values and back.

A value stays what was sent: a cast would hide a number that does not fit its datatype.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

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


def unpacked(name: str, datatype: str, raw: bytes) -> list[Any]:
    """The values of a tensor, texts as bytes; none where the datatype is unknown.

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
    values: list[Any] = np.frombuffer(raw, kind).tolist()
    if datatype != "BOOL":
        return values
    if odd := next((value for value in values if value > 1), 0):
        raise RequestError(f"column {name}: found {odd} in its raw contents of BOOL; allowed: 0 and 1")
    return [value == 1 for value in values]


def packed(datatype: str, values: Sequence[Any]) -> bytes:
    """The raw contents of a tensor with the values; texts are in UTF-8."""
    if datatype == "BYTES":
        texts = [utf8(value).encode() for value in values]
        return b"".join([part for text in texts for part in (_LENGTH.pack(len(text)), text)])
    return np.asarray(values, _KINDS[datatype]).tobytes()


def _texts(name: str, raw: bytes) -> list[bytes]:
    found: list[bytes] = []
    place, end = 0, len(raw)
    while place < end:
        start = place + _LENGTH.size
        if start > end or start + (length := _LENGTH.unpack_from(raw, place)[0]) > end:
            told = "each value after its length, in 4 bytes"
            raise RequestError(f"column {name}: its raw contents end within value {len(found)}; allowed: {told}")
        place = start + length
        found.append(raw[start:place])
    return found
