"""The table of a use case, and its label."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from serin.columns import Column
from serin.times import Duration
from serin.use_case.section import Section


def _word(value: Any) -> str:
    """A word of a table as YAML gives it: `-999` is read as a number, `~` and `null` as nothing."""
    if isinstance(value, bool):
        raise ValueError(f"YAML reads this word as {value}; put it in quotes")
    return "null" if value is None else str(value)


Word = Annotated[str, BeforeValidator(_word)]

Decimal = Literal[".", ","]

Thousands = Literal["", ",", ".", " ", "'"]

TimeUnit = Literal["s", "ms", "us", "ns"]


class SourceColumn(Column):
    """A column, and how its values are written in the source where it is unlike the rest of `data`.

    `percent`: the values are per cent, with a sign or without, so that 41.0% means 0.41. `unit`: times are numbers
    of seconds (or ms, us, ns) since 1970.
    """

    nulls: tuple[Word, ...] | None = None
    decimal: Decimal | None = None
    thousands: Thousands | None = None
    percent: bool = False
    unit: TimeUnit | None = None

    @model_validator(mode="after")
    def _notation_fits_the_type(self) -> Self:
        if self.type not in ("integer", "number") and (self.decimal or self.thousands or self.percent):
            raise ValueError(f"decimal, thousands and percent are of numbers, not of a {self.type} column")
        if self.percent and self.type == "integer":
            raise ValueError("percent makes fractions: the type is number")
        if self.unit and self.type != "timestamp":
            raise ValueError(f"unit is of a timestamp column, not of a {self.type} column")
        return self


class Data(Section):
    """The source table: its columns under Serin's names, and the rules that ingest holds them to.

    `nulls` are words that stand for a missing value, as blank fields always do.
    """

    columns: dict[str, SourceColumn]
    nulls: tuple[Word, ...] = ()
    decimal: Decimal = "."
    thousands: Thousands = ""
    key: tuple[str, ...] = ()
    rename: dict[str, str] = Field(default_factory=dict)
    max_bad_share: Annotated[float, Field(ge=0, le=1)] = 0.05

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        for name, column in self.columns.items():
            decimal = column.decimal or self.decimal
            thousands = self.thousands if column.thousands is None else column.thousands
            if decimal == thousands:
                raise ValueError(f"column {name}: {decimal!r} can't mark both the decimals and the thousands")
        return self


def _outcome(value: Any) -> str:
    """A label's word: YAML reads an unquoted Yes or No as a truth value."""
    return {True: "Yes", False: "No"}[value] if isinstance(value, bool) else str(value)


Outcome = Annotated[str, BeforeValidator(_outcome)]


class Label(Section):
    """What is predicted: a column of 0 and 1, known `delay` after the event.

    A label in words: `positive` is the one that means 1, `negative` those that mean 0 (none named: every other
    word), whatever their case.
    """

    column: str
    positive: Outcome | None = None
    negative: tuple[Outcome, ...] = ()
    delay: Duration = timedelta(0)
