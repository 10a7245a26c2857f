"""What the prediction log holds of a row, and how the columns of answers become Arrow's."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from predictors.identity import Identity
from serin.artifact import Manifest
from serin.columns import TYPES, TypeName
from serin.errors import ArtifactError
from serin.prediction_log import COLUMNS, FIXED, SCORED

# Of n rows by column: a list, or an array in which NaN and NaT are null; a time or a text stands for all n rows.
Columns = Mapping[str, Sequence[Any] | NDArray[Any] | datetime | str]

CONSTANTS = ("model", "model_version", "deployment")
# A place in a request, or a number of columns: the only numbers that no user declares.
_ARROW: dict[str, pa.DataType] = {"index": pa.int32(), **{name: type_.arrow for name, type_ in TYPES.items()}}
_UNCONVERTIBLE = (ValueError, TypeError, LookupError, OverflowError, pa.ArrowException)


def schema(logged: Mapping[str, TypeName]) -> pa.Schema:
    """The log's columns: the fixed ones, and those that a kind of model declares (`Kind.logged`).

    Raises ArtifactError for a column that has the name of a fixed one.
    """
    if taken := sorted(FIXED.keys() & logged.keys()):
        raise ArtifactError(f"columns {', '.join(taken)} have names that the prediction log keeps for itself")
    # Every file has the same types of what a tabular model logs, whatever wrote it.
    types: dict[str, str] = {**FIXED, **logged, **{name: SCORED[name] for name in SCORED if name in logged}}
    return pa.schema([(name, _ARROW[type_]) for name, type_ in types.items()])


def logged_of(manifest: Manifest) -> dict[str, TypeName]:
    """What a tabular model logs beyond the fixed columns: score and decision, each input, the keys of entities and of
    the event.

    Raises ArtifactError for an input or key that has a name of the log's own.
    """
    own: dict[str, TypeName] = {
        column.name: "text" if column.kind == "category" else "number" for column in manifest.inputs.columns
    }
    own |= {column.name: column.type for column in (*manifest.entities, *manifest.event_key)}
    if taken := sorted(COLUMNS.keys() & own.keys()):
        raise ArtifactError(f"columns {', '.join(taken)} have names that the prediction log keeps for itself")
    return {
        "score": "number",
        "decision": "boolean",
        "feature_age_seconds": "number",
        "missing_features": "integer",
        **own,
    }


def spooled(columns: pa.Schema, identity: Identity) -> pa.Schema:
    """The schema without what is the same in every row of a process, which its metadata have."""
    constants = dict(zip(CONSTANTS, (identity.model, identity.version, identity.deployment), strict=True))
    return pa.schema([field for field in columns if field.name not in CONSTANTS], metadata=constants)


def completed(rows: pa.Table) -> pa.Table:
    """Spooled rows with the constants of their metadata as columns, where the log has them."""
    constants = {name.decode(): value.decode() for name, value in rows.schema.metadata.items()}
    rows = rows.replace_schema_metadata(None)
    for place, name in enumerate(FIXED):
        if name in CONSTANTS:
            rows = rows.add_column(place, name, pa.repeat(pa.scalar(constants[name]), rows.num_rows))
    return rows


def size(columns: Columns) -> int:
    """The number of rows. Raises TypeError or KeyError where `event_timestamp` does not tell."""
    return len(columns["event_timestamp"])  # type: ignore[arg-type]


def record_batch(
    batches: Sequence[Columns], columns: pa.Schema, refused: Callable[[int, Exception], None]
) -> pa.RecordBatch:
    """The rows of all batches. One that the schema can't hold is left out alone, and told to `refused` with its number
    of rows and the cause."""
    try:
        return _record_batch(batches, columns)
    except _UNCONVERTIBLE:
        return _record_batch([batch for batch in batches if _converts(batch, columns, refused)], columns)


def _converts(batch: Columns, columns: pa.Schema, refused: Callable[[int, Exception], None]) -> bool:
    try:
        _record_batch([batch], columns)
    except _UNCONVERTIBLE as error:
        refused(size(batch), error)
        return False
    return True


def _record_batch(batches: Sequence[Columns], columns: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for field in columns:
        arrays.append(_array([_values(batch, field.name) for batch in batches], field.type))
        # Requests are answered between two columns: a thread would hold the interpreter for 5 ms otherwise.
        time.sleep(0)
    return pa.record_batch(arrays, schema=columns)


def _values(batch: Columns, name: str) -> Sequence[Any] | NDArray[Any]:
    values = batch[name]
    rows = size(batch)
    if isinstance(values, datetime | str):
        return [values] * rows
    if len(values) != rows:
        raise ValueError(f"column {name} has {len(values)} values of {rows} rows")
    return values


def _array(parts: Sequence[Sequence[Any] | NDArray[Any]], type_: pa.DataType) -> pa.Array:
    if parts and all(isinstance(part, np.ndarray) for part in parts):
        return pa.array(np.concatenate(parts), type_, from_pandas=True)
    return pa.array(list(chain.from_iterable(map(_plain, parts))), type_, from_pandas=True)


def _plain(part: Sequence[Any] | NDArray[Any]) -> Iterable[Any]:
    return part.tolist() if isinstance(part, np.ndarray) else part
