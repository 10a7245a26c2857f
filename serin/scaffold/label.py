"""The label of a proposed use case: 0 and 1, or words of which one is the outcome to predict."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from serin.errors import DataError
from serin.scaffold.columns import Described, describe
from serin.use_case import Label
from serin.values import NULL_WORDS, outcome_word, outcomes

_MOST_OUTCOMES = 20


def describe_label(name: str, values: "pd.Series[Any]", positive: str | None) -> tuple[Described, Mapping[str, Any]]:
    """The label as 0 and 1, and the part `label` of the use case as plain data.

    Raises DataError for a label that has not two outcomes, or in words of which `positive` names none.
    """
    if positive is None:
        described = describe(values, prefer="integer")
        _check(name, described)
        return described, {"column": name}
    words = _words(values)
    known = {outcome_word(word): word for word in words.index}
    chosen = known.pop(outcome_word(positive), None)
    if chosen is None or not 1 <= len(known) <= _MOST_OUTCOMES:
        raise DataError(f"the label {name} can't have {positive!r} as its positive outcome; it holds {_listed(words)}")
    label = Label(column=name, positive=chosen, negative=tuple(known.values()))
    converted, misfit = outcomes(values, label)
    return Described("integer", converted, misfit, 2), label.model_dump(include={"column", "positive", "negative"})


def _words(values: "pd.Series[Any]") -> "pd.Series[int]":
    """The outcomes as they are written most often, and how often each is there."""
    given = values.dropna().map(lambda value: str(value).strip()).astype(object)
    given = given[~given.str.lower().isin(["", *NULL_WORDS])]
    usual = {outcome_word(word): word for word in reversed(given.value_counts().index)}
    return given.map(lambda word: usual[outcome_word(word)]).value_counts()


def _check(name: str, described: Described) -> None:
    counts = described.values.value_counts()
    if described.type == "integer" and set(counts.index) == {0, 1}:
        return
    if len(counts) < 2:
        advice = "one class alone teaches nothing"
    elif len(counts) <= _MOST_OUTCOMES:
        others = "the other counts" if len(counts) == 2 else "the others count"
        advice = f"name the outcome to predict, such as --positive {str(counts.index[-1])!r}; {others} as 0"
    else:
        advice = "a label has two values"
    raise DataError(f"the label {name} must be 0 or 1 (or true and false); it holds {_listed(counts)}: {advice}")


def _listed(counts: "pd.Series[int]") -> str:
    listed = ", ".join(f"{value!s} ({count:,})" for value, count in counts.head(5).items()) or "nothing"
    return listed + (f" and {len(counts) - 5:,} more" if len(counts) > 5 else "")
