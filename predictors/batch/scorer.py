"""Scores the rows of a table, batch by batch, as the predictor would score them one by one.

Raw rows, which bring every feature, are checked, encoded and scored by column. Keyed rows go through the served model's
own `read` and `answer`, as requests of at most MAX_ROWS rows.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from predictors.batch.typed import Wrong, cast, typed
from predictors.load import LoadedModel
from predictors.requests.rows import Options, Rows, RowsRefusedError
from predictors.requests.schema import MAX_ROWS
from predictors.scoring.kind import Answered
from predictors.scoring.tabular import NO_SCORE, NOTHING_KNOWN, TabularKind
from serin.artifact import Manifest, RequestColumn
from serin.columns import MISSING, TYPES
from serin.derived import derived
from serin.errors import DataError, RequestError
from serin.near import asked
from serin.schema import InputColumn, InputSchema, calendar

_PARTIAL = Options(partial=True)
# What rows were scored without, in words; `gaps` counts rows by it.
_UNKNOWN = "{}, whose value training did not know"
_MISSES = "features that the online store lacks, or has too old"


@dataclass(frozen=True)
class Batch:
    """n rows of a table by column, and what is known to be wrong with values of a column already, by place.

    `first` is the number of the first row.
    """

    columns: Mapping[str, pa.Array]
    rows: int
    first: int
    wrong: Mapping[str, Mapping[int, str]]


@dataclass(frozen=True)
class ScoredBatch:
    """The scored rows, with `row`, their keys, `score` and `decision`, and what is wrong with the others, by place.

    `undated` rows had no event time, and got the one of the run; `gaps` counts scored rows by what they lacked.
    """

    table: pa.Table
    refused: Mapping[int, str]
    undated: int = 0
    gaps: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Checked:
    """Values of good rows by column, in their types, the places of these rows in the batch, and which of them had no
    event time."""

    columns: Mapping[str, pa.Array]
    places: NDArray[np.int64]
    undated: NDArray[np.bool_]


class TableScorer:
    """Scores the batches of one table, all of which hold the same columns."""

    def __init__(
        self, model: LoadedModel, kind: TabularKind, given: set[str], now: datetime, runner: asyncio.Runner
    ) -> None:
        """`given` are the table's columns; a missing event time is `now`. The online store is read on `runner`.

        Raises DataError where the table lacks a column.
        """
        self._manifest, self._predict, self._kind, self._runner = model.manifest, model.predict, kind, runner
        self._fields, self.raw = kind.schema.of_given(given)
        self._now = now
        self.columns = [name for name in self._fields if name in given]
        known = {**kind.schema.keyed, **kind.schema.raw}
        self._absent = [name for name in known if name not in given]
        if missing := [name for name, field in self._fields.items() if field.required and name not in given]:
            strange = sorted(given - known.keys())
            missing = [asked(name, strange, "the table's ") for name in missing]
            kinds = "raw rows, as it has features of the online store" if self.raw else "rows with keys"
            raise DataError(f"the table lacks {', '.join(missing)}; it is read as one of {kinds}")
        if not self.columns:
            raise DataError(f"the table has none of the columns {', '.join(self._fields)}")
        self.keys = [name for name in _keys(self._manifest) if name in given or name == self._manifest.timestamp]

    def ignored(self, names: Sequence[str]) -> dict[str, str]:
        """Those of the table's columns that are not taken, and how each is told: with the column of the model that it
        may be, where the table lacks one that is called nearly so."""
        return {name: asked(name, self._absent) for name in names if name not in self.columns}

    def column(self, name: str) -> RequestColumn:
        """How a column is declared."""
        return self._fields[name].column

    @property
    def schema(self) -> pa.Schema:
        """Of what is scored."""
        keys = [(name, TYPES[self.column(name).type].arrow) for name in self.keys]
        return pa.schema([("row", pa.int64()), *keys, ("score", pa.float64()), ("decision", pa.bool_())])

    def score(self, batch: Batch) -> ScoredBatch:
        """Score a batch of `columns`. Raises UnavailableError as the served model does, and never RequestError."""
        checked, refused = self._checked(batch)
        found = self._score_raw(checked) if self.raw else self._score_keyed(checked)
        refused |= found.refused
        places = checked.places[found.kept]
        columns = {name: checked.columns[name].take(pa.array(found.kept)) for name in self.keys}
        table = pa.table(
            [
                pa.array(places + batch.first),
                *(columns[name].cast(TYPES[self.column(name).type].arrow) for name in self.keys),
                pa.array(found.scores, pa.float64()),
                pa.array(found.decisions, pa.bool_()),
            ],
            schema=self.schema,
        )
        return ScoredBatch(table, refused, int(checked.undated[found.kept].sum()), found.gaps)

    def _checked(self, batch: Batch) -> tuple[_Checked, Wrong]:
        columns: dict[str, pa.Array] = {}
        problems: dict[int, list[str]] = defaultdict(list)
        for name, declared in self._fields.items():
            if name not in batch.columns:
                columns[name] = pa.nulls(batch.rows, TYPES[declared.column.type].arrow)
                continue
            columns[name], wrong = typed(declared.column, batch.columns[name])
            for place, text in {**wrong, **batch.wrong.get(name, {})}.items():
                told = f"{text}; null is allowed" if text == MISSING and declared.column.nullable else text
                problems[place].append(f"{name}: {told}")
        refused = {place: "; ".join(told) for place, told in problems.items()}
        places = _without(batch.rows, refused)
        if refused:
            columns = {name: values.take(pa.array(places)) for name, values in columns.items()}
        undated = np.zeros(len(places), bool)
        if time := self._manifest.timestamp:
            undated = columns[time].is_null().to_numpy(zero_copy_only=False)
            columns[time] = pc.fill_null(columns[time], pa.scalar(self._now, columns[time].type))
        return _Checked(columns, places, undated), refused

    def _score_raw(self, checked: _Checked) -> "_Found":
        inputs, unknown = self._inputs(checked)
        nothing = _all_missing(inputs)
        refused = {int(checked.places[place]): self._unknown(checked, int(place)) for place in np.flatnonzero(nothing)}
        kept = np.flatnonzero(~nothing)
        scores, more = self._predicted(inputs[kept] if refused else inputs)
        odd = np.flatnonzero(~np.isfinite(scores)).tolist()
        more |= {place: NO_SCORE for place in odd if place not in more}
        if more:
            refused |= {int(checked.places[kept[place]]): text for place, text in more.items()}
            good = _without(len(kept), more)
            kept, scores = kept[good], scores[good]
        gaps = {_UNKNOWN.format(name): int(of[kept].sum()) for name, of in unknown.items()}
        return _Found(kept, scores, scores >= self._manifest.threshold, refused, gaps)

    def _inputs(self, checked: _Checked) -> tuple[NDArray[np.float32], dict[str, NDArray[np.bool_]]]:
        """The model's inputs, and by column which rows have a category that training did not know."""
        manifest, columns = self._manifest, checked.columns
        values: dict[str, pa.Array | NDArray[np.float64]] = dict(columns)
        count = len(checked.places)
        times = np.full(count, self._now.replace(tzinfo=None), "datetime64[us]")
        if manifest.timestamp:
            times = columns[manifest.timestamp].to_numpy(zero_copy_only=False)
        for name in manifest.calendar:
            given = floats(columns[name])
            values[name] = np.where(np.isnan(given), calendar(name, times), given)
        for feature in manifest.derived:
            of = {name: _of_feature(columns[name]) for name in feature.ratio or feature.elapsed or ()}
            values[feature.name] = derived(feature, of)
        # By column first, and turned at once: half the time of filling a row's places one by one.
        turned = np.empty((len(manifest.inputs.columns), count), np.float32)
        unknown: dict[str, NDArray[np.bool_]] = {}
        for place, column in enumerate(manifest.inputs.columns):
            turned[place] = encoded(column, values[column.name])
            if column.kind == "category":
                unknown[column.name] = np.isnan(turned[place]) & ~_missing(values[column.name])
        return np.ascontiguousarray(turned.T), unknown

    def _predicted(self, inputs: NDArray[np.float32]) -> tuple[NDArray[np.float64], Wrong]:
        """Scores, and what is wrong with rows that the model can't take; those have NaN."""
        if not len(inputs):
            return np.zeros(0), {}
        try:
            return self._predict(inputs), {}
        except RequestError as error:
            if len(inputs) == 1:
                return np.full(1, np.nan), {0: str(error)}
        half = len(inputs) // 2
        (left, wrong), (right, more) = self._predicted(inputs[:half]), self._predicted(inputs[half:])
        return np.concatenate([left, right]), {**wrong, **{place + half: text for place, text in more.items()}}

    def _score_keyed(self, checked: _Checked) -> "_Found":
        names = [name for name in self._fields if name != self._manifest.timestamp]
        lists = {name: checked.columns[name].to_pylist() for name in names}
        count = len(checked.places)
        times = [self._now] * count
        if self._manifest.timestamp:
            times = checked.columns[self._manifest.timestamp].to_pylist()
        kept: list[int] = []
        scores: list[float] = []
        decisions: list[bool] = []
        refused: Wrong = {}
        gaps: Counter[str] = Counter()
        for start in range(0, count, MAX_ROWS):
            part = slice(start, start + MAX_ROWS)
            columns = {name: values[part] for name, values in lists.items()}
            rows = Rows.of_columns(columns, times[part], False, _PARTIAL)
            for answered, wrong in self._answers(rows):
                refused |= {int(checked.places[start + place]): text for place, text in wrong.items()}
                if answered:
                    kept += [start + place for place in answered.rows.numbers]
                    scores += answered.outputs["score"]
                    decisions += answered.outputs["decision"]
                    gaps.update(_gaps(answered))
        order = np.argsort(kept, kind="stable") if kept else np.zeros(0, np.int64)
        places = np.array(kept, np.int64)[order]
        return _Found(places, np.array(scores)[order], np.array(decisions, bool)[order], refused, gaps)

    def _answers(self, rows: Rows) -> "list[tuple[Answered | None, Mapping[int, str]]]":
        """The answers of rows, in parts where the model can't take some, and what is wrong with others."""
        found = self._runner.run(self._kind.read(rows))
        try:
            answered = self._kind.answer(rows, found, self._now)
            return [(answered, answered.rows.refused)]
        except RowsRefusedError as error:
            return [(None, error.refused)]
        except RequestError as error:
            if rows.count == 1:
                return [(None, {rows.numbers[0]: str(error)})]
        half = rows.count // 2
        return [*self._answers(_part(rows, slice(0, half))), *self._answers(_part(rows, slice(half, None)))]

    def _unknown(self, checked: _Checked, place: int) -> str:
        keys = ", ".join(
            f"{column.name}={checked.columns[column.name][place].as_py()!r}" for column in self._manifest.entities
        )
        return f"{NOTHING_KNOWN} {keys}"


@dataclass(frozen=True)
class _Found:
    """Places of the rows that were scored among the good ones, their scores and decisions, what is wrong with others,
    by place in the batch, and how many were scored without what."""

    kept: NDArray[np.int64]
    scores: NDArray[np.float64]
    decisions: NDArray[np.bool_]
    refused: Wrong
    gaps: Mapping[str, int]


def _gaps(answered: Answered) -> Counter[str]:
    """How many of the rows were scored without what."""
    counts = Counter(_UNKNOWN.format(name) for unknown in answered.unknown for name in unknown)
    if answered.context:
        counts[_MISSES] = sum(map(bool, answered.context.misses))
    return counts


def _keys(manifest: Manifest) -> list[str]:
    """The columns that a row is known by."""
    names = [column.name for column in (*manifest.entities, *manifest.event_key)]
    return list(dict.fromkeys([*names, *([manifest.timestamp] if manifest.timestamp else [])]))


def encoded(column: InputColumn, values: pa.Array | NDArray[np.float64]) -> NDArray[Any]:
    """An input's n values as `InputSchema.encode` makes them, but for the 64 bits of a number; of a category, each
    distinct value is looked up once."""
    if column.kind == "number":
        return values if isinstance(values, np.ndarray) else floats(values)
    array = pa.array(values) if isinstance(values, np.ndarray) else values
    distinct = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    known = distinct.dictionary.to_pylist()
    codes = InputSchema(columns=(column,)).encode({column.name: [*known, None]})[:, 0]
    places: NDArray[np.int32] = pc.fill_null(distinct.indices, len(known)).to_numpy()
    return codes[places]


def floats(values: pa.Array) -> NDArray[np.float64]:
    """Numbers and truth values as float64, NaN where there is none."""
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    numbers: NDArray[np.float64] = cast(values, pa.float64()).to_numpy(zero_copy_only=False)
    return numbers


def _all_missing(inputs: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of the rows are all NaN; most matrices have a column without any, and no row is then."""
    missing = np.ones(len(inputs), bool)
    for column in inputs.T:
        missing &= np.isnan(column)
        if not missing.any():
            break
    return missing


def _missing(values: pa.Array | NDArray[np.float64]) -> NDArray[np.bool_]:
    array = pa.array(values) if isinstance(values, np.ndarray) else values
    missing: NDArray[np.bool_] = pc.is_null(array, nan_is_null=True).to_numpy(zero_copy_only=False)
    return missing


def _of_feature(values: pa.Array) -> NDArray[Any]:
    """As `derived` takes it."""
    if pa.types.is_timestamp(values.type):
        times: NDArray[np.datetime64] = values.to_numpy(zero_copy_only=False)
        return times
    return floats(values)


def _without(count: int, problems: Mapping[int, str]) -> NDArray[np.int64]:
    """Of `count` places those without problems."""
    good = np.ones(count, bool)
    good[list(problems)] = False
    return np.flatnonzero(good)


def _part(rows: Rows, part: slice) -> Rows:
    return Rows(
        rows.names, rows.records[part], rows.times[part], rows.raw, rows.numbers[part], rows.refused, rows.options
    )
