"""How a column's texts are written: the words for a missing value, the marks of numbers, the unit of times."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pandas as pd

from serin.columns import TypeName
from serin.use_case import TimeUnit
from serin.values import NULL_WORDS, PLAIN, Notation, convert

# Words that a column of numbers can't mean anything else by, and those that a text hardly does.
_NO_NUMBERS = (
    "-",
    "--",
    "---",
    "?",
    ".",
    "\\N",
    "n.a.",
    "n/d",
    "#N/A",
    "#NULL!",
    "<NA>",
    "<null>",
    "(null)",
    "missing",
)
_NO_TEXTS = ("\\N", "?", "-", "--", "#N/A", "#NULL!", "<NA>", "<null>", "(null)", "NULL", "null", "NaN", "nan", "N/A")
# Decimal mark and mark of the thousands, the plainer first.
_MARKS = ((".", ""), (",", ""), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"))
_SAMPLE = 20_000  # texts
_NEARLY_ALL = 0.99
_CURRENCY = re.compile(
    r"(?:[$€£¥₹]|[A-Z]{3})?\s?[(+\-\u2212]?[$€£¥₹]?\s?\d[\d.,' \u00a0]*[)\-]?\s?(?:[$€£¥₹%]|[A-Z]{3})?"
)
# 31.12.2026, 12/31/26 11:59 PM, 2026/12/31
_DATE = re.compile(r"(?:\d{1,2}([./-])\d{1,2}\1(?:\d{4}|\d\d)|\d{4}([./])\d{1,2}\2\d{1,2})(?:[ T,]+\d{1,2}[:.]\d\d.*)?")
# 1.234 beside 976: a whole number with marks of the thousands has no others.
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})*|0")
_EPOCH_YEARS = (1990, 2100)  # of a time that is a number: numbers of other years are no times


def null_words(values: "pd.Series[Any]", *, of_text: bool = False) -> tuple[str, ...]:
    """The words among the values (texts, stripped) that stand for a missing one."""
    there = set(values.unique())
    return tuple(word for word in (_NO_TEXTS if of_text else _NO_NUMBERS) if word in there)


def numbers(texts: "pd.Series[Any]") -> tuple[Notation | None, str]:
    """The notation other than the plain one in which nearly all `texts` (stripped, none null) are numbers.

    None with a reason in words where they are numbers in two notations that mean different numbers, or look like
    numbers that no notation reads; None and "" where they are no numbers.
    """
    sample = texts.drop_duplicates().head(_SAMPLE)
    sample = sample[~sample.str.lower().isin(NULL_WORDS)]
    if not len(sample):
        return None, ""
    if sample.str.contains(r"\d").mean() < _NEARLY_ALL:
        return None, ""
    percent = bool(sample.str.endswith("%").mean() >= _NEARLY_ALL)
    notations = [Notation(decimal=decimal, thousands=thousands, percent=percent) for decimal, thousands in _MARKS]
    read = {notation: convert(sample, "number", notation) for notation in notations}
    fewest = min(misfit.sum() for _, misfit in read.values())
    if fewest <= (1 - _NEARLY_ALL) * len(sample):
        fitting = {n: values for n, (values, misfit) in read.items() if misfit.sum() == fewest}
        first = next(iter(fitting.values()))
        differ = [values for values in fitting.values() if not values.equals(first)]
        if PLAIN in fitting and not may_be_grouped(sample):
            return None, ""
        if not differ:
            return next(iter(fitting)), ""
        place = int(np.flatnonzero((first != differ[0]).to_numpy() & first.notna().to_numpy())[0])
        return None, (
            f"{sample.iloc[place]!r} could mean {first.iloc[place]:g} or {differ[0].iloc[place]:g}: taken as text; "
            "declare decimal and thousands (of data, or of the column)"
        )
    if sample.str.fullmatch(_CURRENCY).mean() >= _NEARLY_ALL:
        example = sample[read[min(read, key=lambda notation: read[notation][1].sum())][1]].iloc[0]
        return None, f"values such as {example!r} look like numbers in no notation that is read: write them plain"
    return None, ""


def may_be_grouped(texts: "pd.Series[Any]") -> bool:
    """Whether plain numbers (texts, stripped) may as well be whole ones with a dot between the thousands."""
    has_dot = texts.str.contains(".", regex=False)
    return bool(has_dot.any() and not has_dot.all() and texts.str.fullmatch(_GROUPED).all())


def dates(texts: "pd.Series[Any]") -> str:
    """What to tell where nearly all `texts` (stripped, none null) look like dates that are not ISO 8601; else ""."""
    sample = texts.drop_duplicates().head(_SAMPLE)
    if not len(sample) or sample.str.fullmatch(_DATE).mean() < _NEARLY_ALL:
        return ""
    return f"values such as {sample.iloc[0]!r} look like dates in no notation that is read: write them as 2018-06-01"


def epochs(values: "pd.Series[Any]") -> Notation | None:
    """The unit in which nearly all values are times of our years since 1970."""
    found, misfit = convert(values, "number")
    found = found.dropna()
    if not len(found) or misfit.any():
        return None
    for unit in get_args(TimeUnit):
        first, last = (np.datetime64(f"{year}-01-01", unit).astype(np.int64) for year in _EPOCH_YEARS)
        if found.between(first, last).mean() >= _NEARLY_ALL:
            return Notation(unit=unit)
    return None


def declared(notation: Notation) -> Iterator[tuple[str, Any]]:
    """What a use case says of a column's notation where it is not the plain one."""
    if notation.nulls:
        yield "nulls", list(notation.nulls)
    for key in ("decimal", "thousands", "percent", "unit"):
        if getattr(notation, key) != getattr(PLAIN, key):
            yield key, getattr(notation, key)


def in_words(notation: Notation, type_: TypeName, example: str) -> Iterator[str]:
    """The same for people."""
    if notation.nulls:
        yield f"{', '.join(map(repr, notation.nulls))} stands for a missing value (nulls)"
    if notation.unit:
        yield f"times are numbers of {notation.unit} since 1970 (unit)"
    if notation.has_marks:
        marks = [f"decimal {notation.decimal!r}"] if type_ == "number" else []
        marks += [f"thousands {notation.thousands!r}"] if notation.thousands else []
        marks += ["percent: stored as a fraction of 1"] if notation.percent else []
        yield f"numbers such as {example!r} are read with {', '.join(marks)}"
