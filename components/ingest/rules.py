"""Schema and quality rules: which rows of a source may go on, and why the others may not."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.columns import MAX_EXACT, MISSING, TYPES, Column, problem, shown
from serin.errors import DataError
from serin.use_case import UseCase
from serin.values import typed as as_declared

_EXAMPLES = 5
_MOST = 0.5  # beyond this share of misfits the column's type is wrong, not its rows


@dataclass(frozen=True)
class Checked:
    """The rows of a source: `good` ones typed, `bad` ones as they were, with row number (from 1) and `reason`.

    A bad row that could not be read has no row number; its reason names the line of the file and holds its text.
    """

    good: pd.DataFrame
    bad: pd.DataFrame


def check(
    frame: pd.DataFrame,
    case: UseCase,
    source: str,
    stored_labels: Collection[float] = (),
    lines: pd.DataFrame | None = None,
) -> Checked:
    """Hold a source table to the rules of `case.data`; `source` names it in messages.

    `stored_labels` are those of the rows that stay beside it: together, both classes must be there. `lines` are rows
    of the source that could not be read, as serin.tables gives them: they count as bad rows.

    Good rows have exactly the declared columns: int64, float64 (also nullable integers), str, bool (object
    where nullable) and datetime64[us, UTC].
    Raises DataError with all problems of the table as a whole at once: no rows, a missing column, a type that
    does not fit most rows, duplicated keys, a label with one class, more bad rows than `data.max_bad_share`.
    """
    if frame.empty:
        raise DataError(f"{source} holds no row")
    frame = _renamed(frame, case, source)
    typed, misfits = _typed(frame, case)
    problems = [*_missing(frame, case), *_wrong_types(frame, case, misfits), *_duplicates(typed, case)]
    if problems:
        raise _error(source, problems)
    reasons = _reasons(typed, frame, case, misfits)
    is_good = (reasons == "").to_numpy()
    bad = _with_lines(_quarantined(frame, case, reasons), lines)
    rows = len(frame) + (0 if lines is None else len(lines))
    problems = [*_one_class(typed[is_good], case, stored_labels), *_too_many(bad, rows, case)]
    if problems:
        raise _error(source, problems)
    return Checked(good=_canonical(typed[is_good], case), bad=bad)


def _error(source: str, problems: list[str]) -> DataError:
    return DataError(f"{source} can't be ingested:\n" + "\n".join(f"  {problem}" for problem in problems))


def _renamed(frame: pd.DataFrame, case: UseCase, source: str) -> pd.DataFrame:
    renamed = frame.rename(columns=case.data.rename).reset_index(drop=True)
    repeated = sorted({str(name) for name in renamed.columns[renamed.columns.duplicated()]})
    if repeated:
        raise DataError(f"{source} has more than one column called {', '.join(repeated)} (after data.rename)")
    return renamed


def _missing(frame: pd.DataFrame, case: UseCase) -> Iterator[str]:
    source_names = {ours: theirs for theirs, ours in case.data.rename.items()}
    for name in case.data.columns:
        if name not in frame:
            wanted = f" (called {source_names[name]} in the source by data.rename)" if name in source_names else ""
            found = ", ".join(map(str, frame.columns))
            yield f"column {name}{wanted}: missing; the table has {found}"


def _typed(frame: pd.DataFrame, case: UseCase) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The declared columns that are there, as their types, and where a value does not fit."""
    pairs = {name: as_declared(frame[name], case, name) for name in case.data.columns if name in frame}
    typed = pd.DataFrame({name: values for name, (values, _) in pairs.items()}, index=frame.index)
    misfits = pd.DataFrame({name: misfit for name, (_, misfit) in pairs.items()}, index=frame.index)
    return typed, misfits


def _wrong_types(frame: pd.DataFrame, case: UseCase, misfits: pd.DataFrame) -> Iterator[str]:
    for name in [name for name in case.data.columns if name in frame]:
        misfit, given = misfits[name].to_numpy(bool), int(frame[name].notna().sum())
        if misfit.sum() > _MOST * given:
            type_ = case.data.columns[name].type
            yield (
                f"column {name}: type {type_} asks for {TYPES[type_].expected}; {misfit.sum():,} of {given:,} values "
                f"are none, for example {_examples(frame[name][misfit])}"
            )


def _duplicates(typed: pd.DataFrame, case: UseCase) -> Iterator[str]:
    key = list(case.data.key)
    if not key or not set(key) <= set(typed):
        return
    keys = typed[key].dropna()
    repeated = keys[keys.duplicated(keep=False)]
    if len(repeated):
        # Whole tuples where the key is made of several columns.
        firsts = repeated.drop_duplicates().head(_EXAMPLES).itertuples(index=False, name=None)
        examples = ", ".join(" / ".join(map(str, row)) for row in firsts)
        yield f"column {', '.join(key)}: the key must be unique; {len(repeated):,} rows share one: {examples}"


def _one_class(good: pd.DataFrame, case: UseCase, stored: Collection[float]) -> Iterator[str]:
    labels = good[case.label.column].dropna()
    if len({*labels.astype(float)} | {*stored}) == 1 and len(labels):
        yield (
            f"column {case.label.column}: the label must have both classes; all {len(labels):,} known ones are "
            f"{int(labels.iloc[0])}"
        )


def _too_many(bad: pd.DataFrame, rows: int, case: UseCase) -> Iterator[str]:
    reasons = bad["reason"]
    if len(reasons) <= case.data.max_bad_share * rows:
        return
    common = reasons.str.split("; ").explode().str.replace(r"^line \d+: | \(found .*", "", regex=True).value_counts()
    rules = ", ".join(f"{rule} ({count:,} rows)" for rule, count in common.head(_EXAMPLES).items())
    numbered = zip(bad["row"].head(_EXAMPLES), reasons, strict=False)
    examples = ", ".join(reason if pd.isna(row) else f"row {row}: {reason}" for row, reason in numbered)
    yield (
        f"{len(reasons):,} of {rows:,} rows break a rule; data.max_bad_share allows "
        f"{case.data.max_bad_share:.0%}. Rules broken: {rules}. Examples: {examples}"
    )


def _reasons(typed: pd.DataFrame, frame: pd.DataFrame, case: UseCase, misfits: pd.DataFrame) -> "pd.Series[str]":
    """All reasons of each row as one text, empty for a good row."""
    found: dict[int, list[str]] = {}
    for name, column in case.data.columns.items():
        is_label = name == case.label.column
        rules = Column(type="number", allowed=(0, 1), nullable=column.nullable) if is_label else column
        for row, text in _problems(typed[name], frame[name], misfits[name].to_numpy(bool), rules).items():
            found.setdefault(row, []).append(f"{name}: {text}")
    return pd.Series(["; ".join(found.get(row, ())) for row in range(len(frame))], frame.index, dtype=object)


def _problems(
    typed: "pd.Series[Any]", given: "pd.Series[Any]", misfit: NDArray[np.bool_], column: Column
) -> dict[int, str]:
    """What is wrong with a column's values, by row."""
    null = typed.isna().to_numpy()
    problems: dict[int, str] = {}
    if not column.nullable:
        problems |= dict.fromkeys(np.flatnonzero(null).tolist(), MISSING)
    rules = dict.fromkeys(np.flatnonzero(misfit).tolist(), column.misfit)
    known, values = np.flatnonzero(~null), typed[~null].to_numpy(TYPES[column.type].numpy)
    if column.type == "integer" and column.nullable:
        # For its nulls such a column is stored as floats, which would make one number of two.
        inexact = known[(values > MAX_EXACT) | (values < -MAX_EXACT)].tolist()
        rules |= dict.fromkeys(inexact, f"beyond {MAX_EXACT}, the largest that a nullable column holds")
    rules |= {int(known[place]): rule for place, rule in column.broken(values).items()}
    return problems | {row: problem(rule, given.iloc[row]) for row, rule in rules.items()}


def _canonical(good: pd.DataFrame, case: UseCase) -> pd.DataFrame:
    """Dtypes that depend on the declaration alone, so that every partition has the same schema."""
    types: dict[str, Any] = {}
    for name, column in case.data.columns.items():
        if column.type == "integer":
            types[name] = "float64" if column.nullable else "int64"
        elif column.type == "boolean":
            types[name] = "object" if column.nullable else "bool"
    canonical = good.reset_index(drop=True).astype(types)
    for name, column in case.data.columns.items():
        if column.type == "boolean" and column.nullable:
            canonical.loc[canonical[name].isna(), name] = None
    return canonical


def _quarantined(frame: pd.DataFrame, case: UseCase, reasons: "pd.Series[str]") -> pd.DataFrame:
    is_bad = (reasons != "").to_numpy()
    rows = frame.loc[is_bad, list(case.data.columns)]
    bad = rows.astype(object).where(rows.isna(), rows.astype(str)).astype(object)
    bad.insert(0, "row", np.flatnonzero(is_bad) + 1, allow_duplicates=True)
    return bad.assign(reason=reasons[is_bad]).reset_index(drop=True)


def _with_lines(bad: pd.DataFrame, lines: pd.DataFrame | None) -> pd.DataFrame:
    if lines is None or lines.empty:
        return bad
    read = zip(lines["line"], lines["reason"], lines["text"], strict=True)
    reasons = [f"line {line}: {problem(reason, text)}" for line, reason, text in read]
    unread = pd.DataFrame({"row": pd.array([None] * len(lines), "Int64"), "reason": reasons})
    return pd.concat([bad.astype({"row": "Int64"}), unread], ignore_index=True)


def _examples(values: "pd.Series[Any]") -> str:
    return ", ".join(shown(value) for value in values.drop_duplicates().head(_EXAMPLES))
