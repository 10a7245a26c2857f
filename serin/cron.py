"""When something recurs: five fields as in crontab(5), in UTC.

    minute hour day month weekday       0 3 * * 1       Mondays at 03:00

Schedulers differ in what else they take, and in what they take it for. What is accepted here means the same to
crontab(5), to croniter and to Kubeflow Pipelines (robfig/cron 1.2): numbers, names, lists, ranges and steps. Where they
part (`7` for Sunday) it is put into words that they share.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

_FORM = "minute hour day month weekday, in UTC, such as '0 3 * * 1' for Mondays at 03:00"
_ELEMENT = re.compile(r"(\*|(?P<first>\w+)(-(?P<last>\w+))?)(/(?P<step>[0-9]+))?")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class _Field:
    """One of the five: its values are low to high; `names` stand for low, low + 1, ..."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def element(self, text: str) -> tuple[str, range]:
        """An element of the field's list with numbers for names, and the values that it stands for."""
        match = _ELEMENT.fullmatch(text)
        if not match or (match["step"] and match["first"] and not match["last"]):
            raise ValueError(f"{self.name}: {text!r} is none of *, */2, 1, 1-5, 1-5/2")
        first = self._number(match["first"]) if match["first"] else self.low
        last = self._number(match["last"]) if match["last"] else first if match["first"] else self.high
        step = int(match["step"] or 1)
        if first > last:
            raise ValueError(f"{self.name}: {text!r} runs backwards; write two ranges")
        if not 1 <= step <= self.high - self.low:
            raise ValueError(f"{self.name}: a step is 1 to {self.high - self.low}, found {step}")
        values = range(first, last + 1, step)
        if first == last:  # croniter takes 6-6 for every month.
            return str(first), values
        span = f"{first}-{last}" if match["first"] else "*"
        return f"{span}/{step}" if match["step"] else span, values

    def _number(self, word: str) -> int:
        if word.lower() in self.names:
            return self.low + self.names.index(word.lower())
        if not re.fullmatch("[0-9]{1,2}", word) or not self.low <= int(word) <= self.high:
            allowed = f"{self.low} to {self.high}" + (f", {', '.join(self.names)}" if self.names else "")
            raise ValueError(f"{self.name}: allowed are {allowed}, found {word!r}")
        return int(word)


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAY = _Field("weekday", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _WEEKDAY,
)


def checked(text: Any) -> str:
    """A schedule in the words that every scheduler takes for the same times.

    Raises ValueError, which pydantic turns into an error that names the key: not five fields, a value out of range,
    days and weekdays both (cron runs where either matches, which hardly anybody means), or a date that no year has.
    """
    words = str(text).split()
    if len(words) != len(_FIELDS):
        raise ValueError(f"{text!r} is no schedule; write five fields: {_FORM}")
    if words[2] != "*" and words[4] != "*":
        raise ValueError(f"{text!r} names days and weekdays, and cron runs where either matches; leave one of them *")
    read = [_read(field, word) for field, word in zip(_FIELDS, words, strict=True)]
    days, months = read[2][1], read[3][1]
    if min(days) > max(_LONGEST[month - 1] for month in months):
        raise ValueError(f"{text!r} never comes: no such month has a day {min(days)}")
    return " ".join(word for word, _ in read)


Cron = Annotated[str, BeforeValidator(checked)]


def _read(field: _Field, word: str) -> tuple[str, set[int]]:
    if "," in word and "*" in word.split(","):
        raise ValueError(f"{field.name}: {word!r} lists values beside *, which is all of them")
    elements = [field.element(part) for part in word.split(",")]
    values = {value for _, span in elements for value in span}
    if field is _WEEKDAY and word != "*":
        # Sunday is 7 to crontab(5) alone, and a step over all weekdays is no step over 0 to 6.
        values = {value % 7 for value in values}
        return ",".join(map(str, sorted(values))), values
    return ",".join(text for text, _ in elements), values
