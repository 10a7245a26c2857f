"""Text tables: values between commas, semicolons, tabs or bars, with all that exports put around them."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from serin.errors import DataError, first_line
from serin.tables.base import Table, counted, no_lines, quoted
from serin.tables.encoding import Encoding, detect

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_DECLARED = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_SAMPLE = 500  # lines
_CHUNK = 100_000  # rows
_EXAMPLES = 3
_NUMBER = re.compile(r"[+-]?[\d.,]*\d[\d.,]*%?")
_TOTAL = re.compile(
    r"(grand |sub-?)?totals?\b|(sum|average|mean|summe|gesamt|insgesamt|somme|totale|suma)\b", re.IGNORECASE
)
# A line of its own at the end: what swallows it is a quote that never closes.
_END = "\0end\0"

_Row = tuple[int, list[str]]  # the line where it begins, from 1, and its fields


@dataclass(frozen=True)
class _Form:
    """How a file is laid out: what separates its values, and where its column names stand."""

    separator: str
    blank_after_separator: bool
    line: int
    header: list[str]
    notes: list[str]


@dataclass
class _Body:
    """The rows under the header: columns of text in chunks, and what was no row."""

    chunks: list[pa.Table] = field(default_factory=list)
    pending: list[_Row] = field(default_factory=list)
    bad: list[tuple[int, str, str]] = field(default_factory=list)
    empty: int = 0

    def flush(self, width: int, keep: int = 0) -> None:
        rows = self.pending[: len(self.pending) - keep]
        self.pending = self.pending[len(rows) :]
        if rows:
            columns = [pa.array(column, pa.string()) for column in zip(*(row for _, row in rows), strict=True)]
            filled = [pc.if_else(pc.equal(column, ""), None, column) for column in columns]
            self.chunks.append(pa.table(filled, names=[str(place) for place in range(width)]))


def read(data: bytes, location: str) -> Table:
    """The table in a text file's bytes; its values stay text, an empty field is null.

    Rows of too few or too many fields, and those with NUL bytes or bytes that are no text, are `bad_lines`.
    Raises DataError for a file that is no table of text: `location` names it.
    """
    encoding = detect(data, location)
    try:
        form = _form(list(islice(_lines(data, encoding), _SAMPLE)), location)
        names = _names(form, location)
        body = _body(_lines(data, encoding), form, names, location)
    except UnicodeDecodeError as error:
        raise DataError(f"{location} is no {error.encoding} text: {error.reason} at byte {error.start:,}") from None
    totals = _totals(body)
    body.flush(len(names))
    frame, unnamed = _frame(body, names)
    _check_bad(body, len(frame), form, location)
    notes = [encoding.note, *form.notes, *unnamed, *_notes(body, totals)]
    bad = pd.DataFrame(body.bad, columns=["line", "text", "reason"]) if body.bad else no_lines()
    return Table(frame, tuple(note for note in notes if note), bad)


def _lines(data: bytes, encoding: Encoding) -> Iterable[str]:
    """Lines, whatever ends them: LF, CR LF or CR."""
    return io.TextIOWrapper(io.BytesIO(data), encoding.codec, encoding.errors, newline="")


def _form(sample: list[str], location: str) -> _Form:
    declared = _DECLARED.fullmatch(sample[0]) if sample else None
    start = 2 if declared else 1
    separator = declared[1] if declared else _separator(sample)
    blank = bool(re.search(re.escape(separator) + ' +"', "".join(sample[:20])))
    rows = [row for row in _parsed(sample, separator, blank) if row[0] >= start and _filled(row[1])]
    if not rows:
        raise DataError(f"{location} has no column names in its first line")
    titles = _titles([fields for _, fields in rows])
    line, header = rows[titles]
    notes = []
    if separator != ",":
        notes.append(f"Values are separated by {_SEPARATORS.get(separator, quoted(separator))}.")
    if titles:
        texts = ", ".join(quoted(" ".join(" ".join(fields).split())) for _, fields in rows[:titles])
        notes.append(f"{counted(titles, 'title line')} before the column names in line {line} left out: {texts}.")
    return _Form(separator, blank, line, header, notes)


def _separator(sample: Sequence[str]) -> str:
    """What cuts most lines into equally many fields, the more the better; a comma where nothing does."""
    found = {}
    for separator in _SEPARATORS:
        widths = [len(fields) for _, fields in _parsed(sample, separator) if _filled(fields)]
        common = max(Counter(width for width in widths if width > 1).items(), key=lambda item: item[::-1], default=None)
        if common:
            width, count = common
            found[separator] = (count / len(widths), width)
    return max(found, key=found.__getitem__) if found else ","


def _parsed(lines: Iterable[str], separator: str, blank: bool = False) -> Iterator[_Row]:
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=blank)
    line = 1
    try:
        for fields in reader:
            yield line, fields
            line = reader.line_num + 1
    except csv.Error:
        return  # only a sample: the whole file is read with words for what is wrong


def _filled(fields: Sequence[str]) -> int:
    return sum(not value.isspace() for value in fields if value)


def _titles(rows: Sequence[Sequence[str]]) -> int:
    """How many rows stand above the column names: few values where the table's rows have many."""
    filled = [_filled(fields) for fields in rows]
    typical = sorted(filled)[len(filled) // 2]
    titles = next((place for place, count in enumerate(filled) if 2 * count > typical), 0)
    few = all(
        len(fields) == 1 or (count == 1 and typical > 2) or typical > 3
        for fields, count in zip(rows[:titles], filled, strict=False)
    )
    is_header = not any(_NUMBER.fullmatch(name.strip()) for name in rows[titles])
    return titles if few and is_header else 0


def _names(form: _Form, location: str) -> list[str]:
    """The column names, "" for columns without one."""
    if any("\0" in name for name in form.header):
        raise DataError(f"{location} is no text: it holds NUL bytes in line {form.line}; a table is text or Parquet")
    if any("\udc80" <= character <= "\udcff" for name in form.header for character in name):
        raise DataError(f"{location}: the column names in line {form.line} are no UTF-8 text; save it as UTF-8")
    names = [" ".join(name.split()) if name != name.strip() else name for name in form.header]
    if padded := sum(mine != theirs for mine, theirs in zip(names, form.header, strict=True) if mine):
        form.notes.append(f"Blanks around {counted(padded, 'column name')} left out.")
    given = [name for name in names if name]
    if repeated := sorted(name for name, count in Counter(given).items() if count > 1):
        raise DataError(f"{location} has more than one column called {', '.join(repeated)}; names must differ")
    if sum(bool(_NUMBER.fullmatch(name)) for name in given) > len(given) / 2:
        form.notes.append(f"The column names in line {form.line} look like values: does the table lack a header line?")
    return names


def _body(lines: Iterable[str], form: _Form, names: list[str], location: str) -> _Body:
    body, width = _Body(), len(names)
    fewest = max((place + 1 for place, name in enumerate(names) if name), default=width)
    for line, fields, text in _rows(lines, form, location):
        if not _filled(fields):
            body.empty += len(fields) > 1
            continue
        if len(fields) != width and not any(map(str.strip, fields[width:])):
            fields = fields[:width]
        if reason := _broken(fields, text, fewest, width):
            body.bad.append((line, text.rstrip("\r\n"), reason))
            continue
        body.pending.append((line, fields + [""] * (width - len(fields))))
        if len(body.pending) >= _CHUNK:
            body.flush(width, keep=1)
    return body


def _broken(fields: Sequence[str], text: str, fewest: int, width: int) -> str:
    if not fewest <= len(fields) <= width:
        return f"{counted(len(fields), 'field')} where the column names are {fewest}"
    if "\0" in text:
        return "holds NUL bytes"
    if not text.isascii() and re.search("[\udc80-\udcff]", text):
        return "holds bytes that are no UTF-8 text"
    return ""


def _rows(lines: Iterable[str], form: _Form, location: str) -> Iterator[tuple[int, list[str], str]]:
    """The rows under the header: line, fields and text of each.

    Raises DataError for a quote that does not close, with the line where it opens.
    """
    current: list[str] = []
    reader = csv.reader(
        _recorded(chain(lines, [_END]), current), delimiter=form.separator, skipinitialspace=form.blank_after_separator
    )
    line = 1
    try:
        for fields in reader:
            if fields == [_END]:
                return
            if len(current) > 1:
                _check_quotes(current, fields, line, form, location)
            if line > form.line:
                yield line, fields, "".join(current)
            current.clear()
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{location}, line {line}: {first_line(error)}; does a quote open there that never closes?"
        ) from None


def _recorded(lines: Iterable[str], into: list[str]) -> Iterator[str]:
    for line in lines:
        into.append(line)
        yield line


def _check_quotes(lines: Sequence[str], fields: Sequence[str], line: int, form: _Form, location: str) -> None:
    """A value over several lines closes its quote right before a separator; what does not has run away."""
    opened = line + sum(len(value.splitlines()) - 1 for value in fields[:-1] if value)
    if fields[-1].endswith(_END):
        raise DataError(f"{location}, line {opened}: a quote opens that never closes; close it, or remove it")
    try:
        list(csv.reader(lines, delimiter=form.separator, skipinitialspace=form.blank_after_separator, strict=True))
    except csv.Error:
        opened = line + next(place for place, text in enumerate(lines) if text.count('"') % 2)
        raise DataError(
            f"{location}, line {opened}: a quote opens that does not close before line {line + len(lines) - 1}; "
            "close it, or remove it"
        ) from None


def _totals(body: _Body) -> list[_Row]:
    """Take total lines off the end."""
    found = []
    while body.pending or body.bad:
        last_good = body.pending[-1] if body.pending else (0, [])
        last_bad = body.bad[-1] if body.bad else (0, "", "")
        is_bad = last_bad[0] > last_good[0]
        fields = [last_bad[1]] if is_bad else last_good[1]
        word = next((value.strip().strip('":;,') for value in fields if value.strip()), "")
        match = _TOTAL.match(word.lstrip('",;\t| '))
        has_gaps = is_bad or not all(map(str.strip, fields))
        if not match or not (has_gaps or match[0] == word):
            break
        found.append((last_bad[0], [last_bad[1]]) if is_bad else last_good)
        (body.bad if is_bad else body.pending).pop()
    return found


def _frame(body: _Body, names: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """The rows under their names; columns without a name are left out where they are empty, else named by place."""
    if not body.chunks:
        return pd.DataFrame(columns=[name for name in names if name], dtype=object), []
    table = pa.concat_tables(body.chunks)
    is_empty = [not name and _is_blank(table.column(place)) for place, name in enumerate(names)]
    kept = [place for place, empty in enumerate(is_empty) if not empty]
    named = [names[place] or f"Unnamed: {place}" for place in kept]
    notes = []
    if any(is_empty):
        notes.append(f"{counted(sum(is_empty), 'column')} without a name and without values left out.")
    if unnamed := [name for name, place in zip(named, kept, strict=True) if not names[place]]:
        notes.append(f"{counted(len(unnamed), 'column')} without a name called {', '.join(map(repr, unnamed))}.")
    frame: pd.DataFrame = table.select(kept).rename_columns(named).to_pandas()
    return frame, notes


def _is_blank(column: pa.ChunkedArray) -> bool:
    return not pc.any(pc.not_equal(pc.utf8_trim_whitespace(column), "")).as_py()


def _check_bad(body: _Body, good: int, form: _Form, location: str) -> None:
    if len(body.bad) > good:
        line, _, reason = body.bad[0]
        raise DataError(
            f"{location} is no table: {len(body.bad):,} of {len(body.bad) + good:,} rows don't fit its column names "
            f"in line {form.line}, such as line {line}: {reason}"
        )


def _notes(body: _Body, totals: Sequence[_Row]) -> Iterator[str]:
    if body.empty:
        yield f"{counted(body.empty, 'row')} without any value left out."
    for line, fields in totals:
        yield f"The total in line {line} left out: {quoted(', '.join(value for value in fields if value))}."
    if body.bad:
        examples = "; ".join(f"line {line}: {reason}" for line, _, reason in body.bad[:_EXAMPLES])
        yield f"{counted(len(body.bad), 'row')} can't be read and set aside ({examples})."
