"""What the prediction log holds of a row, and how the columns of answers become Arrow's."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from predictors.identity import Identity
from serin.artifact import Manifest
from serin.columns import TYPES, TypeName
from serin.errors import ArtifactError
from serin.prediction_log import COLUMNS, FIXED, SCORED

# Of n rows by column name: a list, or an array in which NaN and NaT are null; a time or a text stands for all n rows.
# A tuple of names may have an array of n rows by as many columns, which is cheaper; a column of its own wins over it.
Columns = Mapping[Any, Sequence[Any] | NDArray[Any] | datetime | str]

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
    types: dict[str, str] = {**FIXED, **logged}
    if types.get("missing_features") == "integer":
        # As in the files of before, which are merged with new ones.
        types["missing_features"] = SCORED["missing_features"]
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
    batches: Sequence[Columns],
    columns: pa.Schema,
    refused: Callable[[int, Exception], None],
    pause: Callable[[], None] = lambda: None,
) -> pa.RecordBatch:
    """The rows of all batches. One that the schema can't hold is left out alone, and told to `refused` with its number
    of rows and the cause. `pause` is called again and again on the way, after a fraction of a millisecond's work."""
    try:
        return _record_batch(batches, columns, pause)
    except _UNCONVERTIBLE:
        found = []
        for batch in batches:
            try:
                found.append(_record_batch([batch], columns))
            except _UNCONVERTIBLE as error:
                refused(size(batch), error)
            pause()
        return pa.concat_batches([_record_batch([], columns), *found])


def _record_batch(
    batches: Sequence[Columns], columns: pa.Schema, pause: Callable[[], None] = lambda: None
) -> pa.RecordBatch:
    sizes = [size(batch) for batch in batches]
    blocks, arrays = _blocks(batches, sizes), []
    pause()
    for name, type_ in zip(columns.names, columns.types, strict=True):
        if name in blocks and name not in batches[0]:
            arrays.append(pa.array(blocks[name], type_, from_pandas=True))
            continue
        arrays.append(_array([batch[name] for batch in batches], sizes, name, type_))
        pause()
    return pa.record_batch(arrays, schema=columns)


def _blocks(batches: Sequence[Columns], sizes: Sequence[int]) -> dict[str, NDArray[Any]]:
    """The columns that come several at once, of all batches.

    Raises ValueError or LookupError where one of them has other blocks.
    """
    found: dict[str, NDArray[Any]] = {}
    for names in [name for name in (batches[0] if batches else ()) if isinstance(name, tuple)]:
        parts: list[Any] = [batch[names] for batch in batches]
        _check(names, parts, sizes)
        found.update(zip(names, np.concatenate(parts).T, strict=True))
    return found


def _check(name: object, parts: Sequence[Any], sizes: Sequence[int]) -> None:
    if (found := list(map(len, parts))) != sizes:
        wrong, rows = next(pair for pair in zip(found, sizes, strict=True) if pair[0] != pair[1])
        raise ValueError(f"column {name} has {wrong} values of {rows} rows")


def _array(parts: Sequence[Any], sizes: Sequence[int], name: str, type_: pa.DataType) -> pa.Array:
    """One column of all batches, of which each has its part. There are thousands of them: none is looked at alone."""
    if len(parts) == 1:
        parts = [_short(parts[0], sizes[0])]
    types = set(map(type, parts))
    if types == {NoneType} and len(parts) == 1:
        return pa.nulls(sizes[0], type_)
    if types <= {datetime, str}:
        return pa.array(parts, type_).take(np.repeat(np.arange(len(parts)), sizes))
    if types & {datetime, str}:
        parts = [
            [part] * rows if isinstance(part, datetime | str) else part for part, rows in zip(parts, sizes, strict=True)
        ]
    _check(name, parts, sizes)
    if types == {np.ndarray}:
        return pa.array(np.concatenate(parts), type_, from_pandas=True)
    if np.ndarray in types:
        parts = [part.tolist() if isinstance(part, np.ndarray) else part for part in parts]
    return _typed(list(chain.from_iterable(parts)), type_)


def _short(part: Any, rows: int) -> Any:
    """The same for less: what stands for all rows, where they have the same time or nothing, and places as an array.

    A request of thousands of rows often has no times and no keys: each value to be converted would take longer than all
    else."""
    if isinstance(part, range):
        return np.arange(part.start, part.stop, part.step)
    if not isinstance(part, list) or len(part) != rows or not rows:
        return part
    first = part[0]
    return first if (first is None or isinstance(first, datetime)) and part.count(first) == rows else part


def _typed(values: list[Any], type_: pa.DataType) -> pa.Array:
    if not pa.types.is_integer(type_):
        return pa.array(values, type_, from_pandas=True)
    # Told the type, Arrow would make 1 of 1.5.
    found = pa.array(values, from_pandas=True)
    if not (pa.types.is_integer(found.type) or pa.types.is_floating(found.type) or pa.types.is_null(found.type)):
        raise TypeError(f"values of type {found.type} in a column of type {type_}")
    return found.cast(type_)
