"""The rows of a request, and what is said of those that are refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from predictors.requests.by_column import ByColumn
from serin.errors import RequestError

MAX_TOLD = 20  # rows that a refusal names
_MAX_TEXT = 4000  # characters of a refusal


class RowsRefusedError(RequestError):
    """Rows are refused, and with them the request; `refused` says by place what is wrong with each."""

    def __init__(self, refused: Mapping[int, str], count: int) -> None:
        super().__init__(refusal(refused, count))
        self.refused = refused


@dataclass(frozen=True)
class Options:
    """What a request asks for besides scores.

    partial: rows that break a rule are told, and the others scored; otherwise one such row refuses the request.
    explain_unknown: each row's answer names its values of categories that training did not know.
    """

    partial: bool = False
    explain_unknown: bool = False


_PLAIN = Options()


@dataclass(frozen=True)
class Rows:
    """The good rows of a request: `records` has a tuple a row, its values in the order of `names`; None is null.

    `times` are the event times (UTC). `numbers` are the rows' places in the request; `refused` says by place what is
    wrong with the others, which there are only where the request asked for a partial answer.
    """

    names: tuple[str, ...]
    records: Sequence[tuple[Any, ...]]
    times: Sequence[datetime]
    raw: bool
    numbers: Sequence[int]
    refused: Mapping[int, str]
    options: Options

    @classmethod
    def of_columns(
        cls, columns: Mapping[str, Sequence[Any]], times: Sequence[datetime], raw: bool, options: Options
    ) -> "Rows":
        """All rows of a request that was given by column, one value a time in each."""
        records = list(zip(*columns.values(), strict=True)) if columns else [()] * len(times)
        return cls(tuple(columns), records, times, raw, range(len(times)), {}, options)

    @classmethod
    def plain(
        cls, names: tuple[str, ...], records: Sequence[tuple[Any, ...]], times: Sequence[datetime], raw: bool
    ) -> "Rows":
        """All rows of a request that asked for nothing besides scores."""
        # At a third of what a frozen dataclass takes to set its fields one by one.
        rows = cls.__new__(cls)
        rows.__dict__.update(
            names=names, records=records, times=times, raw=raw, numbers=range(len(times)), refused={}, options=_PLAIN
        )
        return rows

    @classmethod
    def merged(cls, parts: "Sequence[Rows]") -> "Rows":
        """The rows of several requests as one; they hold the same columns, and none asked for anything besides scores.

        The numbers stay those in each row's own request.
        """
        first = parts[0]
        if len(parts) == 1:
            return first
        merged = cls.plain(
            first.names,
            _joined([part.records for part in parts]),
            [time for part in parts for time in part.times],
            first.raw,
        )
        merged.__dict__["numbers"] = [number for part in parts for number in part.numbers]
        return merged

    @cached_property
    def columns(self) -> Mapping[str, list[Any]]:
        """The values by column."""
        return dict(zip(self.names, map(list, zip(*self.records, strict=True)), strict=True))

    @property
    def count(self) -> int:
        """The number of good rows."""
        return len(self.numbers)

    def in_order(self, answers: "Sequence[dict[str, Any]]") -> "Sequence[dict[str, Any]]":
        """What each row of the request is told, in the request's order: of the good rows their `answers`, in that of
        `numbers`; of one that is refused `error` alone."""
        if not self.refused:
            return answers
        told = {row: {"error": problem} for row, problem in self.refused.items()}
        told |= dict(zip(self.numbers, answers, strict=True))
        return [told[row] for row in sorted(told)]

    def without(self, problems: Mapping[int, str]) -> "Rows":
        """The rows but for those with `problems`, by their places in the request.

        Raises RowsRefusedError where the request asked for all rows, or none is left.
        """
        if not problems:
            return self
        refused = {**self.refused, **problems}
        kept = [index for index, number in enumerate(self.numbers) if number not in problems]
        if not kept or not self.options.partial:
            raise RowsRefusedError(refused, self.count + len(self.refused))
        return replace(
            self,
            records=[self.records[index] for index in kept],
            times=[self.times[index] for index in kept],
            numbers=[self.numbers[index] for index in kept],
            refused=refused,
        )


def _joined(parts: Sequence[Sequence[tuple[Any, ...]]]) -> Sequence[tuple[Any, ...]]:
    by_column = [part for part in parts if type(part) is ByColumn]
    if len(by_column) == len(parts):
        return ByColumn.joined(by_column)
    return [record for part in parts for record in part]


def refusal(refused: Mapping[int, str], count: int, what: str = "row") -> str:
    """The rows that are refused, of `count` in all, and why: the first of them, and how many there are."""
    told = sorted(refused)[:MAX_TOLD]
    width = _MAX_TEXT // len(told)
    lines = [f"{what} {row}: {refused[row]}" for row in told]
    lines = [line if len(line) <= width else line[:width] + "…" for line in lines]
    if count == 1:
        return lines[0]
    if len(refused) > len(told):
        lines.append(f"and {len(refused) - len(told)} more")
    return "\n  ".join([f"{len(refused)} of {count} {what}s are refused:", *lines])
