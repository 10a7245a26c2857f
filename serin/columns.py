"""The one table of column types: Serin's type beside those of Arrow, pandas, DuckDB, Feast and V2 requests.

What a use case declares of a column, ingest, features, the predictor and the prediction log all read here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

TypeName = Literal["integer", "number", "text", "boolean", "timestamp"]

MAX_TEXT = 1024  # characters
# A model's inputs are 32 bits wide: a larger number would reach it as infinity.
MAX_NUMBER = 3.4028234663852886e38
YEARS = (1970, 2199)

_WHOLE = tuple(f"{sign}INT{bits}" for bits in (64, 32, 16, 8) for sign in ("", "U"))


@dataclass(frozen=True)
class ColumnType:
    """What a type is called elsewhere, and in words.

    `pandas` holds values and nulls; `feast` is a name in feast.types, `entity` one in feast.ValueType (None where
    a column of this type can't be a key); `v2` are the datatypes that a V2 request may use, the usual one first.
    """

    arrow: pa.DataType
    pandas: str
    duckdb: str
    feast: str
    entity: str | None
    v2: tuple[str, ...]
    expected: str


TYPES: Mapping[TypeName, ColumnType] = {
    "integer": ColumnType(pa.int64(), "Int64", "bigint", "Int64", "INT64", _WHOLE, "a whole number (64 bits)"),
    "number": ColumnType(
        pa.float64(), "float64", "double", "Float64", None, ("FP64", "FP32", "FP16", *_WHOLE), "a finite number"
    ),
    "text": ColumnType(
        pa.string(), "object", "varchar", "String", "STRING", ("BYTES",), f"text of at most {MAX_TEXT} characters"
    ),
    "boolean": ColumnType(pa.bool_(), "boolean", "boolean", "Bool", None, ("BOOL",), "true or false"),
    "timestamp": ColumnType(
        pa.timestamp("us", tz="UTC"), "datetime64[us, UTC]", "timestamptz", "UnixTimestamp", None, ("BYTES",),
        f"an ISO 8601 time (2018-06-01T12:00) from {YEARS[0]} to {YEARS[1]}",
    ),
}  # fmt: skip


class Column(BaseModel):
    """The values that a column may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    type: TypeName
    min: float | None = None
    max: float | None = None
    allowed: tuple[int | str, ...] | None = None
    nullable: bool = False
