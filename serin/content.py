"""What a table holds, told by a hash.

Content means the values, not the bytes of a file, so the hash is the same for every writer, machine and version.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def digest(rows: pa.Table) -> str:
    """The SHA-256 of the values of a table in hex, column by column."""
    sha = hashlib.sha256()
    for name in rows.column_names:
        column = rows[name].combine_chunks()
        sha.update(f"{name} {column.type} {len(column)}\n".encode())
        sha.update(np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes())
        for part in _values(column):
            sha.update(part)
    return sha.hexdigest()


def _values(column: pa.Array) -> Iterator[bytes]:
    """The values of a column as little-endian bytes, zeros and empty texts for nulls."""
    if pa.types.is_string(column.type):
        filled = pc.fill_null(column, "")
        yield pc.binary_length(filled).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        yield "".join(filled.to_pylist()).encode()
        return
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    filled = pc.fill_null(column, False if pa.types.is_boolean(column.type) else 0)
    values = filled.to_numpy(zero_copy_only=False)
    yield values.astype(values.dtype.newbyteorder("<")).tobytes()
