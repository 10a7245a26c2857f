"""Keys and values as Feast 0.67 writes them to its online stores, without Feast.

An entity key is Feast's serialisation of version 3 for one join key, a value is its protobuf message `Value` (see
feast.protos.feast.types.Value), a time the message `Timestamp`. Whole columns are encoded at once, by NumPy.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serin.columns import TYPES, TypeName
from serin.errors import DataError

# feast.types.ValueType
_STRING = 2
_KEY_TYPES: Final[dict[TypeName, int]] = {"integer": 4, "text": _STRING}
# Field number and wire type of a value in `Value`: string_val, int64_val, double_val, bool_val, unix_timestamp_val.
_TAGS: Final[dict[TypeName, int]] = {"text": 0x12, "integer": 0x20, "number": 0x29, "boolean": 0x38, "timestamp": 0x40}
_NULL = bytes([0x98, 0x01])  # null_val
_NO_TIME = -(2**63)  # what Feast writes for a time that is missing
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS, _NANOS = 0x08, 0x10  # of `Timestamp`
_DOUBLE = struct.Struct("<d")
_WHOLE = struct.Struct("<q")


@dataclass(frozen=True)
class Ragged:
    """n byte strings: of row i, those of `data[i]` where `mask[i]` is set, in order. Both have shape (n, width)."""

    data: NDArray[np.uint8]
    mask: NDArray[np.bool_]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The bytes of each row."""
        found: NDArray[np.int64] = self.mask.sum(axis=1, dtype=np.int64)
        return found

    def joined(self) -> bytes:
        """All rows, one after the other."""
        return self.data[self.mask].tobytes()

    def tolist(self) -> list[bytes]:
        """Row by row."""
        whole, ends = self.joined(), np.cumsum(self.lengths).tolist()
        return [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def where(self, kept: NDArray[np.bool_]) -> "Ragged":
        """The same, and empty strings where `kept` is not set."""
        return self if kept.all() else Ragged(self.data, self.mask & kept[:, None])


def beside(*parts: "Ragged | bytes") -> Ragged:
    """Each row of the parts joined; one that is bytes is the same in each row. At least one is none."""
    count = next(len(part.data) for part in parts if isinstance(part, Ragged))
    blocks = [part if isinstance(part, Ragged) else _constant(part, count) for part in parts]
    return Ragged(np.hstack([block.data for block in blocks]), np.hstack([block.mask for block in blocks]))


def entity_key(column: str, kind: TypeName, key: Any) -> bytes:
    """The entity key of one entity; `key` is an integer or a text. Raises DataError for a column of another type."""
    value = entity_value(kind, key)
    return _key_prefix(column, kind) + struct.pack("<I", len(value)) + value


def entity_keys(column: str, kind: TypeName, keys: pa.Array) -> Ragged:
    """The entity keys of n entities, none of them null. Raises DataError where one is, or for another type."""
    prefix = _key_prefix(column, kind)
    if keys.null_count:
        raise DataError(f"{keys.null_count:,} of {len(keys):,} rows have no {column}; each has one")
    if kind == "integer":
        size = struct.pack("<I", _WHOLE.size)
        return beside(prefix + size, _fixed(_little_endian(_numbers(keys, kind).astype("<i8"))))
    texts = _texts(keys)
    return beside(prefix, _fixed(_little_endian(texts.lengths.astype("<u4"))), texts)


def entity_value(kind: TypeName, key: Any) -> bytes:
    """An entity's own bytes, as they end its entity key: 8 of an integer, UTF-8 of a text."""
    return _WHOLE.pack(int(key)) if kind == "integer" else str(key).encode()


def entity_of(kind: TypeName, value: bytes) -> Any:
    """What `entity_value` made."""
    return _WHOLE.unpack(value)[0] if kind == "integer" else value.decode()


def field(view: str, feature: str) -> bytes:
    """The field of a feature in an entity's hash on Redis: MurmurHash3 (32 bits, seed 0) of the names."""
    return struct.pack("<I", _murmur3(f"{view}:{feature}".encode()))


def time_field(view: str) -> bytes:
    """The field of a row's time in an entity's hash on Redis."""
    return f"_ts:{view}".encode()


def values(column: pa.Array, kind: TypeName) -> Ragged:
    """n values of a feature; null and NaN are empty strings. Times keep whole seconds, as Feast has no more."""
    known = np.asarray(pc.is_valid(column))
    if kind == "text":
        texts = _texts(column)
        return beside(bytes([_TAGS[kind]]), _varints(texts.lengths), texts).where(known)
    numbers = _numbers(column, kind)
    if kind == "number":
        return beside(bytes([_TAGS[kind]]), _fixed(_little_endian(numbers.astype("<f8")))).where(
            known & ~np.isnan(numbers)
        )
    return beside(bytes([_TAGS[kind]]), _varints(numbers)).where(known)


def times(microseconds: NDArray[np.int64]) -> Ragged:
    """n rows' times."""
    seconds, rest = microseconds // 1_000_000, microseconds % 1_000_000 * 1000
    return beside(
        beside(bytes([_SECONDS]), _varints(seconds)).where(seconds != 0),
        beside(bytes([_NANOS]), _varints(rest)).where(rest != 0),
    )


def value_of(stored: bytes | None) -> Any:
    """A stored value; None where it is missing. Raises DataError where it is no value of a type that Serin has."""
    if not stored:
        return None
    tag = stored[0]
    if tag == 0x29:
        return _DOUBLE.unpack_from(stored, 1)[0]
    if tag == 0x12:
        size, start = _read_varint(stored, 1)
        return stored[start : start + size].decode()
    if tag in (0x20, 0x38, 0x40):
        number = _signed(_read_varint(stored, 1)[0])
        return number if tag == 0x20 else bool(number) if tag == 0x38 else _moment(number)
    if stored[:2] == _NULL:
        return None
    raise DataError(f"the online store holds a value of an unknown kind (its first byte is {tag:#04x})")


@lru_cache(maxsize=4096)
def time_of(stored: bytes) -> int:
    """A row's stored time, in microseconds since 1970."""
    found, at = {_SECONDS: 0, _NANOS: 0}, 0
    while at < len(stored):
        tag = stored[at]
        number, at = _read_varint(stored, at + 1)
        found[tag] = _signed(number)
    return found[_SECONDS] * 1_000_000 + found[_NANOS] // 1000


def bulk(part: "Ragged | bytes", count: int) -> Ragged:
    """n bulk strings of Redis' protocol: a `$`, the length, and the bytes."""
    if isinstance(part, bytes):
        return _constant(bulk_string(part), count)
    return beside(b"$", _digits(part.lengths), b"\r\n", part, b"\r\n")


def bulk_string(text: bytes) -> bytes:
    """One bulk string."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


def command(*arguments: bytes) -> bytes:
    """One command of Redis' protocol."""
    return b"*%d\r\n" % len(arguments) + b"".join(map(bulk_string, arguments))


def commands(parts: Sequence["Ragged | bytes"], count: int) -> bytes:
    """n commands of Redis' protocol with the same number of arguments, each the same in all of them or one a row."""
    return beside(b"*%d\r\n" % len(parts), *(bulk(part, count) for part in parts)).joined()


@lru_cache(maxsize=256)
def _key_prefix(column: str, kind: TypeName) -> bytes:
    name = column.encode()
    if kind not in _KEY_TYPES:
        raise DataError(f"{column} is of type {kind}, which can't be an entity's key; allowed: {', '.join(_KEY_TYPES)}")
    return struct.pack("<III", 1, _STRING, len(name)) + name + struct.pack("<I", _KEY_TYPES[kind])


def _constant(text: bytes, count: int) -> Ragged:
    return _fixed(np.broadcast_to(np.frombuffer(text, np.uint8), (count, len(text))))


def _fixed(data: NDArray[np.uint8]) -> Ragged:
    return Ragged(data, np.ones(data.shape, np.bool_))


def _little_endian(numbers: NDArray[Any]) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = np.ascontiguousarray(numbers).view(np.uint8).reshape(len(numbers), numbers.itemsize)
    return found


def _numbers(column: pa.Array, kind: TypeName) -> NDArray[Any]:
    """Float64 of numbers, and int64 of the others (times in seconds); 0 where null."""
    if kind == "number":
        return np.asarray(pc.fill_null(column.cast(pa.float64()), 0.0))
    if kind == "timestamp":
        microseconds = column.cast(TYPES[kind].arrow).cast(pa.int64())
        return np.asarray(pc.fill_null(microseconds, 0)) // 1_000_000
    return np.asarray(pc.fill_null(column.cast(pa.int64()), 0))


def _texts(column: pa.Array) -> Ragged:
    """UTF-8 of n texts, empty where null."""
    texts = pc.fill_null(column.cast(pa.string()), "")
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    lengths = np.diff(bounds)
    mask = np.arange(max(int(lengths.max(initial=0)), 1)) < lengths[:, None]
    padded = np.zeros(mask.shape, np.uint8)
    if bounds[-1] > bounds[0]:
        padded[mask] = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]
    return Ragged(padded, mask)


def _varints(numbers: NDArray[np.int64]) -> Ragged:
    """Protobuf's varints, 7 bits a byte with the lowest first; a negative number takes 10 bytes."""
    unsigned = np.ascontiguousarray(numbers, np.int64).view(np.uint64)
    width = max((int(unsigned.max(initial=0)).bit_length() + 6) // 7, 1)
    rest = unsigned[:, None] >> (7 * np.arange(width, dtype=np.uint64))
    counts = np.maximum((rest != 0).sum(axis=1), 1)[:, None]
    places = np.arange(width)
    more = np.where(places < counts - 1, 0x80, 0)
    return Ragged(((rest & np.uint64(0x7F)) | more.astype(np.uint64)).astype(np.uint8), places < counts)


def _digits(numbers: NDArray[np.int64]) -> Ragged:
    """Decimal digits of numbers that are not negative."""
    width = len(str(int(numbers.max(initial=0))))
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    shown = numbers[:, None] >= powers
    shown[:, -1] = True
    return Ragged((numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8), shown)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that starts at a place, and the place behind it."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return number, at
        shift += 7


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _moment(seconds: int) -> datetime | None:
    return None if seconds == _NO_TIME else _EPOCH + timedelta(seconds=seconds)


def _murmur3(data: bytes) -> int:
    """MurmurHash3, x86, 32 bits, seed 0 (Austin Appleby's reference implementation)."""
    bits = 0xFFFFFFFF
    state, body = 0, len(data) & ~3
    for (block,) in struct.iter_unpack("<I", data[:body]):
        state ^= _scrambled(block)
        state = ((state << 13 | state >> 19) * 5 + 0xE6546B64) & bits
    state ^= _scrambled(int.from_bytes(data[body:], "little"))
    state ^= len(data)
    state = (state ^ state >> 16) * 0x85EBCA6B & bits
    state = (state ^ state >> 13) * 0xC2B2AE35 & bits
    return state ^ state >> 16


def _scrambled(block: int) -> int:
    bits = 0xFFFFFFFF
    block = block * 0xCC9E2D51 & bits
    block = (block << 15 | block >> 17) & bits
    return block * 0x1B873593 & bits
